"""A network as a LiteRT file (`.tflite`), at one of four precisions.

Files of all precisions except int8 are written by `nas.backends.litert_bytes`, as are the files whose latency
`nas.device` measures: the exported file is the measured file, with a signature in its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.backends import (
    PRECISIONS,
    Precision,
    TargetScale,
    build_model,
    initial_weights,
    litert_bytes,
    pack_model,
    predict,
    unpack_model,
    weight_specs,
)
from nas.data import Signature
from nas.errors import ConversionError, InputError, nearest
from nas.export.keras_file import check_weights, set_weights
from nas.export.signature_metadata import add_to_litert
from nas.files import output_file
from nas.quiet import silence_output
from nas.tensorflow_imports import import_tensorflow

__all__ = ["export_litert"]

CALIBRATION_IMAGES = 200
"""Largest number of images that calibrate int8."""


def export_litert(
    architecture: Architecture,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    precision: Precision = "float32",
    calibration: np.ndarray | None = None,
    signature: Signature | None = None,
) -> Path:
    """Write a `.tflite` file with batch size 1; with initial weights if `weights` is None.

    Input (1, *input_shape) and output are float32 at every precision; the input has pixels from 0 to 255 if
    the architecture rescales. `float16` and `dynamic_int8` compress the weights only; `int8` also computes in
    integers and needs `calibration` (images, *input_shape): training images, scaled as the network takes
    them. Raises InputError for an unknown precision, missing or unfit calibration images, unfit weights or a
    file that can't be written, and ConversionError if LiteRT can't convert the network.
    """
    _check(architecture, precision, calibration)
    if precision == "int8":
        assert calibration is not None
        content = _calibrated(architecture, weights, calibration)
    else:
        content = litert_bytes(architecture, _by_layer(architecture, weights), precision)
    if signature is not None:
        content = add_to_litert(content, signature)
    with output_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _check(architecture: Architecture, precision: Precision, calibration: np.ndarray | None) -> None:
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; {nearest(precision, PRECISIONS)}")
    if precision != "int8":
        return
    if calibration is None or not len(calibration):
        raise InputError(
            "precision int8 needs calibration images, got none; pass training images, or use dynamic_int8"
        )
    if calibration.shape[1:] != tuple(architecture.input_shape):
        raise InputError(
            f"calibration images must have the input's shape {tuple(architecture.input_shape)}, got "
            f"{calibration.shape[1:]}; pass training images as the network takes them"
        )


def _by_layer(
    architecture: Architecture, weights: Sequence[np.ndarray] | None
) -> dict[str, list[np.ndarray]]:
    """Return the arrays of each layer by its name; initial ones if `weights` is None."""
    specs = weight_specs(architecture.layers)
    values = list(initial_weights(specs, seed=0) if weights is None else weights)
    check_weights([spec.shape for spec in specs], values, architecture)
    found: dict[str, list[np.ndarray]] = {}
    for spec, value in zip(specs, values, strict=True):
        found.setdefault(spec.name.split("/")[0], []).append(value)
    return found


def _calibrated(
    architecture: Architecture, weights: Sequence[np.ndarray] | None, calibration: np.ndarray
) -> bytes:
    """Convert to int8 with TensorFlow's converter, which measures the ranges of activations on images.

    A graph whose variables are constants is converted five times faster than a SavedModel.
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = build_model(architecture)
    set_weights(model, weights, architecture)
    images = calibration[:CALIBRATION_IMAGES].astype("float32")
    scale = None
    if architecture.task == "regression" and architecture.head is not None:
        # All outputs have one scale in int8, and it includes 0: it must not be that of the numbers.
        scale = TargetScale.of(predict(model, images))
        model.set_weights(scale.unfold(model.get_weights()))

    def examples() -> Iterator[list[np.ndarray]]:
        return ([image[None]] for image in images)

    signature = [tf.TensorSpec((1, *architecture.input_shape), tf.float32, name="input")]
    try:
        with silence_output():
            function = tf.function(lambda x: model(x, training=False), input_signature=signature)
            frozen = convert_variables_to_constants_v2(function.get_concrete_function())
            converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            content: bytes = converter.convert()
    except Exception as error:  # the converter's errors have no common type
        raise ConversionError(
            f"LiteRT cannot convert architecture {architecture.id} to int8: {_reason(error)}"
        ) from error
    return content if scale is None else _scaled(content, scale)


def _scaled(content: bytes, scale: TargetScale) -> bytes:
    """Return a LiteRT file that multiplies and shifts the output of the given one, in float32."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack_model(content)
    (graph,) = model.subgraphs
    (output,) = graph.outputs
    added = (("MUL", schema.MulOptionsT, scale.deviations), ("ADD", schema.AddOptionsT, scale.means))
    for name, options, values in added:
        code, buffer, operator = schema.OperatorCodeT(), schema.BufferT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        buffer.data = np.frombuffer(np.array(values, np.float32).tobytes(), np.uint8)
        constant, result = schema.TensorT(), schema.TensorT()
        constant.name, result.name = f"scale_{name.lower()}", f"scaled_{name.lower()}"
        constant.shape, result.shape = [len(values)], graph.tensors[output].shape
        constant.buffer, result.buffer = len(model.buffers), 0
        model.buffers.append(buffer)
        graph.tensors += [constant, result]
        operator.opcodeIndex = len(model.operatorCodes)
        operator.inputs, operator.outputs = [output, len(graph.tensors) - 2], [len(graph.tensors) - 1]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options.__name__.removesuffix("T"))
        operator.builtinOptions = options()
        model.operatorCodes.append(code)
        graph.operators.append(operator)
        output = len(graph.tensors) - 1
    graph.outputs = [output]
    for signature in model.signatureDefs or []:
        signature.outputs[0].tensorIndex = output
    return pack_model(model)


def _reason(error: Exception) -> str:
    """Return the line of a converter's message that states the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or [type(error).__name__])[0][:300]
