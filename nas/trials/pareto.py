"""Domination, knee and hypervolume of points whose coordinates are all to be minimized."""

from __future__ import annotations

import numpy as np

__all__ = ["hypervolume", "knee", "non_dominated", "scale_to_unit"]


def non_dominated(points: np.ndarray) -> np.ndarray:
    """Return for each row of points (n, objectives) whether it is not dominated.

    A point is not dominated if no other point is at least as good in every objective and better in one. Of
    equal points all are kept.
    """
    import moocore

    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    mask: np.ndarray = moocore.is_nondominated(np.asarray(points, dtype=float), keep_weakly=True)
    return mask


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume between points (n, objectives) and a reference point that is worse in each."""
    import moocore

    if len(points) == 0:
        return 0.0
    return float(moocore.hypervolume(np.asarray(points, dtype=float), ref=np.asarray(reference, dtype=float)))


def scale_to_unit(points: np.ndarray) -> np.ndarray:
    """Scale each coordinate of points (n, objectives) to 0 (least) .. 1 (greatest), a constant one to 0."""
    points = np.asarray(points, dtype=float)
    low = points.min(axis=0)
    span = points.max(axis=0) - low
    scaled: np.ndarray = (points - low) / np.where(span > 0, span, 1.0)
    return scaled


def knee(points: np.ndarray) -> int:
    """Return the index of the knee of a front's points (n, objectives).

    The knee is the point farthest below the plane through the extremes, with each coordinate scaled to 0..1
    (Das, 1999, doi:10.1007/BF01195985). Ties go to the first. Raises ValueError for no points.
    """
    if len(points) == 0:
        raise ValueError("a knee needs at least one point")
    return int(np.argmin(scale_to_unit(points).sum(axis=1)))
