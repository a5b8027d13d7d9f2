"""How likely a candidate comes to nothing: it fails, or learns no more than to guess."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hopeless", "viability"]

Array = NDArray[np.float64]

TREES = 100
ALIKE = 0.02  # errors within this share of the worst count as the same
SHARED = 3  # by so many trials must the worst error be shared


def hopeless(errors: Array) -> NDArray[np.bool_]:
    """Say which errors (trials,) are those of guessing.

    Networks that learn nothing share the worst error nearly exactly, whatever else they differ in.
    """
    worst = errors >= (1.0 - ALIKE) * errors.max()
    return worst if worst.sum() >= SHARED else np.zeros(len(errors), dtype=bool)


def viability(inputs: Array, viable: NDArray[np.bool_], rows: Array, seed: int) -> Array:
    """Give the probability that each of rows (candidates, columns) comes to something.

    By a random forest, learnt from inputs (trials, columns) and whether they did: unlike a smooth model
    it can be sure at a sharp bound, such as a cell of which no path leads out.
    """
    from sklearn.ensemble import RandomForestClassifier

    if viable.all() or not viable.any():
        return np.ones(len(rows))
    forest = RandomForestClassifier(TREES, random_state=seed).fit(inputs, viable)
    probability: Array = forest.predict_proba(rows)[:, 1]
    return probability
