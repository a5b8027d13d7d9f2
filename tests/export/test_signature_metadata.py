"""Each exported file says what its input and its outputs mean, and computes the same as without that."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.backends import build_model
from nas.data import Signature
from nas.export import ExportOptions, export_files
from nas.export.signature_metadata import read_from_keras
from tests.exported_designs import IMAGE, design, random_inputs, random_weights, stages

CLASSES = ("9", "10", 'Größe "L"', "back\\slash")
SIGNATURE = Signature(
    task="classification",
    input_shape=(16, 16, 3),
    classes=CLASSES,
    feeding={"channels": "RGB", "resize": "bilinear", "value_range": (0, 4095)},
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, Path], Any]:
    one = design({**IMAGE, **stages(1, 8)})
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    formats = ("keras", "python", "litert", "onnx")
    folder = tmp_path_factory.mktemp("exported")
    with_signature = export_files(one, weights, folder / "with", ExportOptions(formats, signature=SIGNATURE))
    without = export_files(one, weights, folder / "without", ExportOptions(formats))
    return with_signature, without, one.architecture


def test_the_signature_in_words() -> None:
    assert SIGNATURE.text() == (
        "Input: an RGB image of 16x16x3, channels last, resized with bilinear interpolation and "
        "antialiasing, with values from 0 to 255, to which 0 to 4095 in the data are mapped. "
        'Output: probabilities of the classes, in order: 0: 9, 1: 10, 2: Größe "L", 3: back\\slash.'
    )
    many = SIGNATURE.model_copy(update={"classes": tuple(map(str, range(1000)))})
    assert many.output_text().endswith("9: 9, ..., 999: 999")
    as_they_are = {"rescale": False, "value_range": (-1.5, 1.5)}
    values = Signature(task="classification", input_shape=(9, 2), classes=("a", "b"), feeding=as_they_are)
    assert values.input_text() == "an array of 9x2, channels last, with values as in the data, -1.5 to 1.5"


def test_labels_are_written_beside_the_files(exported: tuple[dict[str, Path], ...]) -> None:
    with_signature, without, _ = exported
    assert with_signature["labels"].read_text(encoding="utf-8").splitlines() == list(CLASSES)
    assert "labels" not in without


def test_a_keras_file_with_a_signature_is_loaded_by_keras(exported: tuple[Any, ...]) -> None:
    import keras

    with_signature, without, architecture = exported
    x = random_inputs(architecture, 3)
    loaded = keras.saving.load_model(with_signature["keras"])
    np.testing.assert_array_equal(loaded(x), keras.saving.load_model(without["keras"])(x))
    assert loaded.optimizer is not None
    assert read_from_keras(with_signature["keras"]) == SIGNATURE
    assert read_from_keras(without["keras"]) is None


def test_a_litert_file_has_a_description_and_metadata(exported: tuple[Any, ...]) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    with_signature, without, architecture = exported
    x = random_inputs(architecture, 1)
    results = []
    for paths in (with_signature, without):
        interpreter = Interpreter(str(paths["litert"]))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(*results)
    file = schema.Model.GetRootAs(with_signature["litert"].read_bytes(), 0)
    assert file.Description().decode() == SIGNATURE.text()
    entries = {file.Metadata(n).Name(): file.Metadata(n).Buffer() for n in range(file.MetadataLength())}
    content = json.loads(file.Buffers(entries[b"nas"]).DataAsNumpy().tobytes())
    assert json.loads(content["classes"]) == list(CLASSES)
    assert Signature.model_validate_json(content["signature"]) == SIGNATURE


def test_an_onnx_file_has_metadata(exported: tuple[Any, ...]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    with_signature, without, architecture = exported
    x = random_inputs(architecture, 2)
    sessions = [onnxruntime.InferenceSession(str(paths["onnx"])) for paths in (with_signature, without)]
    np.testing.assert_array_equal(*(session.run(None, {"input": x})[0] for session in sessions))
    found = sessions[0].get_modelmeta()
    assert found.description == SIGNATURE.text()
    assert json.loads(found.custom_metadata_map["classes"]) == list(CLASSES)
    assert Signature.model_validate_json(found.custom_metadata_map["signature"]) == SIGNATURE


def test_python_source_names_the_classes_and_says_how_to_feed(exported: tuple[Any, ...]) -> None:
    with_signature, without, _ = exported
    names = runpy.run_path(str(with_signature["python"]))
    assert names["CLASSES"] == CLASSES
    assert "0 to 4095 in the data are mapped" in " ".join(names["__doc__"].split())
    assert "CLASSES" not in runpy.run_path(str(without["python"]))
