"""How much a gain is worth where time is limited: by the seconds that it is expected to take.

How long a candidate takes to train in full is foretold from its FLOPs by how long others took. At first a
gain is divided by these seconds (expected improvement per second, Snoek et al., arXiv:1206.2944), which fills
a front soonest; as the time runs out it counts more and more as it is, as the best networks may be slow
(cost cooling, Lee et al., arXiv:2003.10870), while what can't be trained in what is left counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.trials import Trial

__all__ = ["Pace"]

Array = NDArray[np.float64]

FEW = 4
"""Trials whose times tell nothing yet of others."""


@dataclass
class Pace:
    """Foretells a time that is the same for all, and for each epoch one that grows with the FLOPs.

    left: gives the seconds that the search has left.
    """

    left: Callable[[], float]
    _whole: float = field(init=False)  # seconds that the search had left at first
    _seen: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # by id
    _longest: int = 1  # epochs that a trial had

    def __post_init__(self) -> None:
        self._whole = max(self.left(), 1e-9)

    def tell(self, name: str, flops: float, trial: Trial) -> None:
        """Note how long a trial took, if that is known; flops: of an image."""
        if flops and trial.seconds_an_epoch > 0:
            self._seen[name] = flops, trial.seconds_an_epoch, trial.seconds_once
            self._longest = max(self._longest, trial.epochs)

    def seconds(self, flops: Array) -> Array:
        """Expect the seconds of full trainings: (candidates,); all one while too little is known."""
        from scipy.optimize import nnls

        if len(self._seen) < FEW or not flops.all():
            return np.ones(len(flops))
        work, epoch, once = np.array(list(self._seen.values())).T
        shares = np.column_stack([np.ones(len(work)), work]) / epoch[:, None]
        (still, growing), _ = nnls(shares, np.ones(len(work)))  # least relative errors
        expected: Array = np.median(once) + self._longest * (still + growing * flops)
        return expected

    def worth(self, flops: Array) -> Array:
        """Give by what to multiply the gains of candidates: (candidates,)."""
        left, seconds = self.left(), self.seconds(flops)
        in_time = seconds <= left if (seconds <= left).any() else True
        worth: Array = in_time * seconds ** -min(1.0, left / self._whole)
        return worth
