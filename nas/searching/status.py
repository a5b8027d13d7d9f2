"""Where a search stands: its budget, its trials, and where its time goes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from nas.trials import Trial

__all__ = ["Budget", "Status"]

WORK = ("train", "trace", "validate", "build", "save")
"""What a worker does in a trial."""


@dataclass(frozen=True)
class Budget:
    """When a search ends: after so many trials, so many seconds, or when going on is not worth it."""

    trials: int | None = None
    seconds: float | None = None
    flat: float | None = None  # the expected relative gain of the hypervolume under which it is flat


@dataclass
class Status:
    """Where a search stands, for whoever shows it."""

    budget: Budget
    started: float = field(default_factory=time.monotonic)
    trials: dict[int, Trial] = field(default_factory=dict)  # ended, in their latest state
    running: dict[int, tuple[Trial, float]] = field(default_factory=dict)  # with the time it was submitted
    over_limit: int = 0
    duplicates: int = 0
    flatness: float | None = None  # what one more trial is expected to add to the hypervolume, relative
    flat_for: int = 0  # how often in a row it was under the budget's
    seconds: dict[str, float] = field(default_factory=dict)  # where the time went: train, trace, measure, ...
    ended_by: str = ""
    interrupted: bool = False  # by Ctrl-C
    starting: float | None = None  # seconds until the first worker began its first job

    @property
    def elapsed(self) -> float:
        """Seconds since the search was started or resumed."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float:
        """What is left of the time that the search may take; infinite where that is not limited."""
        seconds = self.budget.seconds
        return math.inf if seconds is None else max(0.0, seconds - self.elapsed)

    def division(self, workers: int) -> dict[str, float]:
        """Give the shares of the workers' time, by what it was spent on; they sum to 1.

        `end`: nothing was left to begin while others trained to their end; `wait`: all that is left over.
        """
        total = max(1, workers) * self.elapsed
        shares = {name: self.seconds.get(name, 0.0) / total for name in WORK}
        shares["start"] = max(1, workers) * (self.starting or 0.0) / total
        shares["end"] = self.seconds.get("end", 0.0) / total
        shares["wait"] = max(0.0, 1.0 - sum(shares.values()))
        return shares

    @property
    def numbered(self) -> int:
        """How many trials have begun."""
        return len(self.trials) + sum(number not in self.trials for number in self.running)
