"""The memory that a LiteRT file's activations need: LiteRT's own plan, made again from the file."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

__all__ = ["arena_bytes"]

ALIGNMENT = 64
"""Bytes on whose multiples LiteRT places tensors."""

IN_PLACE = ("ADD", "MUL", "SUB", "RESHAPE", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6", "ELU", "EXP")
"""Operators that write over their input where nothing else reads it."""

WIDTHS = {"FLOAT32": 4, "INT32": 4, "FLOAT16": 2, "INT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1, "INT64": 8}
"""Bytes of one value, by the schema's names."""


def arena_bytes(content: bytes) -> int:
    """Compute the bytes of the arena in which LiteRT places a file's activations.

    Follows LiteRT's planner: inputs stay alive, operators that go element by element write over their
    input, the largest tensor is placed first, each in the tightest gap among those alive at the same time.
    It is computed, not observed: scratch memory of single operators is left out, and a delegate such as
    XNNPACK plans memory of its own.
    """
    sizes, first, last = _lifetimes(content)
    order = sorted(first, key=lambda place: (-sizes[place], first[place], place))
    placed: list[tuple[int, int, int]] = []  # offset, end, tensor, by offset
    for place in order:
        size = sizes[place]
        best, gap = -1, None
        offset = 0
        for begin, end, other in placed:
            if last[other] < first[place] or first[other] > last[place]:
                continue
            aligned = _aligned(offset)
            if aligned + size <= begin and (gap is None or begin - offset < gap):
                best, gap = aligned, begin - offset
            offset = max(offset, end)
        if best < 0:
            best = _aligned(offset)
        placed.append((best, best + size, place))
        placed.sort()
    return max((end for _, end, _ in placed), default=0)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _lifetimes(content: bytes) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Give each placed tensor's bytes, and the first and the last operator during which it is alive."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    sizes = [_size(graph.Tensors(place), schema) for place in range(graph.TensorsLength())]
    in_place = {getattr(schema.BuiltinOperator, name) for name in IN_PLACE}
    operators = [_operator(graph.Operators(number), model) for number in range(graph.OperatorsLength())]
    readers = Counter(place for _, inputs, _ in operators for place in set(inputs))
    entries = {int(place) for place in graph.InputsAsNumpy()}
    home = {place: place for place in entries}  # the tensor in whose memory each lies
    first, last = dict.fromkeys(entries, 0), dict.fromkeys(entries, len(operators))
    for number, (code, inputs, outputs) in enumerate(operators):
        if inputs and not any(place in home for place in inputs):
            continue  # computed once, from constants alone
        for place in outputs:
            shared = next(
                (
                    source
                    for source in inputs
                    if code in in_place and source in home and source not in entries
                    if readers[source] == 1 and sizes[source] == sizes[place]
                ),
                place,
            )
            home[place] = home.get(shared, place)
            first.setdefault(home[place], number)
        for place in (*inputs, *outputs):
            if place in home and home[place] not in entries:
                last[home[place]] = number
    for place in graph.OutputsAsNumpy():
        last[home[int(place)]] = len(operators)
    return {place: sizes[place] for place in first}, first, last


def _operator(operator: Any, model: Any) -> tuple[int, list[int], list[int]]:
    code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
    inputs = [int(operator.Inputs(place)) for place in range(operator.InputsLength())]
    return code, inputs, [int(operator.Outputs(place)) for place in range(operator.OutputsLength())]


def _size(tensor: Any, schema: Any) -> int:
    shape = [max(1, int(tensor.Shape(place))) for place in range(tensor.ShapeLength())]
    widths = {getattr(schema.TensorType, kind): width for kind, width in WIDTHS.items()}
    return prod(shape) * widths.get(tensor.Type(), 4)
