"""Find out from a model file which values its input takes: 0..255, 0..1 or -1..1.

Values of another range give answers at the level of chance without an error, so what a file does not say is
not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.backends import unpack_model
from nas.data import Signature
from nas.tensorflow_imports import import_tensorflow

__all__ = [
    "RANGES",
    "InputValues",
    "litert_input_values",
    "onnx_input_values",
    "signature_input_values",
    "tensorflow_input_shape",
    "tensorflow_input_values",
]

RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
"""Ranges by name as an option takes them."""

RANGE_TOLERANCE = 0.03
"""Of the width of a range, for the range that the images of a calibration had."""

BYTE_FACTORS = (1 / 255, 1 / 127.5)
"""First factors of networks that take pixels of 0..255."""

FACTOR_TOLERANCE = 0.01


@dataclass(frozen=True)
class InputValues:
    """The values that an input takes."""

    name: str  # of RANGES, or 'data': as they are in the data
    reason: str  # how this is known, as in 'as its first operator divides by 255'


def signature_input_values(signature: Signature) -> InputValues:
    """Return the values of a network that nas exported."""
    if signature.feeding.rescale:
        return InputValues("0..255", "as its signature says")
    low, high = signature.feeding.value_range
    fitting = [name for name in ("0..1", "-1..1") if RANGES[name][0] <= low and high <= RANGES[name][1]]
    return InputValues((*fitting, "data")[0], "as its signature says")


def litert_input_values(content: bytes) -> InputValues | None:
    """Return the values that a LiteRT file takes by its quantization or first operator; None: unknown."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack_model(content)
    graph = model.subgraphs[0]
    tensor = graph.inputs[0]
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    if found := _quantized_range(graph.tensors[tensor], types):
        return found
    for operator in graph.operators:  # in order
        if tensor not in list(operator.inputs):
            continue
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        if kind == "CAST":
            tensor = operator.outputs[0]
            continue
        if kind == "QUANTIZE":
            return _quantized_range(graph.tensors[operator.outputs[0]], types)
        if kind in ("MUL", "DIV"):
            others = [graph.tensors[index] for index in operator.inputs if index != tensor]
            buffers = [model.buffers[other.buffer].data for other in others]
            if len(others) == 1 and buffers[0] is not None and types[others[0].type] == "FLOAT32":
                constant = np.frombuffer(np.asarray(buffers[0], np.uint8).tobytes(), np.float32)
                return _scaled_range(constant if kind == "MUL" else 1 / constant)
        return None
    return None


def _quantized_range(tensor: Any, types: dict[int, str]) -> InputValues | None:
    """Return the range that the scale and zero point of an integer tensor span, if it is a usual one."""
    kind, quantization = types[tensor.type], tensor.quantization
    if kind not in ("INT8", "UINT8"):
        return None
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return InputValues("0..255", "as its input is of bytes") if kind == "UINT8" else None
    limits = np.iinfo(kind.lower())
    span = [
        float((limit - quantization.zeroPoint[0]) * quantization.scale[0])
        for limit in (limits.min, limits.max)
    ]
    for name, (low, high) in RANGES.items():
        if np.allclose(span, (low, high), rtol=0, atol=RANGE_TOLERANCE * (high - low)):
            return InputValues(name, "as its quantization says")
    return None


def _scaled_range(factors: np.ndarray) -> InputValues | None:
    for known in BYTE_FACTORS:
        if factors.size and np.allclose(factors, known, rtol=FACTOR_TOLERANCE, atol=0):
            return InputValues("0..255", f"as its first operator divides by {1 / known:g}")
    return None


def onnx_input_values(graph: Any) -> InputValues | None:
    """Return the values that an ONNX graph takes by its input or first operator; None: unknown."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    (taken,) = [value for value in graph.input if value.name not in constants][:1] or [None]
    if taken is None:
        return None
    if taken.type.tensor_type.elem_type == 2:  # uint8
        return InputValues("0..255", "as its input is of bytes")
    for node in graph.node:
        if taken.name in node.input:
            known = [numpy_helper.to_array(constants[name]) for name in node.input if name in constants]
            if node.op_type in ("Mul", "Div") and len(known) == 1:
                return _scaled_range(np.ravel(known[0] if node.op_type == "Mul" else 1 / known[0]))
            return None
    return None


def tensorflow_input_shape(graph: Any) -> tuple[int, ...]:
    """Return the shape of one example of a frozen TensorFlow graph, () if it has several inputs."""
    inputs = [operator for operator in graph.get_operations() if operator.type == "Placeholder"]
    return tuple(inputs[0].outputs[0].shape)[1:] if len(inputs) == 1 else ()


def tensorflow_input_values(graph: Any) -> InputValues | None:
    """Return the values that a frozen TensorFlow graph takes; None: unknown. See `onnx_input_values`."""
    inputs = [operator for operator in graph.get_operations() if operator.type == "Placeholder"]
    if len(inputs) != 1:
        return None
    tensor = inputs[0].outputs[0]
    if tensor.dtype.name == "uint8":
        return InputValues("0..255", "as its input is of bytes")
    while len(readers := tensor.consumers()) == 1 and readers[0].type in ("Cast", "Identity"):
        (tensor,) = readers[0].outputs
    if len(readers) != 1 or readers[0].type not in ("Mul", "RealDiv"):
        return None
    constants = [one.op for one in readers[0].inputs if one.op.type == "Const"]
    if len(constants) != 1:
        return None
    constant = np.ravel(import_tensorflow().make_ndarray(constants[0].get_attr("value")))
    return _scaled_range(constant if readers[0].type == "Mul" else 1 / constant)
