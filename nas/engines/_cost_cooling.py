"""Weight expected gains by predicted training time where a search is limited by time.

The time of a full training is predicted from a network's FLOPs and the times of earlier trials. At first a
gain is divided by these seconds (expected improvement per second, Snoek et al., arXiv:1206.2944), which fills
a front fastest. As the remaining time shrinks, the exponent of the seconds falls to 0 (cost cooling, Lee et
al., arXiv:2003.10870), because the best networks may be slow. A candidate that can't be trained in the
remaining time has weight 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.trials import Trial

__all__ = ["CostCooling"]

Array = NDArray[np.float64]

MIN_TRIALS = 4
"""Observed times that the model of times needs."""


@dataclass
class CostCooling:
    """Predicts training times: a constant time per trial and a time per epoch that is linear in the FLOPs.

    seconds_left: returns the remaining seconds of the search.
    """

    seconds_left: Callable[[], float]
    _total: float = field(init=False)  # seconds of the whole search
    _observed: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # by id
    _max_epochs: int = 1  # of the observed trials

    def __post_init__(self) -> None:
        self._total = max(self.seconds_left(), 1e-9)

    def observe(self, name: str, flops: float, trial: Trial) -> None:
        """Observe the duration of a trial, if it is known; flops: per image."""
        if flops and trial.seconds_per_epoch > 0:
            self._observed[name] = flops, trial.seconds_per_epoch, trial.seconds_once
            self._max_epochs = max(self._max_epochs, trial.epochs)

    def predict_seconds(self, flops: Array) -> Array:
        """Predict the seconds of full trainings: (candidates,).

        Return 1 for each while too few times are known, or where the FLOPs of a candidate are unknown.
        """
        from scipy.optimize import nnls

        if len(self._observed) < MIN_TRIALS or not flops.all():
            return np.ones(len(flops))
        trial_flops, epoch_seconds, fixed_seconds = np.array(list(self._observed.values())).T
        design = np.column_stack([np.ones(len(trial_flops)), trial_flops]) / epoch_seconds[:, None]
        (constant, slope), _ = nnls(design, np.ones(len(trial_flops)))  # least squares of relative errors
        seconds: Array = np.median(fixed_seconds) + self._max_epochs * (constant + slope * flops)
        return seconds

    def weights(self, flops: Array) -> Array:
        """Return the factors for the gains of candidates: (candidates,)."""
        left, seconds = self.seconds_left(), self.predict_seconds(flops)
        in_time = seconds <= left if (seconds <= left).any() else True
        weights: Array = in_time * seconds ** -min(1.0, left / self._total)
        return weights
