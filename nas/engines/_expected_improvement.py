"""Exact expected hypervolume improvement (EHVI) where most objectives are known before training.

The non-dominated space is decomposed into boxes once. The expected improvement of a candidate is then a sum
over the boxes of a product over the objectives, with each factor in closed form: no sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Boxes",
    "ErrorPosterior",
    "decompose",
    "expected_hypervolume_improvement",
]

Array = NDArray[np.float64]

MIN_IMPROVEMENT = 0.003
"""The smallest improvement of a level that counts; smaller ones are within the noise."""


@dataclass(frozen=True)
class ErrorPosterior:
    """The posterior of one trained quality of some candidates: the level of its error ~ N(mean, deviation).

    The level is that of `Criteria.level`, a logarithm.
    """

    mean: Array  # (candidates,)
    deviation: Array  # (candidates,)

    def expected_improvement(self, levels: Array) -> Array:
        """Return E[max(0, level - candidate's level)] for each candidate and level: (candidates, levels).

        levels: (levels,), or (candidates, levels); 0 for a level of -inf.
        """
        from scipy.special import ndtr

        mean, deviation = self.mean[:, None], np.maximum(self.deviation, 1e-9)[:, None]
        z = np.maximum((np.atleast_2d(levels) - mean) / deviation, -40.0)
        improvement: Array = deviation * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
        return np.maximum(improvement, 0.0)


@dataclass(frozen=True)
class Boxes:
    """The non-dominated part of objective space as disjoint boxes.

    Along the first objective a box extends from -inf to `level`; along the others from `low` to `high`.
    """

    level: Array  # (boxes,)
    low: Array  # (boxes, objectives - 1)
    high: Array  # (boxes, objectives - 1)
    volume: float  # the hypervolume that the points dominate
    reference: Array  # (objectives,)


def decompose(points: Array, reference: Array) -> Boxes:
    """Decompose the space below the reference point that no point dominates into boxes.

    points: (trials, objectives), all minimized; reference: (objectives,). The points are processed in the
    order of the first objective, as in the sweeps of Fonseca et al., "An improved dimension-sweep algorithm
    for the hypervolume indicator", CEC 2006.
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
        dominated_low, dominated_high = np.maximum(low[hit], corner), high[hit]
        volume += float((dominated_high - dominated_low).prod(axis=1).sum() * (reference[0] - point[0]))
        done.append((np.full(len(dominated_low), point[0]), dominated_low, dominated_high))
        lows, highs = [low[~hit]], [high[~hit]]
        for axis in range(len(corner)):
            rest = low[hit][:, axis] < corner[axis]
            piece_low, piece_high = low[hit][rest].copy(), high[hit][rest].copy()
            piece_low[:, :axis] = dominated_low[rest][:, :axis]
            piece_high[:, axis] = corner[axis]
            lows.append(piece_low)
            highs.append(piece_high)
        low, high = np.concatenate(lows), np.concatenate(highs)
    done.append((np.full(len(low), reference[0]), low, high))
    level, low, high = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return Boxes(level, low, high, volume, reference)


def expected_hypervolume_improvement(
    boxes: Boxes, posteriors: Sequence[ErrorPosterior], costs: Array
) -> Array:
    """Return the expected hypervolume improvement of each candidate: (candidates,).

    The first objectives are the trained ones, with one independent posterior each; the costs (candidates,
    costs) are known.
    """
    levels, index = np.unique(boxes.level - MIN_IMPROVEMENT, return_inverse=True)
    gain: Array = posteriors[0].expected_improvement(levels)[:, index]
    for axis, posterior in enumerate(posteriors[1:]):
        edges = np.concatenate([boxes.low[:, axis], boxes.high[:, axis]])
        levels, index = np.unique(edges, return_inverse=True)
        improvement = posterior.expected_improvement(levels)[:, index]
        gain = gain * (improvement[:, len(boxes.level) :] - improvement[:, : len(boxes.level)])
    for axis in range(costs.shape[1]):
        column = len(posteriors) - 1 + axis
        low, high = boxes.low[:, column], boxes.high[:, column]
        gain = gain * np.maximum(0.0, high - np.maximum(low, costs[:, axis, None]))
    total: Array = gain.sum(axis=1)
    return total
