"""`nas export`: what it writes, prints and refuses."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas import cli
from nas.backends import compute_outputs
from nas.data import load_dataset
from nas.errors import ConversionError
from nas.searching import exporting

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

SPACE = {
    "name": "small",
    "stages": [{"width": {"choice": [2, 4, 8]}, "shrink": "max_pool"}],
    "head": {"pooling": "flatten"},
    "training": {"batch_size": 16, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a search of three networks, judged by their int8 files."""
    folder = tmp_path_factory.mktemp("exporting")
    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    x = (
        rng.integers(0, 160, (240, 8, 8, 1))
        + 60 * y[:, None, None, None] * (np.arange(8)[:, None] < 4)[..., None]
    )
    np.savez(folder / "halves.npz", x_train=x.astype(np.uint8), y_train=y)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        nas.search(
            SPACE, data="halves.npz", trials=3, epochs=3, name="halves", workers=0, front_seeds=1,
            objectives=("accuracy", "params"), precision="int8", halving=False, keep_weights=True,
        )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def _working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command line and returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", "halves", *arguments])
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_a_search_with_precision_int8_is_judged_by_its_files(run: Any) -> None:
    found = nas.find("halves")
    assert found.plan.judged_precision == "int8"
    best = found.pick("best")
    assert set(best.values) >= {"accuracy", "accuracy_se", "float_accuracy", "float_accuracy_se"}
    exported = found.export(best, "judged", formats=("litert",), precision="int8")
    (check,) = exported.checks
    for name in ("accuracy", "accuracy_se", "val_loss"):
        assert check.values[name] == best.values[name]
        assert exported.values[name] == best.values[f"float_{name}"]
    assert found.reproduce(best)["accuracy"] == best.values["accuracy"]
    assert "of the LiteRT file of int8" in (exported.files["card"]).read_text()


def test_each_file_is_compared_and_said(run: Any) -> None:
    code, shown, _ = run("--pick", "0", "--format", "keras,litert", "--precision", "float32,float16,int8")
    assert code == 0
    folder = Path("export/halves-0")
    for name in ("model.keras", "model.tflite", "model.float16.tflite", "model.int8.tflite"):
        assert f"{folder / name} " in shown
    assert "greatest difference" in shown
    assert "equal decisions" in shown
    assert "compared with the network" in shown
    for name in ("architecture.yaml", "labels.txt", "model_card.md", "predict.py"):
        assert (folder / name).is_file()
        assert name in shown
    code, shown, _ = run("--pick", "0", "--format", "saved_model", "--json")
    (row,) = json.loads(shown)
    assert {file["path"].rpartition("/")[2] for file in row["files"]} == {
        "saved_model", "model.keras", "model.tflite", "model.float16.tflite", "model.int8.tflite",
    }  # fmt: skip
    by_precision = {file["precision"]: file for file in row["files"]}
    assert by_precision["float32"]["difference"] < 1e-4
    assert by_precision["int8"]["accuracy"] == nas.find("halves").pick(0).values["accuracy"]
    assert row["files"][0]["agreement"] == 1.0


def test_the_front_is_shown_by_precision(run: Any) -> None:
    arguments = ("--pick", "front", "--format", "litert", "--precision", "float16,int8", "--out", "members")
    code, shown, _ = run(*arguments)
    assert code == 0
    members = nas.find("halves").front
    header = next(line for line in shown.splitlines() if line.startswith("trial"))
    assert header.split() == ["trial", "params", "accuracy", "float16", "size", "int8", "size"]
    for trial in members:
        assert (Path("members") / f"halves-{trial.number}" / "model.int8.tflite").is_file()
        assert any(line.split()[:1] == [str(trial.number)] for line in shown.splitlines() if line)
    code, _, errors = run("--pick", "front", "--where", "params < 1")
    assert code == 2
    assert "--pick front needs members of the front, got none of" in errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--out", ""), "--out must name a folder, got ''; omit it for export/NAME-TRIAL"),
        (("--out", "."), "which holds other files"),
        (
            ("--precision", "int8"),
            "only LiteRT files have a precision, got int8 for the formats keras, python",
        ),
        (("--precision", "int9", "--format", "litert"), "unknown precision 'int9'; did you mean 'int8'"),
        (("--format", "onx"), "unknown format 'onx'; did you mean 'onnx'"),
        (("--integer-io", "--format", "litert"), "need precision int8, got float32"),
        (("--pick", "frnt"), "--pick must be a trial's number or a rule"),
    ],
)
def test_bad_input_is_one_sentence(run: Any, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, errors = run(*arguments)
    assert code == 2
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_trial_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["halves:1"], 0), (["halves:1", "--pick", "smallest"], 2)):
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", *arguments, "--format", "yaml"])
        assert (ended.value.code or 0) == code
    assert "got 'halves:1' and --pick smallest; omit one of the two" in capsys.readouterr().err
    assert Path("export/halves-1/architecture.yaml").is_file()


