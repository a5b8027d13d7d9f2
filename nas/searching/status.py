"""The state of a running search: its budget, its trials, and where its time goes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from nas.trials import Trial

__all__ = ["Budget", "Status"]

FLAT_FOR = 5
"""Number of times in a row that the front must look flat before the search ends."""

WORK = ("train", "trace", "statistics", "validate", "file", "build", "save", "confirm")
"""What a worker does in a trial.

file: write and validate the file of a lower precision; confirm: train a front member with another seed.
"""


@dataclass(frozen=True)
class Budget:
    """When a search ends: after a number of trials, after a time, or when the front is flat."""

    trials: int | None = None
    seconds: float | None = None
    flat: float | None = None  # expected relative gain of hypervolume below which the front is flat


@dataclass
class Status:
    """The state of a search, for whatever displays it."""

    budget: Budget
    started: float = field(default_factory=time.monotonic)
    trials: dict[int, Trial] = field(default_factory=dict)  # ended trials in their latest state
    running: dict[int, tuple[Trial, float]] = field(default_factory=dict)  # with the time of submission
    over_limit: int = 0
    duplicates: int = 0
    flatness: float | None = None  # expected relative gain of hypervolume of one more trial
    flat_for: int = 0  # number of times in a row that it was below the budget's
    seconds: dict[str, float] = field(default_factory=dict)  # by kind of work: train, trace, measure, ...
    ended_by: str = ""
    interrupted: bool = False  # by Ctrl-C
    starting: float | None = None  # seconds until the first worker began its first job
    paused: str = ""  # why the search waits; '' if it does not
    notices: list[str] = field(default_factory=list)  # sentences about what went wrong, as it happens
    record_problem: str = ""  # why MLflow does not take writes at the moment; '' if it does
    _next_number: int = 0  # no number below it is unused
    undelivered: int = 0  # results of trials that wait in the spool until MLflow takes them

    @property
    def elapsed(self) -> float:
        """Seconds since the search was started or resumed."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float:
        """Seconds that remain; infinite without a time limit."""
        seconds = self.budget.seconds
        return math.inf if seconds is None else max(0.0, seconds - self.elapsed)

    def add_seconds(self, name: str, seconds: float) -> None:
        """Add to the time of a kind of work."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def worker_time(self, workers: int) -> dict[str, float]:
        """Return the shares of the workers' time by kind of work; they sum to 1.

        `start`: before the first job; `end`: no new work was left while others trained; `wait`: the rest.
        """
        total = max(1, workers) * self.elapsed
        used = [name for name in WORK if name != "file" or self.seconds.get(name)]
        shares = {name: self.seconds.get(name, 0.0) / total for name in used}
        shares["start"] = max(1, workers) * (self.starting or 0.0) / total
        shares["end"] = self.seconds.get("end", 0.0) / total
        shares["wait"] = max(0.0, 1.0 - sum(shares.values()))
        return shares

    @property
    def delivery_notice(self) -> str:
        """A sentence about trials that MLflow does not take at the moment, '' if it takes them."""
        if not self.record_problem:
            return ""
        waiting = "1 result waits" if self.undelivered == 1 else f"{self.undelivered} results wait"
        return f"{self.record_problem}; {waiting} in mlruns/spool."

    def unused_number(self) -> int:
        """Return the least number that no trial has: those that a killed process trained are used again."""
        while self._next_number in self.trials or self._next_number in self.running:
            self._next_number += 1
        return self._next_number

    def is_budget_used(self) -> bool:
        """Return whether no new trial may begin; `ended_by` says why."""
        if self.budget.trials is not None and self.numbered >= self.budget.trials:
            self.ended_by = f"{self.budget.trials} trials"
        elif not self.seconds_left:
            self.ended_by = f"the time limit of {self.budget.seconds:.0f} s is reached"
        elif self.flatness is not None and self.flat_for >= FLAT_FOR:
            self.ended_by = f"one more trial is expected to add only {self.flatness:.2%} of hypervolume"
        return bool(self.ended_by)

    @property
    def numbered(self) -> int:
        """Number of trials that have begun."""
        return len(self.trials) + sum(number not in self.trials for number in self.running)
