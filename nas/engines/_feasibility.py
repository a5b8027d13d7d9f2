"""Predict whether a candidate fails, or ends below the quality floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeasibilityModel", "at_chance_level"]

Array = NDArray[np.float64]

TREES = 64
TOLERANCE = 0.02  # errors within this share of the worst error count as equal to it
MIN_TRIALS = 3  # trials that must share the worst error


def at_chance_level(errors: Array) -> NDArray[np.bool_]:
    """Return which errors (trials,) are those of guessing, where these are not known.

    Networks that learn nothing have nearly the same, worst error, whatever their architectures. Less than
    MIN_TRIALS such errors are not counted as chance level.
    """
    worst = errors >= (1.0 - TOLERANCE) * errors.max()
    return worst if worst.sum() >= MIN_TRIALS else np.zeros(len(errors), dtype=bool)


class FeasibilityModel:
    """A random forest that predicts the probability that a candidate is feasible.

    Unlike a smooth model it can represent a sharp boundary, such as cells without a path to their output.
    """

    def __init__(self, inputs: Array, feasible: NDArray[np.bool_]) -> None:
        """Fit inputs (trials, columns) and whether each trial was feasible (trials,)."""
        from sklearn.ensemble import RandomForestClassifier

        self.trials = len(feasible)
        self._forest = RandomForestClassifier(TREES, random_state=len(feasible)).fit(inputs, feasible)

    def predict(self, inputs: Array) -> Array:
        """Return the probability that each candidate (candidates, columns) is feasible: (candidates,)."""
        if len(self._forest.classes_) == 1:
            return np.ones(len(inputs))
        probabilities: Array = self._forest.predict_proba(inputs)[:, 1]
        return probabilities
