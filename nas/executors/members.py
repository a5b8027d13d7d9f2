"""What the queue knows of its jobs and of its workers."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, field

from nas.evaluation import Evaluation, Job
from nas.executors.worker import Worker

__all__ = ["Member", "Patience", "Place", "Task"]

STEPS = 10.0
"""Multiple of the longest time between two steps after which a worker hangs."""


@dataclass(frozen=True)
class Patience:
    """Seconds without a sign of life after which a worker is taken for dead.

    start: until a worker has started, and in a job until its first step, which includes the tracing.
    step: from then on, or 10 times the longest time between two steps of the job, if that is more.
    """

    start: float = 300.0
    step: float = 60.0


@dataclass(eq=False)
class Task:
    """A job, and how often it was begun in vain."""

    job: Job
    future: Future[Evaluation]
    deaths: int = 0
    errors: int = 0
    needs_new: bool = False  # only a worker without earlier jobs may run it


@dataclass(eq=False)
class Member:
    """A worker, its job, and its signs of life."""

    seen: float  # time of its last report
    worker: Worker | None = None  # None if it could not be started
    is_ready: bool = False
    task: Task | None = None
    has_begun: bool = False  # the job
    sent: float = 0.0
    longest: float = 0.0  # seconds between two steps of the job; 0 before the first
    ended: int = 0  # number of jobs
    killed: str = ""  # why this queue has killed it
    cached: set[int] = field(default_factory=set)  # numbers of trials whose networks it has cached

    def kill(self) -> None:
        """End its process at once."""
        if self.worker is not None:
            self.worker.kill()

    def patience(self, patience: Patience) -> float:
        """Return the seconds without a report after which it is taken for dead; infinite without a job."""
        if not self.is_ready:
            return patience.start
        if self.task is None:
            return math.inf
        if self.has_begun and not self.longest:
            return patience.start
        return max(patience.step, STEPS * self.longest)


@dataclass(eq=False)
class Place:
    """The place of a worker; a worker with too much memory is replaced when its successor is ready."""

    member: Member | None = None
    successor: Member | None = None
    deaths: int = 0  # in a row, without a job; a job that ends anywhere shows that workers can train
