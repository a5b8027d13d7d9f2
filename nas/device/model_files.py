"""Count the parameters, the FLOPs per layer and the activation memory of any model file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from nas.architecture import (
    Architecture,
    LayerCost,
    Operation,
    assign_buffers,
    layer_costs,
    network_cost,
    peak_buffer_bytes,
)
from nas.backends import Precision, unpack_model
from nas.device.arena import arena_bytes
from nas.errors import InputError

__all__ = [
    "ModelSummary",
    "litert_input_shape",
    "litert_precision",
    "read_onnx",
    "summarize_architecture",
    "summarize_keras",
    "summarize_litert",
    "summarize_onnx",
]


@dataclass(frozen=True)
class ModelSummary:
    """The costs of a network for one example.

    FLOPs are 2 x the multiply-adds of convolutions, dense layers and matrix products.
    """

    params: int
    trainable_params: int | None  # None if the file does not say
    flops: int
    peak_bytes: int | None  # of activations at batch 1; None if shapes are unknown
    layers: tuple[LayerCost, ...]


def summarize_architecture(architecture: Architecture) -> ModelSummary:
    """Count the costs of an architecture."""
    counted = network_cost(architecture)
    layers = tuple(layer_costs(architecture))
    return ModelSummary(counted.params, counted.trainable_params, counted.flops, counted.peak_bytes, layers)


def summarize_keras(model: Any, peak_bytes: int) -> ModelSummary:
    """Count the costs of a Keras model; the layers of nested models are listed one by one.

    Only convolutions and dense layers count FLOPs. `peak_bytes`: the arena of the model's LiteRT file.
    """
    layers = tuple(_keras_layers(model))
    trainable = sum(prod(weight.shape) for weight in model.trainable_weights)
    flops = sum(layer.flops for layer in layers)
    return ModelSummary(model.count_params(), trainable, flops, peak_bytes, layers)


def _keras_layers(model: Any) -> Iterator[LayerCost]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _keras_layers(layer)
            continue
        kind = type(layer).__name__
        shape = tuple(size or 1 for size in layer.output.shape[1:])
        kernels = [weight for weight in layer.weights if "kernel" in weight.name]
        positions = prod(layer.input.shape[1:-1]) if kind.endswith("Transpose") else prod(shape[:-1])
        multiply_adds = sum(prod(kernel.shape) for kernel in kernels) * positions
        if not kind.removesuffix("Transpose").rstrip("123D").endswith(("Conv", "Dense")):
            multiply_adds = 0
        trainable = sum(prod(weight.shape) for weight in layer.trainable_weights)
        yield LayerCost(layer.name, kind, shape, layer.count_params(), trainable, 2 * multiply_adds)


LITERT_WEIGHT_INPUTS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}
"""The indices of the kernel and the bias among the inputs of LiteRT operators with weights."""


LITERT_RULE = "a .tflite file must be a LiteRT FlatBuffer"

DAMAGED = (
    struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError,
    RecursionError,
)  # fmt: skip
"""Errors from following the offsets of a FlatBuffer that is cut off or damaged."""


def summarize_litert(content: bytes) -> ModelSummary:
    """Count the costs of a LiteRT file, where normalization is folded into the kernels.

    Raises InputError if the content is not a LiteRT FlatBuffer.
    """
    if content[4:8] != b"TFL3":
        raise InputError(f"{LITERT_RULE}, got other content; export it again")
    try:
        layers = _litert_layers(content)
    except DAMAGED as error:
        raise InputError(
            f"{LITERT_RULE}, got damaged content ({type(error).__name__}); export it again"
        ) from None
    return _summarize_layers(layers, arena_bytes(content))


def _litert_layers(content: bytes) -> list[LayerCost]:
    from ai_edge_litert import schema_py_generated as schema

    model = unpack_model(content)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    tensors = model.subgraphs[0].tensors

    def shape(tensor: int) -> tuple[int, ...]:
        sizes = tensors[tensor].shape
        return () if sizes is None else tuple(int(size) for size in sizes)

    layers = []
    for operator in model.subgraphs[0].operators:
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        inputs, output = [int(tensor) for tensor in operator.inputs], int(operator.outputs[0])
        params = multiply_adds = 0
        if kind in LITERT_WEIGHT_INPUTS:
            kernel, bias = LITERT_WEIGHT_INPUTS[kind]
            weights = prod(shape(inputs[kernel]))
            params = weights + (prod(shape(inputs[bias])) if bias < len(inputs) and inputs[bias] >= 0 else 0)
            # the kernel is applied at each position of the output; a transposed one at each of the input
            positions = prod(shape(inputs[2] if kind == "TRANSPOSE_CONV" else output)[:-1])
            multiply_adds = weights * positions
        name = tensors[output].name
        layer_name = name.decode() if isinstance(name, bytes) else str(name or kind)
        layers.append(LayerCost(layer_name, kind.lower(), shape(output)[1:], params, 0, 2 * multiply_adds))
    return layers


def litert_input_shape(content: bytes) -> tuple[int, ...]:
    """Return the shape of one example of a LiteRT file, () if it has several inputs or outputs."""
    graph = unpack_model(content).subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return ()
    return tuple(int(size) for size in graph.tensors[graph.inputs[0]].shape[1:])


def litert_precision(content: bytes) -> Precision:
    """Return the precision of a LiteRT file, by the types of its kernels and of what they are applied to."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack_model(content)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    tensors = model.subgraphs[0].tensors
    kinds = {types[tensor.type] for tensor in tensors}
    for operator in model.subgraphs[0].operators:
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        if kind in LITERT_WEIGHT_INPUTS:
            kernel = types[tensors[operator.inputs[LITERT_WEIGHT_INPUTS[kind][0]]].type]
            output = types[tensors[operator.outputs[0]].type]
            if kernel in ("INT8", "UINT8"):
                return "dynamic_int8" if output == "FLOAT32" else "int8"
    return "float16" if "FLOAT16" in kinds else "float32"


