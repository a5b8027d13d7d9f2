"""The tensor arena of a LiteRT file: the memory that LiteRT allocates for activations.

"Arena" is LiteRT's own term. The size is computed from the file by the rules of LiteRT's memory planner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

from nas.architecture import Buffer, Operation, assign_buffers

__all__ = ["arena_bytes"]

ALIGNMENT = 64
"""LiteRT places tensors at multiples of this number of bytes."""

IN_PLACE = ("ADD", "MUL", "SUB", "RESHAPE", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6", "ELU", "EXP")
"""Operators that may write over an input that no other operator reads."""

VALUE_BYTES = {
    "FLOAT32": 4,
    "INT32": 4,
    "FLOAT16": 2,
    "INT16": 2,
    "INT8": 1,
    "UINT8": 1,
    "BOOL": 1,
    "INT64": 8,
}
"""Bytes per value, by the name of the type in LiteRT's schema."""


def arena_bytes(content: bytes) -> int:
    """Compute the size of the arena in which LiteRT places the activations of a file.

    Follows LiteRT's memory planner: the network's inputs stay in use to the end, element-wise operators write
    over an input, and the largest tensor is placed first, each into the smallest gap between the tensors that
    are in use at the same time. The size is computed, not observed: scratch memory of single operators is not
    counted, and a delegate such as XNNPACK allocates memory of its own.
    """
    return _planned_bytes(_activation_buffers(content))


def _planned_bytes(buffers: Sequence[Buffer[int]]) -> int:
    """Return the end of the last buffer when each is placed into the smallest gap that fits it."""
    placed: list[tuple[int, int, Buffer[int]]] = []  # offset, end, buffer; sorted by offset
    for buffer in sorted(buffers, key=lambda buffer: (-buffer.size_bytes, buffer.first, buffer.tensor)):
        best_offset, smallest_gap = -1, None
        offset = 0
        for begin, end, other in placed:
            if other.last < buffer.first or other.first > buffer.last:
                continue
            aligned = _aligned(offset)
            fits = aligned + buffer.size_bytes <= begin
            if fits and (smallest_gap is None or begin - offset < smallest_gap):
                best_offset, smallest_gap = aligned, begin - offset
            offset = max(offset, end)
        if best_offset < 0:
            best_offset = _aligned(offset)
        placed.append((best_offset, best_offset + buffer.size_bytes, buffer))
        placed.sort(key=lambda entry: entry[:2])
    return max((end for _, end, _ in placed), default=0)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _activation_buffers(content: bytes) -> list[Buffer[int]]:
    """Return the buffers of a file's activations; tensors that depend on constants alone have none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    size_bytes = {index: _tensor_bytes(tensor, schema) for index, tensor in enumerate(tensors)}
    in_place = {getattr(schema.BuiltinOperator, name) for name in IN_PLACE}
    operators = [_operator(graph.Operators(index), model) for index in range(graph.OperatorsLength())]
    readers = Counter(tensor for _, inputs, _ in operators for tensor in set(inputs))
    graph_inputs = [int(tensor) for tensor in graph.InputsAsNumpy()]
    graph_outputs = [int(tensor) for tensor in graph.OutputsAsNumpy()]
    variable = set(graph_inputs)  # tensors that depend on the network's input
    operations = []
    for code, inputs, outputs in operators:
        if inputs and variable.isdisjoint(inputs):
            continue  # computed once, from constants alone
        variable.update(outputs)
        overwrites = [tensor for tensor in inputs if readers[tensor] == 1] if code in in_place else []
        operations.append(Operation(inputs, outputs, overwrites))
    return assign_buffers(operations, size_bytes, graph_inputs, retained=[*graph_inputs, *graph_outputs])


def _operator(operator: Any, model: Any) -> tuple[int, list[int], list[int]]:
    """Return an operator's code, the indices of its input tensors, and those of its output tensors."""
    code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
    inputs = [int(operator.Inputs(index)) for index in range(operator.InputsLength())]
    return code, inputs, [int(operator.Outputs(index)) for index in range(operator.OutputsLength())]


def _tensor_bytes(tensor: Any, schema: Any) -> int:
    shape = [max(1, int(tensor.Shape(axis))) for axis in range(tensor.ShapeLength())]
    value_bytes = {getattr(schema.TensorType, name): size for name, size in VALUE_BYTES.items()}
    return prod(shape) * value_bytes.get(tensor.Type(), 4)
