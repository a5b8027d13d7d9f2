"""How likely a candidate comes to nothing: it fails, or learns no more than to guess."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Viability", "hopeless"]

Array = NDArray[np.float64]

TREES = 32
ALIKE = 0.02  # errors within this share of the worst count as the same
SHARED = 3  # by so many trials must the worst error be shared


def hopeless(errors: Array) -> NDArray[np.bool_]:
    """Say which errors (trials,) are those of guessing.

    Networks that learn nothing share the worst error nearly exactly, whatever else they differ in.
    """
    worst = errors >= (1.0 - ALIKE) * errors.max()
    return worst if worst.sum() >= SHARED else np.zeros(len(errors), dtype=bool)


class Viability:
    """A random forest of what came to something.

    Unlike a smooth model it can be sure at a sharp bound, such as a cell of which no path leads out.
    """

    def __init__(self, inputs: Array, viable: NDArray[np.bool_]) -> None:
        """Learn from inputs (trials, columns) and whether they came to something."""
        from sklearn.ensemble import RandomForestClassifier

        self.trials = len(viable)
        self._forest = RandomForestClassifier(TREES, random_state=len(viable)).fit(inputs, viable)

    def likely(self, rows: Array) -> NDArray[np.bool_]:
        """Say which rows (candidates, columns) more likely than not come to something."""
        if len(self._forest.classes_) == 1:
            return np.ones(len(rows), dtype=bool)
        likely: NDArray[np.bool_] = self._forest.predict_proba(rows)[:, 1] >= 0.5
        return likely