def test_another_trial_does_not_replace_an_export_without_force(run: Any) -> None:
    assert run("--pick", "0", "--out", "one", "--format", "yaml")[0] == 0
    code, _, errors = run("--pick", "1", "--out", "one", "--format", "yaml")
    assert code == 2
    assert "holds the export of halves:0; use another --out, or --force" in errors
    assert run("--pick", "1", "--out", "one", "--format", "yaml", "--force")[0] == 0
    card = Path("one/model_card.md").read_text()
    assert "export: halves:1 " in card


def test_a_file_that_answers_differently_is_an_error_and_not_written(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(architecture: Any, weights: Any, x: Any) -> np.ndarray:
        return 1.0 - compute_outputs(architecture, weights, x)

    monkeypatch.setattr(exporting, "compute_outputs", wrong)
    code, _, errors = run("--pick", "0", "--out", "wrong")
    assert code == ConversionError.exit_code == 1
    assert "'model.keras' must answer as the network that was judged, but an output differs by" in errors
    assert not Path("wrong").exists()


def test_a_worse_file_is_a_warning(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = nas.find("halves")
    trial = found.pick("best")
    real = exporting.answer_with

    def inverted(run_file: Any, *others: Any) -> Any:
        return real(lambda x: 1.0 - run_file(x), *others)

    monkeypatch.setattr(exporting, "answer_with", inverted)
    options = ("--format", "litert", "--precision", "int8", "--out", "worse")
    code, _, errors = run("--pick", str(trial.number), *options)
    assert code == 0
    assert f"Trial {trial.number}: model.int8.tflite loses more than one standard error of accuracy" in errors
    assert "loses more than one standard error" in Path("worse/model_card.md").read_text()


def test_without_the_data_nothing_is_compared_and_int8_is_refused(run: Any, tmp_path: Path) -> None:
    data = Path("halves.npz")
    moved = data.rename(tmp_path / "halves.npz")
    try:
        code, shown, _ = run("--pick", "0", "--out", "without", "--format", "keras,litert")
        refused, _, errors = run("--pick", "0", "--out", "int8", "--format", "litert", "--precision", "int8")
    finally:
        moved.rename(data.absolute())
    assert code == 0
    assert (
        "Nothing was compared: the content of 'halves.npz' has changed or cannot be read; restore it" in shown
    )
    assert "Nothing was compared" in Path("without/model_card.md").read_text()
    assert refused == 2
    assert "a data set's file must exist" in errors
    assert not Path("int8").exists()


def test_new_weights_have_no_figures(run: Any) -> None:
    code, shown, _ = run("--pick", "0", "--fresh", "--out", "fresh")
    assert code == 0
    assert "The weights are new: nothing was compared." in shown
    assert not Path("fresh/predict.py").exists()
    assert "standard error" not in Path("fresh/model_card.md").read_text()


def test_integers_at_input_and_output_run_in_the_example(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    from PIL import Image

    options = ("--format", "litert", "--precision", "int8", "--integer-io", "--out", "integers")
    assert run("--pick", "best", *options)[0] == 0
    assert "int8 input: value = (integer - (" in Path("integers/model_card.md").read_text()
    validation = load_dataset("halves.npz").validation
    right = 0
    for x, y in zip(validation.x[:10], validation.y, strict=False):
        Image.fromarray(x[..., 0]).save("x.png")
        monkeypatch.setattr(sys, "argv", ["predict.py", "x.png"])
        capsys.readouterr()
        runpy.run_path("integers/predict.py", run_name="__main__")
        right += capsys.readouterr().out.startswith(f"{y} (")
    assert right >= 8
