"""`predict.py` runs every format, and prepares an image file as the images of the training were."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.backends import build_model, compute_outputs
from nas.data import DataOptions, Signature, load_dataset
from nas.export import ExportOptions, export_files, predict_source
from tests.exported_designs import IMAGE, SCENE, SIGNAL, design, random_inputs, random_weights, stages

FORMATS = ("keras", "python", "litert", "onnx", "saved_model")
EXIF_ORIENTATION = 0x0112


def signature_of(data: dict[str, Any], **feeding: Any) -> Signature:
    shape = tuple(data["input_shape"])
    channels = {1: "grey", 3: "RGB"}.get(shape[-1], "other") if len(shape) == 3 else "other"
    names = tuple(f"name {n}" for n in range(design(data).architecture.classes))
    return Signature(
        task=data.get("task", "classification"), input_shape=shape, classes=names,
        feeding={"channels": channels, **feeding},
    )  # fmt: skip


def write_script(folder: Path, signature: Signature, task: str, formats: Any, integers: bool = False) -> Path:
    script = folder / "predict.py"
    script.write_text(predict_source(signature, task, formats, integers), encoding="utf-8")
    return script


def answer(script: Path, monkeypatch: Any, capsys: Any, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "model", raising=False)
    capsys.readouterr()
    runpy.run_path(str(script), run_name="__main__")
    return str(capsys.readouterr().out).strip()


@pytest.mark.trains
def test_every_format_gives_the_class_of_an_image(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("onnxruntime")
    data = {**IMAGE, **stages(1, 8)}
    one, signature = design(data), signature_of(data)
    weights = random_weights(build_model(one.architecture))
    x = random_inputs(one.architecture, 16)
    options = ExportOptions(FORMATS, ("float32", "int8"), x, integer_io=True, signature=signature)
    files = export_files(one, weights, tmp_path, options)
    names = [(key.split(".")[0], files[key].name) for key in (*FORMATS, "litert.int8")]
    script = write_script(tmp_path, signature, "classification", names, integers=True)
    pixels = x[0].astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    expected = compute_outputs(one.architecture, weights, pixels[None].astype(np.float32))[0]
    shown = f"name {expected.argmax()} ({expected.max():.1%})"
    image = str(tmp_path / "image.png")
    assert answer(script, monkeypatch, capsys, image) == shown
    for key in FORMATS:
        assert answer(script, monkeypatch, capsys, image, str(files[key])) == shown, key
    in_integers = answer(script, monkeypatch, capsys, image, str(files["litert.int8"]))
    assert re.fullmatch(r"name \d \(\d+\.\d%\)", in_integers)
    ran = subprocess.run(
        [sys.executable, script, image, files["litert"]], capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == shown, ran.stderr
    with pytest.raises(SystemExit, match="the model must be one of"):
        answer(script, monkeypatch, capsys, image, "other.h5")
    with pytest.raises(SystemExit, match=r"usage: python predict\.py IMAGE"):
        answer(script, monkeypatch, capsys)
    Image.new("RGB", (20, 16)).save(tmp_path / "large.png")
    with pytest.raises(SystemExit, match="must have 16x16 pixels, got"):
        answer(script, monkeypatch, capsys, str(tmp_path / "large.png"))


def photos(folder: Path) -> list[Path]:
    """Write images of many kinds for two classes, in which colours vary smoothly."""
    rows, columns = np.mgrid[0:75, 0:50].astype(float)
    paths = []
    for number in range(8):
        waves = [
            np.sin(rows / (3 + number) + channel) * np.cos(columns / (5 + channel)) for channel in range(3)
        ]
        image = Image.fromarray(np.uint8(127 + 120 * np.stack(waves, -1)))
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == 2:
            path = path.with_suffix(".jpg")
            exif = Image.Exif()
            exif[EXIF_ORIENTATION] = 6
            image.resize((400, 300)).save(path, exif=exif)
        elif number == 3:
            image.putalpha(Image.fromarray(np.uint8(rows * 3)))
            image.save(path)
        elif number == 4:
            image.convert("L").save(path)
        elif number == 5:
            image.convert("P").save(path)
        else:
            image.save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("background", ["white", "#336699"])
def test_an_image_file_becomes_the_input_of_the_training(tmp_path: Path, background: str) -> None:
    paths = photos(tmp_path / "photos")
    data = load_dataset(str(tmp_path / "photos"), DataOptions(image_size=16, background=background))
    script = write_script(tmp_path, data.signature, "classification", [("keras", "model.keras")])
    (tmp_path / "labels.txt").write_text("a\nb\n")
    read_input = runpy.run_path(str(script))["read_input"]
    known = np.concatenate([split.x for split in (data.train, data.validation, data.test) if split])
    for path in paths:
        found = read_input(str(path))
        assert found.dtype == np.float32
        distances = np.abs(known - found).reshape(len(known), -1).max(axis=1)
        assert distances.min() == 0, path.name


@pytest.mark.parametrize(
    ("task", "outputs", "shown"),
    [
        ("binary", [0.25], "name 0 (75.0%)"),
        ("multi_label", [0.9, 0.2, 0.6], "name 0 (90.0%), name 2 (60.0%)"),
        ("multi_label", [0.1, 0.2, 0.3], "no label"),
        ("regression", [1234.5678, -0.5], "name 0 1234.57, name 1 -0.5"),
        ("segmentation", [[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]], "name 0 75.0%, name 1 25.0%"),
    ],
)
def test_the_answer_is_in_the_words_of_the_task(
    tmp_path: Path, task: str, outputs: list[Any], shown: str, monkeypatch: Any, capsys: Any
) -> None:
    data = {**IMAGE, "task": "classification" if task == "binary" else task}
    signature = Signature(
        task=data["task"], input_shape=(2, 2), classes=tuple(f"name {n}" for n in range(3)), feeding={}
    )
    script = write_script(tmp_path, signature, task, [("keras", "model.keras")])
    (tmp_path / "labels.txt").write_text("name 0\nname 1\nname 2\n")
    np.save(tmp_path / "x.npy", np.zeros((2, 2)))
    source = script.read_text().replace("run(model, read_input(sys.argv[1]))[0]", f"np.array({outputs})")
    script.write_text(source)
    assert answer(script, monkeypatch, capsys, str(tmp_path / "x.npy")) == shown


@pytest.mark.parametrize(
    ("data", "feeding", "value"),
    [
        (IMAGE, {"rescale": False, "value_range": (0.0, 1.0)}, 1.0),
        (IMAGE, {"rescale": False, "value_range": (-0.9, 0.9)}, 1.0),
        (IMAGE, {}, 255.0),
        (SCENE, {"value_range": (0.0, 4095.0)}, 255.0),
    ],
)
def test_white_has_the_value_of_the_training(
    tmp_path: Path, data: dict[str, Any], feeding: dict[str, Any], value: float
) -> None:
    signature = signature_of(data, **feeding)
    script = write_script(tmp_path, signature, "classification", [("keras", "model.keras")])
    (tmp_path / "labels.txt").write_text("a\n")
    height, width = signature.input_shape[:2]
    Image.new("RGB", (width, height), "white").save(tmp_path / "white.png")
    found = runpy.run_path(str(script))["read_input"](str(tmp_path / "white.png"))
    assert found.shape == (1, *signature.input_shape)
    assert np.all(found == value)
    divided = "do not divide" in script.read_text()
    assert divided == (value == 255.0)


def test_more_bits_are_scaled_as_in_the_training_or_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\n")
    grey = {"input_shape": [4, 4, 1], "classes": 2}
    Image.fromarray(np.full((4, 4), 2048, np.uint16)).save(tmp_path / "deep.png")
    for value_range in ((0.0, 4095.0), (0.0, 255.0)):
        signature = signature_of(grey, value_range=value_range)
        script = write_script(tmp_path, signature, "classification", [("keras", "model.keras")])
        read_input = runpy.run_path(str(script))["read_input"]
        if value_range[1] == 4095.0:
            assert np.all(read_input(str(tmp_path / "deep.png")) == 128)
        else:
            with pytest.raises(SystemExit, match="8 bits a channel"):
                read_input(str(tmp_path / "deep.png"))


@pytest.mark.parametrize(
    ("data", "feeding"), [(SIGNAL, {}), (IMAGE, {"rescale": False, "value_range": (-2.5, 3.0)})]
)
def test_what_no_image_file_holds_is_read_from_an_array(
    tmp_path: Path, data: dict[str, Any], feeding: dict[str, Any]
) -> None:
    signature = signature_of(data, **feeding)
    script = write_script(tmp_path, signature, "classification", [("keras", "model.keras")])
    (tmp_path / "labels.txt").write_text("a\n")
    values = np.random.default_rng(0).normal(size=signature.input_shape)
    np.save(tmp_path / "x.npy", values)
    found = runpy.run_path(str(script))["read_input"](str(tmp_path / "x.npy"))
    np.testing.assert_array_equal(found, values[None].astype(np.float32))
    assert "predict.py FILE" in script.read_text()
    assert "PIL" not in script.read_text()
