"""The one way to write a network's stem and stages, whichever settings it comes from.

Stages are taken apart into single convolutions and residual blocks, each is written with as few values
as build its layers, and neighbours are joined again, the first with the second: first convolutions into
a block, then blocks into a stage. What a stage builds depends on nothing but its input's shape and
whether batch normalization alone reads its output, so that each step is checked on its own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import lcm
from typing import Any, Literal, get_args

from pydantic import BaseModel

from nas.architecture import blocks
from nas.architecture.layers import Graph, Layer, Shape
from nas.architecture.parts import Stage, Stem

__all__ = ["canonical_stages", "nameless", "simpler"]

KEYS = ("width", "conv", "kernel_size", "normalization", "activation")
"""Values of a stage that always have an effect where there is an activation."""

Join = Callable[[Stage, Stage], Stage | None]

MOST = 64
"""The greatest number of convolutions in a block and of blocks in a stage."""


def nameless(layers: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """Leave the layers' names out: what two lists must share to be the same network."""
    return [(layer[0], *layer[2:]) for layer in layers]


def simpler(part: BaseModel, field: str) -> list[Any]:
    """Give the values that stand before a field's own in the canonical order, simplest first."""
    value = getattr(part, field)
    info = type(part).model_fields[field]
    if info.is_required() or value == info.default:
        return []
    choices = get_args(info.annotation)
    before = list(choices[: choices.index(value)]) if value in choices else []
    if field == "groups":
        before = [groups for groups in range(2, value) if value % groups == 0]
    if field == "dense":
        before = [tuple(units for units in value if units)]
    return [info.default, *before]


def canonical_stages(
    stem: Stem | None, stages: Sequence[Stage], layers: Sequence[Layer]
) -> tuple[Stem | None, tuple[Stage, ...]]:
    """Write a stem and stages in the one way that builds the same layers.

    `layers` are those of the whole network.
    """
    readers: dict[int, set[str]] = {}
    for layer in layers:
        for source in layer.inputs:
            readers.setdefault(source, set()).add(layer.kind if layer.kind == "batch_norm" else "other")
    start = 1 if len(layers) > 1 and layers[1].kind == "rescale" else 0
    walk = _Walk(
        layers[0].shape, start, {place for place, kinds in readers.items() if kinds == {"batch_norm"}}
    )
    found = [_as_stage(stem)] if stem is not None else []
    found.extend(stages)
    found = walk.simplified([block for stage in found for block in _blocks(stage)])
    found = walk.simplified([piece for block in found for piece in _convolutions(block)])
    decoded = any(layer.kind in ("transposed_conv", "upsample") for layer in layers)
    found = walk.joined(_normalized_before(found, decoded), _one_block)
    found = walk.joined(found, _one_stage)
    if found and _is_stem(found[0]):
        return _as_stem(found[0]), tuple(found[1:])
    return None, tuple(found)


class _Walk:
    """Goes along a network's stages, knowing each one's input."""

    def __init__(self, shape: Shape, start: int, normalized: set[int]) -> None:
        self._shape = shape
        self._start = start
        self._normalized = normalized  # places of which batch normalization is the only reader

    def _inputs(self, stages: Sequence[Stage]) -> Iterator[tuple[Stage, Shape, bool]]:
        """Give each stage, its input's shape, and whether batch normalization alone reads its output."""
        shape, place = self._shape, self._start
        for stage in stages:
            graph = Graph(shape)
            x = blocks.stage(graph, 0, stage, "")
            place += x
            yield stage, shape, place in self._normalized
            shape = graph.shape(x)

    def simplified(self, stages: Sequence[Stage]) -> list[Stage]:
        """Give each value the simplest that builds the same."""
        return [_simplified(*found) for found in self._inputs(stages)]

    def joined(self, stages: Sequence[Stage], join: Join) -> list[Stage]:
        """Join each stage with the one behind it wherever that builds the same."""
        result: list[Stage] = []
        first = self._shape
        for stage, shape, normalized in self._inputs(stages):
            together = join(result[-1], stage) if result else None
            if together is not None:
                before = _built([result[-1], stage], first, normalized)
                if _built([together], first, normalized) == before:
                    result[-1] = together
                    continue
            result.append(stage)
            first = shape
        return result


def _built(stages: Sequence[Stage], shape: Shape, normalized: bool) -> list[tuple[Any, ...]]:
    graph = Graph(shape)
    x = 0
    for stage in stages:
        x = blocks.stage(graph, x, stage, "")
    if normalized:
        graph.batch_norm(x, "")
    return nameless(graph.finished())


def _simplified(stage: Stage, shape: Shape, normalized: bool) -> Stage:
    wanted = _built([stage], shape, normalized)
    for field in Stage.model_fields:
        for value in _stage_values(stage, field):
            candidate = stage.model_copy(update={field: value})
            if _built([candidate], shape, normalized) == wanted:
                stage = candidate
                break
    return stage


