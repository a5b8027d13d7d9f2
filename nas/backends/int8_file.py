"""A network as a LiteRT file that computes in integers, by TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.architecture import Architecture
from nas.backends.flatbuffer import pack_model, unpack_model
from nas.backends.keras_model import build_model, predict
from nas.backends.target_scale import TargetScale
from nas.backends.tensorflow_lite import convert_function, freeze_function
from nas.tensorflow_imports import import_tensorflow

__all__ = ["CALIBRATION_IMAGES", "int8_bytes"]

CALIBRATION_IMAGES = 200
"""Largest number of training images that calibrate a file, those at the start of the training split."""


def int8_bytes(
    architecture: Architecture,
    weights: Sequence[np.ndarray],
    calibration: np.ndarray,
    integer_io: bool = False,
) -> bytes:
    """Return a network as a LiteRT file that computes in int8.

    The converter measures the ranges of activations on images, of which it takes `CALIBRATION_IMAGES`. Input
    and output are float32, or with `integer_io` int8 with a scale and a zero point, for runtimes that have no
    floating-point operators. Raises ConversionError if LiteRT can't convert the network.
    """
    model = build_model(architecture)
    model.set_weights(list(weights))
    images = calibration[:CALIBRATION_IMAGES].astype("float32")
    scale = None
    if architecture.task == "regression" and architecture.head is not None:
        # All outputs have one scale in int8, and it includes 0: it must not be that of the numbers.
        scale = TargetScale.of(predict(model, images))
        model.set_weights(scale.unfold(model.get_weights()))

    tf = import_tensorflow()
    signature = [tf.TensorSpec((1, *architecture.input_shape), tf.float32, name="input")]
    frozen = freeze_function(lambda x: model(x, training=False), signature)
    content = convert_function(frozen, "int8", lambda: ([image[None]] for image in images), integer_io)
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
