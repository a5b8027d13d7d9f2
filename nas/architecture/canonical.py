"""The canonical form of a network's stem and stages: one form for all values that build the same layers.

Stages are split into single convolutions and residual blocks. Each piece is simplified to the fewest values
that build its layers. Then adjacent pieces are joined from first to last: convolutions to blocks, and blocks
to stages. The layers that a stage builds depend only on the shape of its input and on whether batch
normalization is the only reader of its output. Each step is therefore checked on the layers of its own stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import lcm
from typing import Any, Literal, get_args

from pydantic import BaseModel

from nas.architecture.blocks import stage as build_stage
from nas.architecture.layers import Graph, Layer, Shape
from nas.architecture.parts import Stage, Stem

__all__ = ["canonical_stages", "simpler_values", "without_names"]

KEYS = ("width", "conv", "kernel_size", "normalization", "activation")
"""Fields of a stage that have an effect in every stage with an activation."""

Join = Callable[[Stage, Stage], Stage | None]

MAX_COUNT = 64
"""The largest number of convolutions per block, of blocks per stage, and of groups; see `parts.Count`."""


def without_names(layers: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """Return layers without their names; two networks are the same if these are equal."""
    return [(layer[0], *layer[2:]) for layer in layers]


def simpler_values(part: BaseModel, field: str) -> list[Any]:
    """Return the values that are simpler than a field's own, simplest first."""
    value = getattr(part, field)
    info = type(part).model_fields[field]
    if info.is_required() or value == info.default:
        return []
    choices = get_args(info.annotation)
    simpler = list(choices[: choices.index(value)]) if value in choices else []
    if field == "groups":
        simpler = [groups for groups in range(2, value) if value % groups == 0]
    if field == "dense":
        simpler = [tuple(units for units in value if units)]
    return [info.default, *simpler]


def canonical_stages(
    stem: Stem | None, stages: Sequence[Stage], layers: Sequence[Layer]
) -> tuple[Stem | None, tuple[Stage, ...]]:
    """Return the canonical form of a stem and stages.

    `layers` are the layers of the whole network.
    """
    readers: dict[int, set[str]] = {}
    for layer in layers:
        for source in layer.inputs:
            readers.setdefault(source, set()).add(layer.kind if layer.kind == "batch_norm" else "other")
    normalized = {index for index, kinds in readers.items() if kinds == {"batch_norm"}}
    start = 1 if len(layers) > 1 and layers[1].kind == "rescale" else 0
    rewriter = _StageRewriter(layers[0].shape, start, normalized)
    pieces = [_as_stage(stem)] if stem is not None else []
    pieces.extend(stages)
    pieces = rewriter.simplify([block for stage in pieces for block in _split_blocks(stage)])
    pieces = rewriter.simplify([conv for block in pieces for conv in _split_convolutions(block)])
    has_decoder = any(layer.kind in ("transposed_conv", "upsample") for layer in layers)
    pieces = rewriter.join(_move_normalization(pieces, has_decoder), _join_to_block)
    pieces = rewriter.join(pieces, _join_to_stage)
    if pieces and _is_stem(pieces[0]):
        return _as_stem(pieces[0]), tuple(pieces[1:])
    return None, tuple(pieces)


class _StageRewriter:
    """Rewrites a network's stages; tracks the shape of each stage's input and the readers of its output."""

    def __init__(self, shape: Shape, start: int, normalized: set[int]) -> None:
        self._shape = shape  # of the first stage's input
        self._start = start  # index of the layer that the first stage reads
        self._normalized = normalized  # indices of layers that only batch normalization reads

    def _with_context(self, stages: Sequence[Stage]) -> Iterator[tuple[Stage, Shape, bool]]:
        """Yield each stage, the shape of its input, and whether only batch normalization reads its output."""
        shape, index = self._shape, self._start
        for stage in stages:
            graph = Graph(shape)
            x = build_stage(graph, 0, stage, "")
            index += x
            yield stage, shape, index in self._normalized
            shape = graph.shape(x)

    def simplify(self, stages: Sequence[Stage]) -> list[Stage]:
        """Replace each value with the simplest value that builds the same layers."""
        return [_simplified(*context) for context in self._with_context(stages)]

    def join(self, stages: Sequence[Stage], join_pair: Join) -> list[Stage]:
        """Join each stage with the next one if the result builds the same layers."""
        result: list[Stage] = []
        input_shape = self._shape
        for stage, shape, normalized in self._with_context(stages):
            joined = join_pair(result[-1], stage) if result else None
            if joined is not None:
                separate = _layers_of([result[-1], stage], input_shape, normalized)
                if _layers_of([joined], input_shape, normalized) == separate:
                    result[-1] = joined
                    continue
            result.append(stage)
            input_shape = shape
        return result


def _layers_of(stages: Sequence[Stage], shape: Shape, normalized: bool) -> list[tuple[Any, ...]]:
    """Return the layers of stages on an input of a shape, with batch normalization as the reader if set."""
    graph = Graph(shape)
    x = 0
    for stage in stages:
        x = build_stage(graph, x, stage, "")
    if normalized:
        graph.batch_norm(x, "")
    return without_names(graph.finished())


def _simplified(stage: Stage, shape: Shape, normalized: bool) -> Stage:
    layers = _layers_of([stage], shape, normalized)
    for field in Stage.model_fields:
        for value in _simpler_stage_values(stage, field):
            candidate = stage.model_copy(update={field: value})
            if _layers_of([candidate], shape, normalized) == layers:
                stage = candidate
                break
    return stage


