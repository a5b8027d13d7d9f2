"""The initial design: the proposals that are made before the model has enough observations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nas.engines._candidate_pool import CandidatePool, PoolEntry
from nas.engines._gaussian_process import squared_distances
from nas.trials import scale_to_unit

__all__ = ["cheapest_candidates", "fastest_share", "space_filling_candidate"]

FAST_SHARE = 0.5

GOLDEN_RATIO = 0.6180339887
"""The fractional parts of its multiples are spread evenly for any count (a low-discrepancy sequence)."""


def cheapest_candidates(
    pool: CandidatePool, entries: Sequence[PoolEntry], rng: np.random.Generator
) -> list[PoolEntry]:
    """Return the cheapest candidate within the limits by each cost; ties are broken by the other costs."""
    cheapest = []
    for axis in range(len(entries[0].costs) if entries else 0):

        def cost(entry: PoolEntry, axis: int = axis) -> tuple[float, ...]:
            return entry.excess, float(entry.costs[axis]), float(entry.costs.sum())

        cheapest.append(pool.minimize(entries, cost, rng))
    return cheapest


def fastest_share(entries: Sequence[PoolEntry]) -> Sequence[PoolEntry]:
    """Return the FAST_SHARE of candidates with the fewest FLOPs, or all if FLOPs are unknown.

    Where a search is limited by time, these fill the initial design: they take less time and are as
    informative.
    """
    if not all(entry.flops for entry in entries):
        return entries
    return sorted(entries, key=lambda entry: entry.flops)[: math.ceil(len(entries) * FAST_SHARE)]


def space_filling_candidate(
    pool: CandidatePool,
    entries: Sequence[PoolEntry],
    tried: Sequence[PoolEntry],
    rng: np.random.Generator,
) -> PoolEntry:
    """Return the candidate farthest from the tried ones, within one stratum of cost.

    The strata are intervals of the costs on log axes, which change with the number of tried candidates, so
    that the initial design covers the whole range of costs; the maximin distance within a stratum makes it
    space-filling.
    """
    positions = rng.random(len(entries))
    if len(entries[0].costs):
        positions = scale_to_unit(np.stack([entry.costs for entry in entries])).mean(axis=1)
    target = positions.min() + (0.5 + len(tried) * GOLDEN_RATIO) % 1.0 * np.ptp(positions)
    nearest = np.argsort(np.abs(positions - target), kind="stable")[: max(8, len(entries) // 20)]
    stratum: list[PoolEntry] = [entries[index] for index in nearest]
    if not tried:
        return stratum[0]
    distances = squared_distances(pool.inputs(stratum), pool.inputs(tried)).min(axis=1)
    return stratum[int(np.argmax(distances))]
