"""Exact expected hypervolume improvement where most objectives are known beforehand.

The space that no trial dominates is cut into boxes once. A candidate's expected gain is then a sum over
the boxes of a product over the objectives, each factor in closed form: no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Belief", "Cells", "cells", "expected_gain", "expected_gain_at_cost"]

Array = NDArray[np.float64]

LEAST = 0.003
"""The least improvement of an error that counts, relative to it: what lies below can't be told from noise."""


@dataclass(frozen=True)
class Belief:
    """What is believed of one trained quality of some candidates: log(error + shift) ~ N(mean, deviation)."""

    mean: Array  # (candidates,)
    deviation: Array  # (candidates,)
    shift: float = 0.0

    def expected_shortfall(self, levels: Array) -> Array:
        """Give E[max(0, level - error)] for each candidate and level: (candidates, levels).

        levels: (levels,), or (candidates, levels). Exact for a log-normal error; a level of -inf gives 0.
        """
        from scipy.special import ndtr

        strike = np.maximum(np.atleast_2d(levels) + self.shift, 1e-12)
        mean, deviation = self.mean[:, None], np.maximum(self.deviation, 1e-9)[:, None]
        d = (np.log(strike) - mean) / deviation
        shortfall: Array = strike * ndtr(d) - np.exp(mean + deviation**2 / 2) * ndtr(d - deviation)
        return np.maximum(shortfall, 0.0)


@dataclass(frozen=True)
class Cells:
    """The undominated part of objective space, cut into disjoint boxes.

    Along the first objective a box reaches from -inf to `level`; along the others from `low` to `high`.
    """

    level: Array  # (boxes,)
    low: Array  # (boxes, objectives - 1)
    high: Array  # (boxes, objectives - 1)
    volume: float  # the hypervolume that the points dominate


def cells(points: Array, reference: Array) -> Cells:
    """Cut what the points leave undominated below the reference point into boxes.

    points: (trials, objectives), all to be minimized; reference: (objectives,). The points are taken in
    the order of the first objective, as in the sweeps of Fonseca et al., "An improved dimension-sweep
    algorithm for the hypervolume indicator", CEC 2006.
    """
    inside = points[(points < reference).all(axis=1)]
    inside = inside[np.lexsort(inside.T[::-1])]
    low = np.full((1, len(reference) - 1), -np.inf)
    high = np.array(reference[None, 1:], dtype=float)
    done: list[tuple[Array, Array, Array]] = []
    volume = 0.0
    for point in inside:
        corner = point[1:]
        hit = (corner < high).all(axis=1)
        if not hit.any():
            continue
        taken_low, taken_high = np.maximum(low[hit], corner), high[hit]
        volume += float((taken_high - taken_low).prod(axis=1).sum() * (reference[0] - point[0]))
        done.append((np.full(len(taken_low), point[0]), taken_low, taken_high))
        lows, highs = [low[~hit]], [high[~hit]]
        for axis in range(len(corner)):
            rest = low[hit][:, axis] < corner[axis]
            piece_low, piece_high = low[hit][rest].copy(), high[hit][rest].copy()
            piece_low[:, :axis] = taken_low[rest][:, :axis]
            piece_high[:, axis] = corner[axis]
            lows.append(piece_low)
            highs.append(piece_high)
        low, high = np.concatenate(lows), np.concatenate(highs)
    done.append((np.full(len(low), reference[0]), low, high))
    level, low, high = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return Cells(level, low, high, volume)


def expected_gain(free: Cells, beliefs: Sequence[Belief], costs: Array) -> Array:
    """Give the expected hypervolume improvement of each candidate.

    The first objectives are the trained ones, one belief each, independent of one another; costs:
    (candidates, cheap objectives) are known. Returns (candidates,).
    """
    levels, place = np.unique(free.level * (1.0 - LEAST), return_inverse=True)
    gain: Array = beliefs[0].expected_shortfall(levels)[:, place]
    for axis, belief in enumerate(beliefs[1:]):
        bounds, ends = np.unique(np.concatenate([free.low[:, axis], free.high[:, axis]]), return_inverse=True)
        shortfall = belief.expected_shortfall(bounds)[:, ends]
        gain = gain * (shortfall[:, len(free.level) :] - shortfall[:, : len(free.level)])
    for axis in range(costs.shape[1]):
        place_of = len(beliefs) - 1 + axis
        low, high = free.low[:, place_of], free.high[:, place_of]
        gain = gain * np.maximum(0.0, high - np.maximum(low, costs[:, axis, None]))
    total: Array = gain.sum(axis=1)
    return total


def expected_gain_at_cost(front: Array, worst: float, belief: Belief, costs: Array) -> Array:
    """Give how much each candidate is expected to better the error of what is no dearer than it.

    front: (points, 1 + costs), the error first; worst: the error to better where nothing is; costs:
    (candidates, costs). Unlike the hypervolume it does not weigh a range of costs by its width.
    """
    no_dearer = (front[None, :, 1:] <= costs[:, None, :]).all(axis=2)
    levels = np.where(no_dearer, front[None, :, 0], worst).min(axis=1, initial=worst)
    return belief.expected_shortfall(levels[:, None] * (1.0 - LEAST))[:, 0]
