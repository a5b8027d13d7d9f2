"""A monotone transform of levels of errors, which are logarithms, towards a normal distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OutputTransform"]

Array = NDArray[np.float64]


class OutputTransform:
    """The increasing transform 1 - median / error of log-errors, and its inverse.

    It is the Box-Cox transform with power -1, the power with the greatest marginal likelihood on real tables.
    It spreads out the errors of good networks, which determine the front, and compresses the long tail of
    large errors.
    """

    def __init__(self, log_errors: Array) -> None:
        """Fit the median to log-errors (n,)."""
        self._median = float(np.median(log_errors))

    def transform(self, log_errors: Array) -> Array:
        """Return the transformed log-errors."""
        transformed: Array = -np.expm1(self._median - log_errors)
        return transformed

    def inverse(self, transformed: Array) -> Array:
        """Return the log-errors of transformed values; a level is at most log(2)."""
        log_errors: Array = self._median - np.log(np.maximum(1.0 - transformed, np.exp(self._median) / 2.0))
        return log_errors
