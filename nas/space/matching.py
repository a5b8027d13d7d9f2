"""Search for the setting of a space that builds a given network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from nas.architecture import (
    Architecture,
    Decoder,
    Head,
    Part,
    Scalar,
    Stage,
    Stem,
    builds_layers,
    stage_width,
)
from nas.space.open_values import OpenNode, OpenValue

__all__ = ["find_values"]


class _UndecidedError(Exception):
    """An open value was read before it was decided; the argument is its name."""


def find_values(
    template: Mapping[str, Any], values: Sequence[OpenValue], target: Architecture
) -> dict[str, Scalar] | None:
    """Return values for the open nodes of a template that build the target's layers, None if none do.

    The result leaves out values that the network does not depend on. A value is decided when the build reads
    it for the first time. The target's own value at the same key is tried first; the search backtracks when
    a layer differs.
    """
    choices = {value.name: value.choices for value in values}

    def search(decided: dict[str, Scalar]) -> dict[str, Scalar] | None:
        try:
            return decided if builds_layers(_PartialNetwork(template, decided), target.layers) else None
        except _UndecidedError as undecided:
            name = str(undecided)
        likely = _value_of(target, name)
        for choice in sorted(choices[name], key=lambda choice: choice != likely):
            if (result := search({**decided, name: choice})) is not None:
                return result
        return None

    return search({})


def _value_of(target: Architecture, name: str) -> Any:
    """Return the value of an architecture at an open value's name, None where it has none."""
    part, _, rest = name.partition(".")
    if name == "stages.count":
        return len(target.stages)
    if part not in ("block", "stages"):
        return getattr(getattr(target, part, None), rest, None)
    keys = rest.split(".")
    index = next((int(key) - 1 for key in keys if key.isdigit()), 0)
    field = next((key for key in keys if not key.isdigit()), "")
    return getattr(target.stages[index], field, None) if index < len(target.stages) else None


class _PartialNetwork:
    """A network of a space's template with the values decided so far; see `nas.architecture` for the fields.

    Reading an undecided value raises _UndecidedError.
    """

    def __init__(self, template: Mapping[str, Any], decided: Mapping[str, Scalar]) -> None:
        self._template = template
        self._decided = decided

    def _decide(self, node: Any, number: int = 0) -> Any:
        if isinstance(node, OpenNode):
            name = f"{node.name}.{number}" if node.per_stage else node.name
            if name not in self._decided:
                raise _UndecidedError(name)
            return self._decided[name]
        if isinstance(node, list):
            return [self._decide(element) for element in node]
        return node

    def _field(self, name: str) -> Any:
        default = Architecture.model_fields[name].default
        return self._decide(self._template.get(name, default))

    @property
    def task(self) -> str:
        return str(self._field("task"))

    @property
    def classes(self) -> int:
        return int(self._field("classes"))

    @property
    def rescale(self) -> bool:
        return bool(self._field("rescale"))

    @property
    def stem(self) -> Stem | None:
        node = self._template.get("stem")
        return cast(Stem, _PartialPart(self, node, Stem)) if node is not None else None

    @property
    def decoder(self) -> Decoder | None:
        node = self._template.get("decoder")
        return cast(Decoder, _PartialPart(self, node, Decoder)) if node is not None else None

    @property
    def head(self) -> Head | None:
        node = self._template.get("head", {})
        return cast(Head, _PartialPart(self, node, Head)) if node is not None else None

    @property
    def stages(self) -> Sequence[Stage]:
        common = self._template.get("block") or {}
        stages = self._template.get("stages", [])
        if isinstance(stages, list):
            nodes = [{**common, **stage} for stage in stages]
        else:
            nodes = [{**common, **stages}] * self._decide(stages.get("count", 1))
        return [
            cast(Stage, _PartialPart(self, node, Stage, number)) for number, node in enumerate(nodes, start=1)
        ]


class _PartialPart:
    """A part of a partial network; `number` counts stages from 1 and is 0 for other parts."""

    def __init__(
        self, network: _PartialNetwork, node: Mapping[str, Any], kind: type[Part], number: int = 0
    ) -> None:
        self._decide = network._decide
        self._node = node
        self._kind = kind
        self._number = number

    def __getattr__(self, name: str) -> Any:
        node = self._node.get(name, self._kind.model_fields[name].default)
        if self._number and isinstance(node, list):
            node = node[self._number - 1]
        value = self._decide(node, self._number)
        if name == "dense":
            return tuple(value) if isinstance(value, list | tuple) else (value,)
        growth = self._node.get("growth")
        if name == "width" and growth is not None:
            return stage_width(value, self._decide(growth), self._number - 1)
        return value
