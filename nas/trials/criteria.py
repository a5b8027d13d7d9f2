"""By which criteria networks are compared: objectives, the scale of a quality, and the quality floor.

Costs count by ratio, so they are compared by their logarithms. The same holds for errors: a step from 2 % to
1 % is as large as one from 40 % to 20 %. The validation split limits which differences are significant at
the accurate end, so that a constant is added to an error before its logarithm. A network whose error is over
the quality floor is of no use, however small it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nas.trials.trial import Objective, Trial

__all__ = ["Criteria"]

MIN_COST = 1e-12
"""Lower bound of a cost before its logarithm."""

RESOLVED = 2.0
"""Number of standard errors from which an error counts as different from 0."""


@dataclass(frozen=True)
class Criteria:
    """The objectives of a search and what is needed to compare trials by them."""

    objectives: tuple[Objective, ...]
    examples: int = 800  # validation examples behind a quality
    guess: float | None = None  # error of the best constant answer; None: no floor by default
    min_quality: float | None = None  # the floor of the first quality; None: derived from `guess`
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of costs in the space

    @cached_property
    def qualities(self) -> tuple[Objective, ...]:
        """The objectives that are known only after training; the quality floor is one of the first."""
        return tuple(objective for objective in self.objectives if objective.trained)

    @cached_property
    def costs(self) -> tuple[Objective, ...]:
        """The objectives that are known before training."""
        return tuple(objective for objective in self.objectives if not objective.trained)

    @cached_property
    def resolution(self) -> float:
        """The error that is RESOLVED standard errors from 0: e = RESOLVED * sqrt(e (1 - e) / examples)."""
        return RESOLVED**2 / (self.examples + RESOLVED**2)

    @property
    def has_floor(self) -> bool:
        """Whether there is a quality floor, given or derived."""
        return self.guess is not None or self.min_quality is not None

    def level(self, errors: np.ndarray | float) -> np.ndarray:
        """Return errors on the scale on which they are compared: log(error + resolution)."""
        level: np.ndarray = np.log(np.maximum(errors, 0.0) + self.resolution)
        return level

    def noise(self, errors: np.ndarray) -> np.ndarray:
        """Return the standard errors of errors on the validation split, at least that of `resolution`.

        A share is binomial; the losses of examples deviate from their mean as much as the mean.
        """
        deviation = np.maximum(errors, self.resolution)
        if self.qualities[0].maximize:
            share = np.minimum(deviation, 1.0 - self.resolution)
            deviation = np.sqrt(share * (1.0 - share))
        return np.asarray(deviation / math.sqrt(self.examples))

    def error(self, trial: Trial) -> float:
        """Return the error of a trial by the first quality; nan if it is unknown."""
        return self.qualities[0].error(trial.values.get(self.qualities[0].name, math.nan))

    def floor(self, best: float) -> float:
        """Return the greatest error that is of use, given the least error so far.

        It is the error of `min_quality`, else the geometric mean of the errors of guessing and of the best
        network, else infinite. By default the best network itself is always of use.
        """
        if self.min_quality is not None:
            return self.qualities[0].error(self.min_quality)
        return self._between(best, 0.5)

    def floor_at(self, best_at_rung: float, best: float) -> float:
        """Return the floor for errors after fewer epochs, given the least of them and the least of all.

        It lies at the same share of the way from the least error to that of guessing as the floor.
        """
        share = 0.5
        if self.min_quality is not None and self.guess is not None:
            low, floor, high = self.level(np.array([best, self.floor(best), self.guess]))
            share = float(np.clip((floor - low) / max(high - low, 1e-9), 0.0, 1.0))
        return self._between(best_at_rung, share)

    def _between(self, best: float, share: float) -> float:
        """Return the error at a share of the way from the least error to that of guessing, by `level`."""
        if self.guess is None or math.isnan(best):
            return math.inf
        low, high = self.level(np.array([best, max(best, self.guess)]))
        return max(best, float(np.exp(low + share * (high - low))) - self.resolution)

    def points(self, trials: Sequence[Trial]) -> np.ndarray:
        """Return trials as points (trials, objectives) to minimize: levels of errors, logarithms of costs."""
        points = np.empty((len(trials), len(self.objectives)))
        for column, objective in enumerate(self.objectives):
            values = np.array([trial.values[objective.name] for trial in trials], dtype=float)
            if objective.trained:
                points[:, column] = self.level(objective.error(values))
            else:
                points[:, column] = np.log(np.maximum(values, MIN_COST))
        return points

    def comparable(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the complete trials with a finite value of each objective."""
        names = [objective.name for objective in self.objectives]
        return [
            trial
            for trial in trials
            if trial.state == "complete"
            and all(math.isfinite(trial.values.get(name, math.nan)) for name in names)
        ]

    def useful(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the comparable trials that are not below the quality floor."""
        found = self.comparable(trials)
        floor = self.floor(min(map(self.error, found), default=math.nan))
        return [trial for trial in found if self.error(trial) <= floor]
