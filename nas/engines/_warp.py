"""A scale on which errors are close to normal, and its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "Warp"]

Array = NDArray[np.float64]

SHIFT = 0.005
"""Added to an error before its logarithm: below half a percent, differences are noise."""


class Warp:
    """A rising function of the log-error: 1 - median / error, and its inverse.

    The power of Box and Cox for which it stands, -1, is that of the greatest marginal likelihood on real
    tables. It spreads the good networks, which decide the front, and draws the long tail of bad ones in.
    """

    def __init__(self, logs: Array) -> None:
        self._middle = float(np.median(logs))

    def forward(self, logs: Array) -> Array:
        """Take log-errors to the scale."""
        warped: Array = -np.expm1(self._middle - logs)
        return warped

    def back(self, warped: Array) -> Array:
        """Take values on the scale to log-errors, those of errors over twice the whole to just that."""
        logs: Array = self._middle - np.log(np.maximum(1.0 - warped, np.exp(self._middle) / 2.0))
        return logs
