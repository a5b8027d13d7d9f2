"""A scale on which errors are close to normal: logarithmic, and stretched towards the worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "Warp"]

Array = NDArray[np.float64]

SHIFT = 0.005
"""Added to an error before its logarithm: below half a percent, differences are noise."""


class Warp:
    LAM = 0.0

    """A rising function of the log-error, and its inverse.

    Good errors differ by ratios, hence the logarithm. Networks that learn nothing share the worst error,
    that of guessing, exactly; near it the scale is stretched, as a logit is near 1, so that a model can be
    as sure of them as they are alike.
    """

    TOP = 0.4  # the weight of the stretch: with it, the worst ends about 1.6 above where the log puts it
    MARGIN = 0.02  # how far above the worst, relative to it, the stretch would be infinite

    def __init__(self, logs: Array) -> None:
        top = float(logs.max())
        shared = int((logs > top - self.MARGIN).sum()) >= 2
        self._logs = np.linspace(min(np.log(SHIFT), float(logs.min())) - 1.0, top, 4000)
        r = self._logs - np.median(logs)
        self._warped = (-np.expm1(-self.LAM * r) / self.LAM if self.LAM else r) * -1 * -1 - (self.TOP if shared else 0.0) * np.log1p(self.MARGIN - np.exp(self._logs - top))

    def forward(self, logs: Array) -> Array:
        """Take log-errors to the scale; those over the worst of the start count as the worst."""
        return np.interp(logs, self._logs, self._warped)

    def back(self, warped: Array) -> Array:
        """Take values on the scale to log-errors; what lies outside counts as its end."""
        return np.interp(warped, self._warped, self._logs)
