"""Summaries of Keras, LiteRT and ONNX models agree with the architecture that they were built from."""

from __future__ import annotations

import pytest

from nas.architecture import Architecture
from nas.backends import litert_bytes
from nas.device.arena import arena_bytes
from nas.device.conversion import convert_to_litert, freeze_keras
from nas.device.model_files import (
    summarize_architecture,
    summarize_keras,
    summarize_litert,
    summarize_onnx,
)
from nas.errors import InputError
from nas.export import export_litert, export_onnx

NETWORKS = {
    "plain": {"stages": [{"width": 8, "shrink": "max_pool"}, {"width": 12, "kernel_size": 5}]},
    "normalized": {
        "stem": {"width": 8, "stride": 2, "normalization": "between"},
        "stages": [{"width": 16, "conv": "separable", "normalization": "between", "residual": "projection"}],
    },
    "decoder": {
        "task": "segmentation",
        "stages": [{"width": 8, "shrink": "strided"}],
        "decoder": {"upsample": "transposed"},
    },
}


@pytest.fixture(scope="module", params=NETWORKS)
def architecture(request) -> Architecture:
    return Architecture.from_dict({"input_shape": [16, 16, 3], "classes": 4, **NETWORKS[request.param]})


@pytest.mark.trains  # loads TensorFlow
def test_a_keras_model_has_the_costs_of_its_architecture(architecture):
    from nas.backends import build_model

    counted = summarize_architecture(architecture)
    model = build_model(architecture)
    found = summarize_keras(model, arena_bytes(convert_to_litert(freeze_keras(model))))
    assert (found.params, found.trainable_params) == (counted.params, counted.trainable_params)
    assert found.flops == counted.flops > 0
    assert sum(layer.params for layer in found.layers) == found.params
    by_name = {layer.name: layer.flops for layer in counted.layers}
    assert all(by_name[layer.name] == layer.flops for layer in found.layers)


def test_a_litert_file_has_the_flops_of_its_architecture(architecture, tmp_path):
    counted = summarize_architecture(architecture)
    path = export_litert(architecture, None, tmp_path / "model.tflite")
    found = summarize_litert(path.read_bytes())
    assert found.flops == counted.flops
    assert found.trainable_params is None
    statistics = sum(layer.params for layer in counted.layers if layer.kind == "batch_norm")
    assert counted.params - statistics <= found.params <= counted.params  # folded into kernels and biases
    assert 0.4 < found.peak_bytes / counted.peak_bytes < 2.5


@pytest.mark.trains  # loads TensorFlow
def test_an_onnx_file_has_the_flops_and_the_peak_memory_of_its_architecture(architecture, tmp_path):
    counted = summarize_architecture(architecture)
    found = summarize_onnx(export_onnx(architecture, None, tmp_path / "model.onnx"))
    assert found.flops == counted.flops
    assert found.peak_bytes == counted.peak_bytes


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "model.onnx"
    other.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match="LiteRT FlatBuffer"):
        summarize_litert(other.read_bytes())
    with pytest.raises(InputError, match="ONNX model"):
        summarize_onnx(other)


@pytest.mark.parametrize("length", [8, 12, 40, 300, 900])
def test_a_litert_file_that_is_cut_off_is_one_sentence(length):
    architecture = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 3, "stages": [{"width": 4}]})
    with pytest.raises(InputError, match=r"must be a LiteRT FlatBuffer, got (damaged|other) content"):
        summarize_litert(litert_bytes(architecture, None, "float32")[:length])