def _summarize_layers(layers: Sequence[LayerCost], peak_bytes: int | None) -> ModelSummary:
    params, flops = (sum(getattr(layer, name) for layer in layers) for name in ("params", "flops"))
    return ModelSummary(params, None, flops, peak_bytes, tuple(layers))


def read_onnx(path: Path) -> Any:
    """Return the graph of an ONNX file with inferred shapes.

    Raises InputError if it is not one or if `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise InputError("an .onnx file needs the package onnx; run: pip install 'nas[onnx]'") from None
    try:
        return onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    except Exception:  # protobuf's and onnx's errors have no common type
        raise InputError(f"an .onnx file must be an ONNX model, got '{path}'; export it again") from None


def summarize_onnx(path: Path) -> ModelSummary:
    """Count the costs of an ONNX file; raises InputError if it is not one or if `onnx` is not installed."""
    graph = read_onnx(path)
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {
        value.name: tuple(size.dim_value or 1 for size in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    layers = []
    for node in graph.node:
        output = shapes.get(node.output[0], ())
        weight_shapes = [weights[name] for name in node.input if name in weights]
        multiply_adds = 0
        if weight_shapes and node.op_type in ("Conv", "ConvTranspose"):
            source = output if node.op_type == "Conv" else shapes.get(node.input[0], ())
            multiply_adds = prod(weight_shapes[0]) * prod(source[2:])
        elif weight_shapes and node.op_type in ("MatMul", "Gemm"):
            multiply_adds = prod(weight_shapes[0]) * prod(output[1:-1])
        params = 0
        if node.op_type not in ("Reshape", "Transpose", "Pad"):  # their constants are shapes, not weights
            params = sum(prod(shape) for shape in weight_shapes)
        layers.append(LayerCost(node.name, node.op_type.lower(), output[1:], params, 0, 2 * multiply_adds))
    return _summarize_layers(layers, _onnx_peak_bytes(graph, shapes, weights))


ONNX_IN_PLACE = frozenset(
    {
        "Add",
        "Clip",
        "Div",
        "Elu",
        "Flatten",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mul",
        "Relu",
        "Reshape",
    }
    | {"Sigmoid", "Softmax", "Squeeze", "Sub", "Tanh", "Unsqueeze"}
)
"""ONNX operators that a runtime computes into the memory of their first input."""


def _onnx_peak_bytes(
    graph: Any, shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, tuple[int, ...]]
) -> int:
    """Return the peak of a graph's float32 activations; see `nas.architecture.cost.peak_bytes`."""
    operations = [
        Operation(node.input, node.output, node.input[:1] if node.op_type in ONNX_IN_PLACE else ())
        for node in graph.node
    ]
    inputs = [value.name for value in graph.input if value.name not in weights]
    names = {*inputs, *(name for node in graph.node for name in node.output)}
    sizes = {name: 4 * prod(shapes.get(name, ())) for name in names}
    return peak_buffer_bytes(assign_buffers(operations, sizes, inputs))
