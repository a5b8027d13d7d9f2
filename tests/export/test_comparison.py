"""Files that answer differently are errors; those of lower precision are described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Design
from nas.backends import build_model, compute_outputs
from nas.errors import ConversionError
from nas.export import ExportOptions, compare_outputs, export_files, file_bytes, load_network
from tests.exported_designs import GRAMMAR, IMAGE, design, random_inputs, random_weights, stages

FORMATS = ("keras", "python", "saved_model", "onnx", "litert")
PATH = Path("model.onnx")


@pytest.mark.trains
@pytest.mark.parametrize("name", ["binary", "regression of a signal", "decoder"])
def test_every_format_answers_as_the_operations_of_a_validation(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime")
    one = design(GRAMMAR[name])
    weights = random_weights(build_model(one.architecture))
    x = random_inputs(one.architecture, 5)
    expected = compute_outputs(one.architecture, weights, x)
    files = export_files(one, weights, tmp_path, ExportOptions(FORMATS))
    for key in FORMATS:
        outputs = load_network(files[key], key)(x)
        difference, agreement = compare_outputs(
            files[key], "float32", one.architecture.task, outputs, expected
        )
        assert difference < 1e-4 * max(1.0, float(np.abs(expected).max())), key
        assert agreement == (None if one.architecture.task == "regression" else 1.0)
        assert file_bytes(files[key]) > 1000


def test_source_counts_its_weights_and_a_folder_its_files(tmp_path: Path) -> None:
    one = design({**IMAGE, **stages(1, 8)})
    weights = random_weights(build_model(one.architecture))
    files = export_files(one, weights, tmp_path, ExportOptions(("python", "saved_model")))
    assert file_bytes(files["python"]) == sum(files[key].stat().st_size for key in ("python", "weights"))
    inside = [path.stat().st_size for path in files["saved_model"].rglob("*") if path.is_file()]
    assert file_bytes(files["saved_model"]) == sum(inside)


def test_equal_decisions_are_counted_by_task() -> None:
    expected = np.array([[0.9, 0.1], [0.4, 0.6]])
    outputs = np.array([[0.8, 0.2], [0.6, 0.4]])
    assert compare_outputs(PATH, "int8", "classification", outputs, expected) == (pytest.approx(0.2), 0.5)
    assert compare_outputs(PATH, "int8", "multi_label", outputs, expected)[1] == 0.5
    assert compare_outputs(PATH, "int8", "regression", outputs, expected) == (pytest.approx(0.2), None)


@pytest.mark.parametrize(("precision", "difference"), [("float32", 0.002), ("float16", 0.1)])
def test_another_answer_in_floating_point_is_an_error(precision: str, difference: float) -> None:
    expected = np.array([[0.9, 0.1], [0.4, 0.6]])
    with pytest.raises(ConversionError, match="must answer as the network that was judged, but"):
        compare_outputs(PATH, precision, "classification", expected + difference, expected)
    compare_outputs(PATH, "int8", "classification", expected + difference, expected)
    compare_outputs(PATH, precision, "classification", expected + difference / 3, expected)


def test_numbers_are_compared_by_their_spread() -> None:
    expected = np.array([[90_000.0, 1.0], [90_010.0, 1.2]])
    compare_outputs(PATH, "float32", "regression", expected + np.array([[0.01, 0.00001]]), expected)
    for wrong in ([[1.0, 0.0]], [[0.0, 0.001]]):
        with pytest.raises(ConversionError, match="differs by"):
            compare_outputs(PATH, "float32", "regression", expected + wrong, expected)


@pytest.mark.parametrize("wrong", [np.full((2, 2), np.nan), np.zeros((2, 3))])
def test_no_number_and_another_shape_are_errors(wrong: np.ndarray) -> None:
    with pytest.raises(ConversionError, match=r"differs by inf|outputs of shape \(2,\), got \(3,\)"):
        compare_outputs(PATH, "float32", "classification", wrong, np.eye(2))


@pytest.mark.parametrize("key", FORMATS)
def test_a_file_that_does_not_load_is_one_sentence(tmp_path: Path, key: str) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / {"keras": "model.keras", "python": "model.py"}.get(key, "model.tflite")
    path.write_bytes(b"1/0 # no model" * 10)
    with pytest.raises(ConversionError, match=f"'{path.name}' must load in its runtime, but: .+"):
        load_network(path, key)


def test_integers_at_input_and_output_are_converted(tmp_path: Path) -> None:
    one: Design = design({**IMAGE, **stages(1, 8)})
    weights = random_weights(build_model(one.architecture))
    x = random_inputs(one.architecture, 16)
    options = ExportOptions(("litert",), ("int8",), x, integer_io=True)
    path = export_files(one, weights, tmp_path, options)["litert.int8"]
    assert path.name == "model.int8.tflite"
    outputs = load_network(path, "litert")(x)
    expected = compute_outputs(one.architecture, weights, x)
    _, agreement = compare_outputs(path, "int8", "classification", outputs, expected)
    assert agreement is not None
    assert agreement > 0.8
    assert outputs.dtype == np.float32