def _stage_values(stage: Stage, field: str) -> list[Any]:
    if field in ("blocks", "convs") or (field in KEYS and stage.activation != "none"):
        return []
    values = simpler(stage, field)
    if field == "squeeze_excitation" and stage.squeeze_excitation:
        inner = max(1, round(stage.width * stage.squeeze_excitation))
        values += [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, inner / stage.width]
    return values


def _blocks(stage: Stage) -> list[Stage]:
    """Take a stage apart into its blocks."""
    one = stage.model_copy(update={"blocks": 1, "dropout": 0.0})
    others = [one.model_copy(update={"shrink": "none"})] * (stage.blocks - 1)
    *before, last = [one, *others]
    return [*before, last.model_copy(update={"dropout": stage.dropout})]


def _convolutions(block: Stage) -> list[Stage]:
    """Take a block without a residual connection apart into its convolutions."""
    if block.residual != "none" or block.convs == 1:
        return [block]
    plain: dict[str, Any] = {"convs": 1, "shrink": "none", "dropout": 0.0, "squeeze_excitation": 0.0}
    first, last = dict(plain), dict[str, Any](convs=1)
    if block.shrink == "strided":
        first, last = {**plain, "shrink": "strided"}, {**last, "shrink": "none"}
    middle = [block.model_copy(update=plain)] * (block.convs - 2)
    return [block.model_copy(update=first), *middle, block.model_copy(update=last)]


def _normalized_before(pieces: Sequence[Stage], decoded: bool) -> list[Stage]:
    """Write what stands between a convolution and a bare one behind it with the second.

    Not where the second is strided and a decoder may read what stands before it.
    """
    result = list(pieces)
    for place in range(len(result) - 1, 0, -1):
        first, second = result[place - 1 : place + 1]
        bare = (second.normalization, second.activation) == ("none", "none")
        single = all(
            piece.convs == 1 and piece.conv in ("standard", "separable") for piece in (first, second)
        )
        ended = first.dropout or first.squeeze_excitation or first.shrink in ("max_pool", "average_pool")
        joined = first.residual != "none" or second.residual != "none"
        read = decoded and second.shrink == "strided"
        normalized = first.normalization in ("between", "after")
        if ended or joined or read or not (bare and single and normalized):
            continue
        moved = first.activation if first.normalization == "between" else "none"
        kept = "none" if first.normalization == "between" else first.activation
        result[place - 1] = first.model_copy(update={"normalization": "none", "activation": kept})
        result[place] = second.model_copy(update={"normalization": "before", "activation": moved})
    return result


def _one_block(first: Stage, second: Stage) -> Stage | None:
    """Write two pieces as one block of more convolutions, if their values allow it."""
    possible = (
        (first.residual, second.residual) == ("none", "none")
        and first.squeeze_excitation == 0
        and first.shrink in ("none", "strided")
        and second.shrink != "strided"
        and "none" in (first.shrink, second.shrink)
        and first.convs + second.convs <= MOST
    )
    return _union(first, second, "convs") if possible else None


def _one_stage(first: Stage, second: Stage) -> Stage | None:
    """Write two stages as one of more blocks, if their values allow it."""
    possible = (
        (second.residual != "none" or second.squeeze_excitation > 0)
        and second.shrink == "none"
        and first.convs == second.convs
        and first.blocks + second.blocks <= MOST
    )
    return _union(first, second, "blocks") if possible else None


def _union(first: Stage, second: Stage, counted: Literal["blocks", "convs"]) -> Stage | None:
    """Take from either stage what is not the default, which stands for no effect."""
    if first.dropout or any(getattr(first, key) != getattr(second, key) for key in KEYS):
        return None
    values: dict[str, Any] = {counted: getattr(first, counted) + getattr(second, counted)}
    values["groups"] = lcm(first.groups, second.groups)
    for field, info in Stage.model_fields.items():
        ours, theirs = getattr(first, field), getattr(second, field)
        if field not in values and ours != theirs:
            values[field] = theirs if ours == info.default else ours
    if first.residual != "none" and second.residual != "none":
        values["residual"] = max(first.residual, second.residual)  # a projection is also an identity
    return first.model_copy(update=values) if values["groups"] <= MOST else None


def _as_stage(stem: Stem) -> Stage:
    values = stem.model_dump(exclude={"stride"})
    return Stage(**values, shrink="strided" if stem.stride == 2 else "none")


def _as_stem(stage: Stage) -> Stem:
    values: dict[str, Any] = {name: getattr(stage, name) for name in Stem.model_fields if name != "stride"}
    return Stem(**values, stride=2 if stage.shrink == "strided" else 1)


def _is_stem(stage: Stage) -> bool:
    """Say whether a stage is nothing but one standard convolution."""
    special = Stage.model_fields.keys() - Stem.model_fields.keys() - {"shrink"}
    plain = all(getattr(stage, field) == Stage.model_fields[field].default for field in special)
    return plain and stage.shrink in ("none", "strided")
