"""Which values build a network: a network compared while it is built, and a space searched for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from nas.architecture import (
    Architecture,
    Decoder,
    Graph,
    Head,
    Layer,
    Part,
    Scalar,
    Stage,
    Stem,
    blocks,
    grown,
)
from nas.space.open_values import OpenNode, OpenValue

__all__ = ["builds", "found_values"]


class _DiffersError(Exception):
    """The network being built differs from the one it is compared with."""


class _UndecidedError(Exception):
    """A value that is still open was read; its name is the argument."""


class _Follower(Graph):
    """A graph that stops where it differs from the finished layers of a network."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers[0].shape)
        self._target = layers
        readers: dict[int, list[str]] = {}
        for layer in layers:
            for place in layer.inputs:
                readers.setdefault(place, []).append(layer.kind)
        self._unbiased = {place for place, kinds in readers.items() if kinds == ["batch_norm"]}

    def _add(self, layer: Layer) -> int:
        place = len(self.layers)
        if place >= len(self._target):
            raise _DiffersError
        if place in self._unbiased:
            layer = layer._replace(bias=False)
        target = self._target[place]
        if layer[0] != target[0] or layer[2:] != target[2:]:
            raise _DiffersError
        return super()._add(layer)


def builds(parts: blocks.Network, layers: Sequence[Layer]) -> bool:
    """Say whether parts build these layers of a finished network, names aside."""
    graph = _Follower(layers)
    try:
        blocks.network(graph, parts)
    except _DiffersError:
        return False
    return len(graph.layers) == len(layers)


def found_values(
    template: Mapping[str, Any], values: Sequence[OpenValue], target: Architecture
) -> dict[str, Scalar] | None:
    """Find values for what is open in a space's template that build a network, or None where none do.

    Values that the network does not depend on are left out. Decides each value when building reads it
    first, to what the target has at that place if it can, and goes back where the network then differs.
    """
    choices = {value.name: value.choices for value in values}

    def search(decided: dict[str, Scalar]) -> dict[str, Scalar] | None:
        try:
            return decided if builds(_Deciding(template, decided), target.layers) else None
        except _UndecidedError as undecided:
            name = str(undecided)
        likely = _own(target, name)
        for choice in sorted(choices[name], key=lambda choice: choice != likely):
            if (result := search({**decided, name: choice})) is not None:
                return result
        return None

    return search({})


def _own(target: Architecture, name: str) -> Any:
    """Give the value that an architecture has where a space has an open one, None where it has none."""
    part, _, rest = name.partition(".")
    if name == "stages.count":
        return len(target.stages)
    if part not in ("block", "stages"):
        return getattr(getattr(target, part, None), rest, None)
    words = rest.split(".")
    place = next((int(word) - 1 for word in words if word.isdigit()), 0)
    field = next((word for word in words if not word.isdigit()), "")
    return getattr(target.stages[place], field, None) if place < len(target.stages) else None


class _Deciding:
    """A network of a space's template, with the values decided so far."""

    def __init__(self, template: Mapping[str, Any], decided: Mapping[str, Scalar]) -> None:
        self._template = template
        self._decided = decided

    def _value(self, node: Any, number: int = 0) -> Any:
        if isinstance(node, OpenNode):
            name = f"{node.name}.{number}" if node.per_stage else node.name
            if name not in self._decided:
                raise _UndecidedError(name)
            return self._decided[name]
        if isinstance(node, list):
            return [self._value(element) for element in node]
        return node

    def _plain(self, name: str) -> Any:
        default = Architecture.model_fields[name].default
        return self._value(self._template.get(name, default))

    @property
    def task(self) -> str:
        return str(self._plain("task"))

    @property
    def classes(self) -> int:
        return int(self._plain("classes"))

    @property
    def rescale(self) -> bool:
        return bool(self._plain("rescale"))

    @property
    def stem(self) -> Stem | None:
        node = self._template.get("stem")
        return cast(Stem, _Part(self, node, Stem)) if node is not None else None

    @property
    def decoder(self) -> Decoder | None:
        node = self._template.get("decoder")
        return cast(Decoder, _Part(self, node, Decoder)) if node is not None else None

    @property
    def head(self) -> Head | None:
        node = self._template.get("head", {})
        return cast(Head, _Part(self, node, Head)) if node is not None else None

    @property
    def stages(self) -> Sequence[Stage]:
        common = self._template.get("block") or {}
        stages = self._template.get("stages", [])
        if isinstance(stages, list):
            listed = [{**common, **stage} for stage in stages]
        else:
            listed = [{**common, **stages}] * self._value(stages.get("count", 1))
        return [cast(Stage, _Part(self, node, Stage, number)) for number, node in enumerate(listed, start=1)]


class _Part:
    """A part whose values are decided when they are read."""

    def __init__(
        self, network: _Deciding, node: Mapping[str, Any], kind: type[Part], number: int = 0
    ) -> None:
        self._read = network._value
        self._node = node
        self._kind = kind
        self._number = number  # of a stage, counted from 1

    def __getattr__(self, name: str) -> Any:
        node = self._node.get(name, self._kind.model_fields[name].default)
        if self._number and isinstance(node, list):
            node = node[self._number - 1]
        value = self._read(node, self._number)
        if name == "dense":
            return tuple(value) if isinstance(value, list | tuple) else (value,)
        growth = self._node.get("growth")
        if name == "width" and growth is not None:
            return grown(value, self._read(growth), self._number - 1)
        return value
