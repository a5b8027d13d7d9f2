"""`nas measure`: one network in detail, several as a table or a list of objects."""

from __future__ import annotations

import contextlib
import json

import pytest

from nas.architecture import Architecture
from nas.backends import litert_bytes
from nas.cli.main import main
from nas.data import load_dataset
from nas.device import latency
from nas.export import LitertOptions, export_litert

SMALL = Architecture.from_dict({"input_shape": [16, 16, 1], "classes": 10, "stages": [{"width": 4}]})
LARGE = Architecture.from_dict(
    {"input_shape": [16, 16, 1], "classes": 10, "stages": [{"width": 16, "convs": 2}]}
)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs `nas measure` in a folder with two files and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency, "MIN_ROUNDS_TO_STOP", 3)
    signature = load_dataset("digits").signature
    export_litert(SMALL, None, tmp_path / "small.tflite", signature=signature)
    export_litert(LARGE, None, tmp_path / "large.tflite", LitertOptions("dynamic_int8"), signature)

    def run(*arguments: str) -> tuple[str, str]:
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(["measure", *arguments])
        return tuple(capsys.readouterr())

    return run


def test_one_file_has_its_layers_and_costs(run):
    printed, errors = run("small.tflite", "--data", "digits")
    assert errors == ""
    assert "conv_2d" in printed
    assert "on 359 test examples, fed values 0..255, as its signature says" in printed
    assert "quality      accuracy " in printed


@pytest.mark.trains
def test_several_files_are_compared_with_the_first(run):
    printed, errors = run("small.tflite", "large.tflite", "vgg_small_separable", "--data", "digits")
    assert errors == ""
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert rows["small.tflite"].count("(1.00x") == 5
    assert "litert, float32" in rows["small.tflite"]
    assert "litert, dynamic_int8" in rows["large.tflite"]
    assert "Timed in turn on " in printed
    assert "vgg_small_separable: no quality, since it has no trained weights." in printed


def test_json_is_an_object_or_a_list_of_them(run):
    one = json.loads(run("small.tflite", "--json")[0])
    assert one["network"] == "small.tflite"
    assert one["size_bytes"] > len(litert_bytes(SMALL))  # with its signature
    assert one["quality"] is None
    several = json.loads(run("small.tflite", "large.tflite", "--data", "digits", "--json")[0])
    assert [row["network"] for row in several] == ["small.tflite", "large.tflite"]
    assert all(0 <= row["quality"]["accuracy"] <= 1 for row in several)
    assert several[1]["device"]["precision"] == "dynamic_int8"


def test_bad_input_is_one_sentence(run):
    for arguments, message in (
        (["none.tflite"], "nas: a model file must exist, got 'none.tflite'"),
        (["small.tflite", "--data", "digits", "--input-range", "0..1"], "omit --input-range"),
        (["small.tflite", "--data", "digitz"], "did you mean 'digits'?"),
        (["."], "nas: a folder must be a SavedModel to be measured, got '.'"),
        (
            ["small.tflite", "--data", "digits", "--image-size", "8"],
            "got 8x8x1 for 'small.tflite' of 16x16x1",
        ),
    ):
        printed, errors = run(*arguments)
        assert printed == ""
        assert message in errors
        assert len(errors.splitlines()) == 1
