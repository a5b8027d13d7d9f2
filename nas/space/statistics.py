"""What is known of a space as a whole: how many architectures it holds, and a cost's extremes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from nas.architecture import Design, Scalar
from nas.space.matching import builds
from nas.space.open_values import OpenValue, Setting, active, completed, sample_evenly

__all__ = ["ENUMERABLE", "Space", "count_distinct", "find_extreme"]

ENUMERABLE = 4096
"""The greatest number of settings of which all are tried."""

STARTS = 3
"""Random starts of a descent, besides the least and the greatest choices."""


class Space(Protocol):
    """What of a SearchSpace is used here."""

    @property
    def open_values(self) -> tuple[OpenValue, ...]:
        """What is open."""
        ...

    def design(self, setting: Setting) -> Design:
        """Build what a setting stands for."""
        ...

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Give every setting."""
        ...

    def settings_count(self) -> int:
        """Count the settings."""
        ...


def count_distinct(space: Space, samples: int = 400, seed: int = 0) -> tuple[float, bool]:
    """Count a bound space's distinct architectures; say whether the number is exact.

    A space of up to 4,096 settings is counted out. Of a greater one with S settings the number is
    estimated as S x the mean of 1/m over settings drawn evenly, m being how many settings build the same
    network. That is taken as the product, over the open values, of the choices that leave the network as
    it is, the other values unchanged: exact where values lose their effect independently of each other.
    """
    total = space.settings_count()
    if total <= ENUMERABLE:
        return len({space.design(setting).architecture.id for setting in space.settings()}), True
    rng = np.random.default_rng(seed)
    shares = [1 / _alike(space, sample_evenly(space.open_values, rng)) for _ in range(samples)]
    return total * float(np.mean(shares)), False


def _alike(space: Space, setting: Setting) -> int:
    """Estimate how many settings build the same network as this one."""
    layers = space.design(setting).architecture.layers
    alike = 1
    for value in space.open_values:
        if not active(value, setting):
            continue
        switched = (
            completed(space.open_values, {**setting, value.name: choice})
            for choice in value.choices
            if choice != setting[value.name]
        )
        alike *= 1 + sum(builds(space.design(other).architecture, layers) for other in switched)
    return alike


def find_extreme(
    space: Space, cost: Callable[[Design], float], greatest: bool
) -> tuple[dict[str, Scalar], float]:
    """Find the setting of a bound space whose design costs least, or most, and that cost.

    Exact for up to 4,096 settings; beyond, a descent along one open value at a time from the least
    choices, the greatest choices and three random settings.
    """
    sign = -1.0 if greatest else 1.0

    def signed(setting: Setting) -> float:
        return sign * cost(space.design(setting))

    if space.settings_count() <= ENUMERABLE:
        best = min(
            ((signed(setting), dict(setting)) for setting in space.settings()), key=lambda found: found[0]
        )
        return best[1], sign * best[0]
    values = space.open_values
    rng = np.random.default_rng(0)
    starts = [[0] * len(values), [len(value.choices) - 1 for value in values]]
    starts += [[int(rng.integers(len(value.choices))) for value in values] for _ in range(STARTS)]
    best = min((_descended(values, start, signed) for start in starts), key=lambda found: found[0])
    return best[1], sign * best[0]


def _descended(
    values: tuple[OpenValue, ...], places: list[int], signed: Callable[[Setting], float]
) -> tuple[float, dict[str, Scalar]]:
    """Go down along one open value at a time until none gains; an inactive value keeps its place."""

    def setting(places: list[int]) -> dict[str, Scalar]:
        pairs = zip(values, places, strict=True)
        return completed(values, {value.name: value.choices[place] for value, place in pairs})

    best = setting(places)
    least = signed(best)
    improved = True
    while improved:
        improved = False
        for number, value in enumerate(values):
            if not active(value, best):
                continue
            for place in range(len(value.choices)):
                other = [*places[:number], place, *places[number + 1 :]]
                if place != places[number] and (found := signed(setting(other))) < least:
                    places, best, least, improved = other, setting(other), found, True
    return least, best
