"""Model files run on several examples, also with integers at both ends; broken ones are one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from nas.backends import (
    build_model,
    compute_outputs,
    integer_scales,
    load_litert,
    load_onnx,
    predict,
    trained_litert_bytes,
)
from nas.errors import ConversionError
from tests.exported_designs import GRAMMAR, design, random_inputs, random_weights


@pytest.mark.trains
@pytest.mark.parametrize("name", ["signal, depthwise", "binary", "multi_label", "decoder, from pools"])
def test_outputs_of_operations_and_of_a_file_are_those_of_keras(name: str) -> None:
    architecture = design(GRAMMAR[name]).architecture
    model = build_model(architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    x = random_inputs(architecture, 3)
    expected = predict(model, x)
    np.testing.assert_allclose(compute_outputs(architecture, weights, x), expected, atol=1e-5)
    run = load_litert(trained_litert_bytes(architecture, weights))
    np.testing.assert_allclose(run(x), expected, atol=1e-5)
    np.testing.assert_array_equal(run(x[1:]), run(x)[1:])  # a second run of the loaded file


def test_a_float_file_has_no_integer_scales() -> None:
    architecture = design(GRAMMAR["binary"]).architecture
    weights = random_weights(build_model(architecture))
    assert integer_scales(trained_litert_bytes(architecture, weights, "float16")) == {}


def test_a_broken_file_is_one_sentence() -> None:
    with pytest.raises(ConversionError, match="LiteRT must be able to run the file, but: "):
        load_litert(b"no model" * 20)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConversionError, match="ONNX Runtime must be able to run the file, but: "):
        load_onnx(b"no model" * 20)
