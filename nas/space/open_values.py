"""Open values of a space: reading them from a file, and sampling, mutating and counting their settings."""

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
    "complete_setting",
    "count_settings",
    "is_active",
    "iterate_settings",
    "mutate",
    "parse_open",
    "sample",
    "sample_uniformly",
]

Setting = Mapping[str, Scalar]
"""One choice for each active open value, by the open value's name."""

MAX_CHOICES = 1_000
"""Choices of an open value; a network is built for each of them when a space is checked."""


@dataclass(frozen=True)
class OpenValue:
    """A value that a search chooses; its name is its key path in the file, as in `stages.count`."""

    name: str
    choices: tuple[Scalar, ...]  # ascending if they are numbers
    when: tuple[str, frozenset[Scalar]] | None = None  # active only while that open value is one of these

    @cached_property
    def ordered(self) -> bool:
        """Whether the choices are numbers, so that adjacent choices are similar."""
        return not any(isinstance(choice, str | bool) for choice in self.choices)


@dataclass(frozen=True)
class OpenNode:
    """An open value as the file has it; with `per_stage` it stands for one OpenValue per stage."""

    name: str
    choices: tuple[Scalar, ...]
    per_stage: bool


def is_active(value: OpenValue, setting: Setting) -> bool:
    """Check whether an open value has an effect, given the open values before it."""
    return value.when is None or setting.get(value.when[0]) in value.when[1]


def complete_setting(values: Sequence[OpenValue], setting: Setting) -> dict[str, Scalar]:
    """Add the first choice of each active value that a setting lacks, and remove inactive values."""
    result: dict[str, Scalar] = {}
    for value in values:
        if is_active(value, result):
            result[value.name] = setting.get(value.name, value.choices[0])
    return result


def sample(values: Sequence[OpenValue], rng: np.random.Generator) -> dict[str, Scalar]:
    """Draw a setting; each active value is uniform over its choices."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if is_active(value, setting):
            setting[value.name] = value.choices[int(rng.integers(len(value.choices)))]
    return setting


def sample_uniformly(values: Sequence[OpenValue], rng: np.random.Generator) -> dict[str, Scalar]:
    """Draw a setting uniformly over all settings of the space."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if is_active(value, setting):
            counts = [_count_dependent(values, value, choice) for choice in value.choices]
            drawn = rng.random() * sum(counts)
            index = 0
            while drawn >= counts[index] and index < len(counts) - 1:
                drawn -= counts[index]
                index += 1
            setting[value.name] = value.choices[index]
    return setting


def mutate(values: Sequence[OpenValue], setting: Setting, rng: np.random.Generator) -> dict[str, Scalar]:
    """Change one active value of a setting; values that become active are drawn uniformly.

    A number changes to an adjacent choice with probability 0.5, otherwise to any other choice.
    """
    changeable = [value for value in values if len(value.choices) > 1 and is_active(value, setting)]
    if not changeable:
        return dict(setting)
    chosen = changeable[int(rng.integers(len(changeable)))]
    current = chosen.choices.index(setting[chosen.name])
    others = [index for index in range(len(chosen.choices)) if index != current]
    if chosen.ordered and rng.random() < 0.5:
        others = [index for index in others if abs(index - current) == 1]
    changed = {**setting, chosen.name: chosen.choices[others[int(rng.integers(len(others)))]]}
    result: dict[str, Scalar] = {}
    for value in values:
        if is_active(value, result):
            drawn = value.choices[int(rng.integers(len(value.choices)))]
            result[value.name] = changed.get(value.name, drawn)
    return result


def count_settings(values: Sequence[OpenValue]) -> int:
    """Return the number of settings; choices of inactive values are not counted."""
    return math.prod(
        sum(_count_dependent(values, value, choice) for choice in value.choices)
        for value in values
        if value.when is None
    )


def _count_dependent(values: Sequence[OpenValue], parent: OpenValue, choice: Scalar) -> int:
    """Return the number of settings of the values that depend on `parent`, given its choice."""
    return math.prod(
        len(value.choices)
        for value in values
        if value.when and value.when[0] == parent.name and choice in value.when[1]
    )


def iterate_settings(values: Sequence[OpenValue]) -> Iterator[dict[str, Scalar]]:
    """Yield every setting once."""

    def extend(index: int, setting: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
        if index == len(values):
            yield dict(setting)
            return
        value = values[index]
        if not is_active(value, setting):
            yield from extend(index + 1, setting)
            return
        for choice in value.choices:
            yield from extend(index + 1, {**setting, value.name: choice})

    return extend(0, {})


def parse_open(node: Mapping[str, Any], name: str) -> OpenNode:
    """Read the open value at the key path `name`; raises SpaceError."""
    if unknown := sorted(set(node) - {"choice", "range", "per"}):
        closest = nearest(unknown[0], ["choice", "range", "per"])
        raise SpaceError(f"the open value {name} has no '{unknown[0]}'; {closest}")
    if "choice" in node and "range" in node:
        raise SpaceError(f"the open value {name} must have a choice or a range, got both; remove one")
    choices = _choices(name, node["choice"]) if "choice" in node else _range(name, node["range"])
    per = node.get("per", "space")
    if per not in ("space", "stage"):
        raise SpaceError(f"{name}.per must be stage or left out, got {per!r}; write per: stage")
    return OpenNode(name, choices, per == "stage")


def _choices(name: str, choices: Any) -> tuple[Scalar, ...]:
    if not isinstance(choices, list) or not choices:
        raise SpaceError(f"{name}.choice must be a list of values, got {choices!r}; write [a, b]")
    if len(choices) > MAX_CHOICES:
        raise SpaceError(
            f"{name}.choice must have at most {MAX_CHOICES:,} values, got {len(choices):,}; leave some out"
        )
    for choice in choices:
        if not isinstance(choice, str | int | float | bool):
            raise SpaceError(f"{name}.choice must contain plain values, got {choice!r}; write [a, b]")
        if choices.count(choice) > 1:
            raise SpaceError(f"{name}.choice must contain each value once, got {choice!r} twice; remove one")
    value = OpenValue(name, tuple(choices))
    return tuple(sorted(choices)) if value.ordered else value.choices


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
            f"{name}.range needs high >= low and step > 0, got {bounds!r}; write for example [2, 5, 1]"
        )
    steps = int((high - low) / step + 1e-9)
    if steps >= MAX_CHOICES:
        raise SpaceError(
            f"{name}.range must have at most {MAX_CHOICES:,} values, got {steps + 1:,}; use a larger step"
        )
    if all(isinstance(bound, int) for bound in bounds):
        return tuple(low + step * index for index in range(steps + 1))
    return tuple(round(low + step * index, 12) for index in range(steps + 1))