def _simpler_stage_values(stage: Stage, field: str) -> list[Any]:
    if field in ("blocks", "convs") or (field in KEYS and stage.activation != "none"):
        return []
    values = simpler_values(stage, field)
    if field == "squeeze_excitation" and stage.squeeze_excitation:
        inner = max(1, round(stage.width * stage.squeeze_excitation))
        values += [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, inner / stage.width]
    return values


def _split_blocks(stage: Stage) -> list[Stage]:
    """Split a stage into its blocks."""
    first = stage.model_copy(update={"blocks": 1, "dropout": 0.0})
    others = [first.model_copy(update={"shrink": "none"})] * (stage.blocks - 1)
    *initial, last = [first, *others]
    return [*initial, last.model_copy(update={"dropout": stage.dropout})]


def _split_convolutions(block: Stage) -> list[Stage]:
    """Split a block without a residual connection into its convolutions."""
    if block.residual != "none" or block.convs == 1:
        return [block]
    plain: dict[str, Any] = {"convs": 1, "shrink": "none", "dropout": 0.0, "squeeze_excitation": 0.0}
    first, last = dict(plain), dict[str, Any](convs=1)
    if block.shrink == "strided":
        first, last = {**plain, "shrink": "strided"}, {**last, "shrink": "none"}
    middle = [block.model_copy(update=plain)] * (block.convs - 2)
    return [block.model_copy(update=first), *middle, block.model_copy(update=last)]


def _move_normalization(pieces: Sequence[Stage], has_decoder: bool) -> list[Stage]:
    """Move normalization (and activation after it) from a convolution to the plain convolution after it.

    Not if the second convolution is strided and a decoder may read the map before it.
    """
    result = list(pieces)
    for index in range(len(result) - 1, 0, -1):
        first, second = result[index - 1 : index + 1]
        plain = (second.normalization, second.activation) == ("none", "none")
        single = all(
            piece.convs == 1 and piece.conv in ("standard", "separable") for piece in (first, second)
        )
        ends_otherwise = (
            first.dropout or first.squeeze_excitation or first.shrink in ("max_pool", "average_pool")
        )
        residual = first.residual != "none" or second.residual != "none"
        read_by_decoder = has_decoder and second.shrink == "strided"
        normalized = first.normalization in ("between", "after")
        if ends_otherwise or residual or read_by_decoder or not (plain and single and normalized):
            continue
        moved = first.activation if first.normalization == "between" else "none"
        remaining = "none" if first.normalization == "between" else first.activation
        result[index - 1] = first.model_copy(update={"normalization": "none", "activation": remaining})
        result[index] = second.model_copy(update={"normalization": "before", "activation": moved})
    return result


def _join_to_block(first: Stage, second: Stage) -> Stage | None:
    """Return one block with the convolutions of two pieces, None if no block can have the values of both."""
    possible = (
        (first.residual, second.residual) == ("none", "none")
        and first.squeeze_excitation == 0
        and first.shrink in ("none", "strided")
        and second.shrink != "strided"
        and "none" in (first.shrink, second.shrink)
        and first.convs + second.convs <= MAX_COUNT
    )
    return _union(first, second, "convs") if possible else None


def _join_to_stage(first: Stage, second: Stage) -> Stage | None:
    """Return one stage with the blocks of two stages, None if no stage can have the values of both."""
    possible = (
        (second.residual != "none" or second.squeeze_excitation > 0)
        and second.shrink == "none"
        and first.convs == second.convs
        and first.blocks + second.blocks <= MAX_COUNT
    )
    return _union(first, second, "blocks") if possible else None


def _union(first: Stage, second: Stage, counted: Literal["blocks", "convs"]) -> Stage | None:
    """Return a stage with the values of both; where one has a default, which has no effect, the other's."""
    if first.dropout or any(getattr(first, key) != getattr(second, key) for key in KEYS):
        return None
    values: dict[str, Any] = {counted: getattr(first, counted) + getattr(second, counted)}
    values["groups"] = lcm(first.groups, second.groups)
    for field, info in Stage.model_fields.items():
        of_first, of_second = getattr(first, field), getattr(second, field)
        if field not in values and of_first != of_second:
            values[field] = of_second if of_first == info.default else of_first
    if first.residual != "none" and second.residual != "none":
        values["residual"] = max(first.residual, second.residual)  # a projection is also an identity
    return first.model_copy(update=values) if values["groups"] <= MAX_COUNT else None


def _as_stage(stem: Stem) -> Stage:
    values = stem.model_dump(exclude={"stride"})
    return Stage(**values, shrink="strided" if stem.stride == 2 else "none")


def _as_stem(stage: Stage) -> Stem:
    values: dict[str, Any] = {name: getattr(stage, name) for name in Stem.model_fields if name != "stride"}
    return Stem(**values, stride=2 if stage.shrink == "strided" else 1)


def _is_stem(stage: Stage) -> bool:
    """Check whether a stage is a single standard convolution, which a stem can express."""
    stage_only = Stage.model_fields.keys() - Stem.model_fields.keys() - {"shrink"}
    plain = all(getattr(stage, field) == Stage.model_fields[field].default for field in stage_only)
    return plain and stage.shrink in ("none", "strided")
