"""Domination, knee and hypervolume of points whose coordinates are all to be minimized."""

from __future__ import annotations

import numpy as np

__all__ = ["hypervolume", "knee", "non_dominated", "normalized"]


def non_dominated(points: np.ndarray) -> np.ndarray:
    """Say for each row of points (n, objectives) whether no other dominates it; equal points all stay."""
    import moocore

    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    mask: np.ndarray = moocore.is_nondominated(np.asarray(points, dtype=float), keep_weakly=True)
    return mask


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Give the volume between points (n, objectives) and a reference point that is worse in each."""
    import moocore

    if len(points) == 0:
        return 0.0
    return float(moocore.hypervolume(np.asarray(points, dtype=float), ref=np.asarray(reference, dtype=float)))


def normalized(points: np.ndarray) -> np.ndarray:
    """Map each coordinate of points (n, objectives) to 0 (least) .. 1 (greatest), a constant one to 0."""
    points = np.asarray(points, dtype=float)
    low = points.min(axis=0)
    span = points.max(axis=0) - low
    scaled: np.ndarray = (points - low) / np.where(span > 0, span, 1.0)
    return scaled


def knee(points: np.ndarray) -> int:
    """Give the row of a front's points (n, objectives) that bulges most towards the ideal point.

    That is the point farthest below the plane through the extremes once each coordinate is mapped to
    0..1: where giving up a little of one objective stops to gain much of another (Das, 1999,
    doi:10.1007/BF01195985). Ties go to the first. Raises ValueError for no points.
    """
    if len(points) == 0:
        raise ValueError("a knee needs at least one point")
    return int(np.argmin(normalized(points).sum(axis=1)))
