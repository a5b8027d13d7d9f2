"""Exported LiteRT files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.architecture import Design
from nas.backends import PRECISIONS, build_compiled_model, build_model
from nas.data import Signature
from nas.errors import ConversionError
from nas.export import LitertOptions, export_litert
from tests.exported_designs import GRAMMAR, IMAGE, design, random_inputs, random_weights, stages


def unaligned_constants(content: bytes) -> list[int]:
    """Return the numbers of the buffers that do not start at a multiple of 16 bytes, as LiteRT requires."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    filled = [n for n in range(model.BuffersLength()) if model.Buffers(n).DataLength()]
    assert filled
    return [n for n in filled if model.Buffers(n)._tab.Vector(model.Buffers(n)._tab.Offset(4)) % 16]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_constants_are_aligned_after_metadata_or_a_scale_is_added(
    tmp_path: Path, precision: str, task: str
) -> None:
    one = design({**IMAGE, **stages(1, 8), "task": task})
    names = tuple(f"name {n}" for n in range(one.architecture.classes))
    signature = Signature(task=task, input_shape=(16, 16, 3), classes=names, feeding={})
    images = random_inputs(one.architecture, 8)
    path = tmp_path / "model.tflite"
    export_litert(one.architecture, None, path, LitertOptions(precision, images), signature)
    assert unaligned_constants(path.read_bytes()) == []


@pytest.fixture(scope="module")
def trained() -> tuple[Design, Any]:
    """A network trained to find the bright corner of an image: int8 needs well separated classes."""
    import keras

    keras.utils.set_random_seed(0)
    data = {**IMAGE, **stages(2, 16, convs=2, shrink="max_pool", normalization="between"),
            "head": {"pooling": "flatten"}, "training": {"learning_rate": 0.003}}  # fmt: skip
    one = design(data)
    model = build_compiled_model(one.architecture, one.training)
    x, y = bright_corners(512)
    model.fit(x, y, epochs=4, batch_size=32, verbose=0)
    return one, model


def bright_corners(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 120, (count, 16, 16, 3)).astype(np.float32)
    y = rng.integers(0, 4, count)
    for image, corner in zip(x, y, strict=True):
        row, column = 8 * (corner // 2), 8 * (corner % 2)
        image[row : row + 8, column : column + 8] += 100
    return x, y


def run_litert(path: Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] is np.float32
    assert target["dtype"] is np.float32
    found = []
    for image in x:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.array(found)


@pytest.mark.trains
def test_litert_files_agree_with_keras_and_lower_precisions_are_smaller(
    tmp_path: Path, trained: tuple[Design, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    one, model = trained
    x, _ = bright_corners(64, seed=1)
    expected = model(x, training=False).numpy()
    sizes = {}
    capfd.readouterr()
    for precision in PRECISIONS:
        path = tmp_path / f"{precision}.tflite"
        calibration = bright_corners(64, seed=2)[0] if precision == "int8" else None
        export_litert(one.architecture, model.get_weights(), path, LitertOptions(precision, calibration))
        assert capfd.readouterr() == ("", ""), "the converter must print nothing"
        sizes[precision] = path.stat().st_size
        found = run_litert(path, x)
        capfd.readouterr()
        if precision == "float32":
            np.testing.assert_allclose(found, expected, atol=1e-5)
        elif precision == "float16":
            np.testing.assert_allclose(found, expected, atol=1e-2)
        else:
            assert np.mean(found.argmax(-1) == expected.argmax(-1)) >= 0.95
    assert sizes["float32"] > sizes["float16"] > sizes["int8"]
    assert sizes["float16"] > sizes["dynamic_int8"]


def test_networks_of_other_inputs_and_tasks_are_exported(tmp_path: Path) -> None:
    for name in ("signal, depthwise", "decoder, from pools", "multi_label", "regression of a signal"):
        one = design(GRAMMAR[name])
        model = build_model(one.architecture)
        weights = random_weights(model)
        model.set_weights(weights)
        x = random_inputs(one.architecture)
        path = export_litert(one.architecture, weights, tmp_path / "model.tflite")
        np.testing.assert_allclose(run_litert(path, x), model(x, training=False), atol=1e-5)


@pytest.mark.trains
@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_are_exported_at_every_precision(tmp_path: Path, task: str) -> None:
    """Numbers far from 0, as the last layer predicts them, keep their precision in integers."""
    one = design({**GRAMMAR[task], "classes": 2})
    model = build_model(one.architecture)
    weights = random_weights(model)
    x = random_inputs(one.architecture, 64) * np.linspace(0, 1, 64, dtype=np.float32)[:, None, None, None]
    if task == "regression":
        model.set_weights(weights)
        weights[-1] = weights[-1] + np.array([1000, -50], np.float32)
        weights[-2] = weights[-2] * np.array([100, 1], np.float32) / model(x).numpy().std(axis=0)
    model.set_weights(weights)
    expected = model(x, training=False).numpy()
    scale = expected.std(axis=0) if task == "regression" else 1.0
    tolerances = {"float32": 1e-4, "float16": 0.02, "dynamic_int8": 0.2, "int8": 0.3}
    for precision in PRECISIONS:
        path = tmp_path / f"{precision}.tflite"
        options = LitertOptions(precision, x if precision == "int8" else None)
        export_litert(one.architecture, weights, path, options)
        difference = np.abs(run_litert(path, x) - expected) / scale
        assert np.quantile(difference, 0.9) < tolerances[precision], precision


def test_a_network_that_the_converter_rejects_is_a_conversion_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = design({**IMAGE, **stages(1)})
    import tensorflow as tf

    def refuse(*_: Any) -> bytes:
        raise RuntimeError("loc(callsite): error: 'tf.Strange' op is neither a custom op nor a flex op\nmore")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", refuse, raising=False)
    images = np.zeros((2, *one.architecture.input_shape), np.float32)
    with pytest.raises(ConversionError, match=r"in int8: .*tf\.Strange"):
        export_litert(one.architecture, None, tmp_path / "model.tflite", LitertOptions("int8", images))
    assert not list(tmp_path.iterdir())
