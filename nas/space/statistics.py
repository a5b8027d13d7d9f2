"""Statistics of a space: the number of distinct architectures, and the extremes of a cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.architecture import Design, Scalar, builds_layers
from nas.space.open_values import OpenValue, Setting, complete_setting, is_active, sample_uniformly
from nas.space.search_space import SearchSpace

__all__ = ["count_distinct", "find_extreme"]

MAX_ENUMERATED = 4096
"""Spaces with up to this number of settings are enumerated; larger ones are sampled."""

RANDOM_STARTS = 3
"""Random starts of the coordinate descent, in addition to the smallest and the largest choices."""


COUNTED_CHOICES = 24
"""Choices of one value that are compared; of more, so many are drawn."""

COUNTED_DESIGNS = 20_000
"""Designs that are built to estimate the number of networks, at most."""

MIN_SAMPLES = 40


def count_distinct(space: SearchSpace, samples: int = 400, seed: int = 0) -> tuple[float, bool]:
    """Return the number of distinct architectures of a bound space, and whether the number is exact.

    Spaces of up to 4,096 settings are enumerated. For a larger space of S settings the number is estimated as
    S x the mean of 1/m over uniformly drawn settings, where m is the number of settings that build the same
    network. m is estimated as a product over the open values: the number of choices that leave the network
    unchanged while the other values stay the same. The product is exact if values lose their effect
    independently of each other. `samples`: settings to draw, fewer in a space of many choices.
    """
    total = space.settings_count()
    if total <= MAX_ENUMERATED:
        return len({space.design(setting).architecture.id for setting in space.settings()}), True
    rng = np.random.default_rng(seed)
    designs = sum(min(len(value.choices), COUNTED_CHOICES) for value in space.open_values)
    samples = min(samples, max(MIN_SAMPLES, COUNTED_DESIGNS // designs))
    shares = [1 / _count_equal(space, sample_uniformly(space.open_values, rng), rng) for _ in range(samples)]
    return total * float(np.mean(shares)), False


def _count_equal(space: SearchSpace, setting: Setting, rng: np.random.Generator) -> float:
    """Estimate the number of settings that build the same network as this one."""
    layers = space.design(setting).architecture.layers
    count = 1.0
    for value in space.open_values:
        if not is_active(value, setting):
            continue
        others = [choice for choice in value.choices if choice != setting[value.name]]
        drawn = others
        if len(others) > COUNTED_CHOICES:
            drawn = [others[n] for n in rng.choice(len(others), COUNTED_CHOICES, replace=False)]
        changed = (complete_setting(space.open_values, {**setting, value.name: choice}) for choice in drawn)
        equal = sum(builds_layers(space.design(other).architecture, layers) for other in changed)
        count *= 1 + equal * len(others) / max(1, len(drawn))
    return count


def find_extreme(
    space: SearchSpace, cost: Callable[[Design], float], greatest: bool
) -> tuple[dict[str, Scalar], float]:
    """Return the setting of a bound space with the least (or greatest) cost, and that cost.

    Exact for spaces of up to 4,096 settings. Larger spaces are searched by coordinate descent from the
    smallest choices, the largest choices and three random settings; of a value with many choices, the first,
    the last and those at distances of powers of two are tried at each step.
    """
    sign = -1.0 if greatest else 1.0

    def signed_cost(setting: Setting) -> float:
        return sign * cost(space.design(setting))

    if space.settings_count() <= MAX_ENUMERATED:
        found = ((signed_cost(setting), setting) for setting in space.settings())
    else:
        values = space.open_values
        rng = np.random.default_rng(0)
        starts = [[0] * len(values), [len(value.choices) - 1 for value in values]]
        starts += [[int(rng.integers(len(value.choices))) for value in values] for _ in range(RANDOM_STARTS)]
        found = (_descend(values, start, signed_cost) for start in starts)
    least, setting = min(found, key=lambda result: result[0])
    return setting, sign * least


def _descend(
    values: tuple[OpenValue, ...], indices: list[int], cost: Callable[[Setting], float]
) -> tuple[float, dict[str, Scalar]]:
    """Change one open value at a time until no change lowers the cost; return the cost and the setting.

    `indices` holds the index of each value's choice at the start; an inactive value keeps its index.
    """

    def setting_at(indices: list[int]) -> dict[str, Scalar]:
        pairs = zip(values, indices, strict=True)
        return complete_setting(values, {value.name: value.choices[index] for value, index in pairs})

    best = setting_at(indices)
    least = cost(best)
    improved = True
    while improved:
        improved = False
        for position, value in enumerate(values):
            if not is_active(value, best):
                continue
            for index in _tried_indices(indices[position], len(value.choices)):
                other = [*indices[:position], index, *indices[position + 1 :]]
                if index != indices[position] and (found := cost(setting_at(other))) < least:
                    indices, best, least, improved = other, setting_at(other), found, True
    return least, best


def _tried_indices(index: int, count: int) -> list[int]:
    """Return the indices of choices to try next to one: all of few, else with distances that double."""
    if count <= COUNTED_CHOICES:
        return list(range(count))
    steps = [2**power for power in range(count.bit_length())]
    near = {index + sign * step for step in steps for sign in (-1, 1)}
    return sorted({0, count - 1} | {n for n in near if 0 <= n < count})
