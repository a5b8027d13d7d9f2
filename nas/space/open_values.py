"""Open values: what a space leaves to be decided, as a file writes it and as a search sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nas.architecture import Scalar
from nas.errors import SpaceError, nearest

__all__ = [
    "OpenNode",
    "OpenValue",
    "Setting",
    "active",
    "all_settings",
    "completed",
    "count_settings",
    "mutate",
    "parse_open",
    "sample",
    "sample_evenly",
]

Setting = Mapping[str, Scalar]
"""One value for each open value that is active, by the open value's name."""


@dataclass(frozen=True)
class OpenValue:
    """A value left open: its name is its place in the file, as in `stages.count`."""

    name: str
    choices: tuple[Scalar, ...]  # ascending where they are numbers
    when: tuple[str, frozenset[Scalar]] | None = None  # active only while that open value is one of these

    @cached_property
    def ordered(self) -> bool:
        """Whether the choices are numbers, so that neighbours are alike."""
        return not any(isinstance(choice, str | bool) for choice in self.choices)


@dataclass(frozen=True)
class OpenNode:
    """An open value as it stands in the file."""

    name: str
    choices: tuple[Scalar, ...]
    per_stage: bool


def active(value: OpenValue, setting: Setting) -> bool:
    """Say whether an open value has an effect, given those before it."""
    return value.when is None or setting.get(value.when[0]) in value.when[1]


def completed(values: Sequence[OpenValue], setting: Setting) -> dict[str, Scalar]:
    """Take the first choice of each active value that a setting leaves out, and drop what is not active."""
    result: dict[str, Scalar] = {}
    for value in values:
        if active(value, result):
            result[value.name] = setting.get(value.name, value.choices[0])
    return result


def sample(values: Sequence[OpenValue], rng: np.random.Generator) -> dict[str, Scalar]:
    """Draw a setting, each active value uniformly."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if active(value, setting):
            setting[value.name] = value.choices[int(rng.integers(len(value.choices)))]
    return setting


def sample_evenly(values: Sequence[OpenValue], rng: np.random.Generator) -> dict[str, Scalar]:
    """Draw a setting, each setting of the space with the same probability."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if active(value, setting):
            beneath = [_count_beneath(values, value, choice) for choice in value.choices]
            drawn = rng.random() * sum(beneath)
            place = 0
            while drawn >= beneath[place] and place < len(beneath) - 1:
                drawn -= beneath[place]
                place += 1
            setting[value.name] = value.choices[place]
    return setting


def mutate(values: Sequence[OpenValue], setting: Setting, rng: np.random.Generator) -> dict[str, Scalar]:
    """Change one active value, a number as often as not to its neighbour, and draw what becomes active."""
    changeable = [value for value in values if len(value.choices) > 1 and active(value, setting)]
    if not changeable:
        return dict(setting)
    chosen = changeable[int(rng.integers(len(changeable)))]
    at = chosen.choices.index(setting[chosen.name])
    others = [place for place in range(len(chosen.choices)) if place != at]
    if chosen.ordered and rng.random() < 0.5:
        others = [place for place in others if abs(place - at) == 1]
    changed = {**setting, chosen.name: chosen.choices[others[int(rng.integers(len(others)))]]}
    result: dict[str, Scalar] = {}
    for value in values:
        if active(value, result):
            drawn = value.choices[int(rng.integers(len(value.choices)))]
            result[value.name] = changed.get(value.name, drawn)
    return result


def count_settings(values: Sequence[OpenValue]) -> int:
    """Count the settings, those of inactive values not counted."""
    return math.prod(
        sum(_count_beneath(values, value, choice) for choice in value.choices)
        for value in values
        if value.when is None
    )


def _count_beneath(values: Sequence[OpenValue], parent: OpenValue, choice: Scalar) -> int:
    return math.prod(
        len(value.choices)
        for value in values
        if value.when and value.when[0] == parent.name and choice in value.when[1]
    )


def all_settings(values: Sequence[OpenValue]) -> Iterator[dict[str, Scalar]]:
    """Give every setting, one after the other."""

    def extend(place: int, setting: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
        if place == len(values):
            yield dict(setting)
            return
        value = values[place]
        if not active(value, setting):
            yield from extend(place + 1, setting)
            return
        for choice in value.choices:
            yield from extend(place + 1, {**setting, value.name: choice})

    return extend(0, {})


def parse_open(node: Mapping[str, Any], name: str) -> OpenNode:
    """Read an open value that stands at the place `name`; raises SpaceError."""
    if unknown := sorted(set(node) - {"choice", "range", "per"}):
        known = nearest(unknown[0], ["choice", "range", "per"])
        raise SpaceError(f"the open value {name} has no '{unknown[0]}'; {known}")
    if "choice" in node and "range" in node:
        raise SpaceError(f"the open value {name} must have a choice or a range, got both; leave one out")
    choices = _choices(name, node["choice"]) if "choice" in node else _range(name, node["range"])
    per = node.get("per", "space")
    if per not in ("space", "stage"):
        raise SpaceError(f"{name}.per must be stage or left out, got {per!r}; write per: stage")
    return OpenNode(name, choices, per == "stage")


def _choices(name: str, choices: Any) -> tuple[Scalar, ...]:
    if not isinstance(choices, list) or not choices:
        raise SpaceError(f"{name}.choice must be a list of values, got {choices!r}; write [a, b]")
    for choice in choices:
        if not isinstance(choice, str | int | float | bool):
            raise SpaceError(f"{name}.choice must hold plain values, got {choice!r}; write [a, b]")
        if choices.count(choice) > 1:
            raise SpaceError(f"{name}.choice must hold each value once, got {choice!r} twice; leave one out")
    opened = OpenValue(name, tuple(choices))
    return tuple(sorted(choices)) if opened.ordered else opened.choices


def _range(name: str, bounds: Any) -> tuple[Scalar, ...]:
    numbers = isinstance(bounds, list) and all(
        isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds
    )
    if not numbers or len(bounds) != 3:
        raise SpaceError(
            f"{name}.range must be [low, high, step], got {bounds!r}; write for example [2, 5, 1]"
        )
    low, high, step = bounds
    if not (step > 0 and high >= low):
        raise SpaceError(
            f"{name}.range must rise by a step over 0, got {bounds!r}; write for example [2, 5, 1]"
        )
    steps = int((high - low) / step + 1e-9)
    if steps >= 10_000:
        raise SpaceError(
            f"{name}.range must have at most 10,000 values, got {steps + 1:,}; take a larger step"
        )
    if all(isinstance(bound, int) for bound in bounds):
        return tuple(low + step * place for place in range(steps + 1))
    return tuple(round(low + step * place, 12) for place in range(steps + 1))
