"""The interface of a worker, and what it reports to the queue of jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nas.evaluation import Evaluation, Job, Progress
from nas.executors.faults import Fault

__all__ = ["Began", "Died", "Ended", "JobEvaluator", "Ready", "Report", "Stepped", "Worker", "WorkerBackend"]


class JobEvaluator(Protocol):
    """Evaluates jobs, as `nas.evaluation.Evaluator` does; each worker creates one for all its jobs."""

    def evaluate(self, job: Job, progress: Progress = ...) -> Evaluation:
        """Return the result of a job. Call `progress` after each step, so that a hang can be detected."""
        ...


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for a job."""


@dataclass(frozen=True)
class Began:
    """The worker has begun its job."""


@dataclass(frozen=True)
class Stepped:
    """The worker has taken steps of its job."""

    done: int
    total: int


@dataclass(frozen=True)
class Ended:
    """The job has ended, and the worker waits for another."""

    result: Evaluation | Fault


@dataclass(frozen=True)
class Died:
    """The worker does not exist any more; its last report.

    how: continues the sentence "a worker ...", for example "was killed by SIGKILL".
    """

    how: str
    out_of_memory: bool = False  # the kernel killed it because there was no memory left
    memory_suspected: bool = False  # it crashed under a limit of its memory


Report = Ready | Began | Stepped | Ended | Died


class Worker(Protocol):
    """A process, on whatever machine, that evaluates one job at a time with an evaluator of its own."""

    def send(self, job: Job) -> None:
        """Begin a job; the worker has reported Ready, or Ended for the last one."""
        ...

    def kill(self) -> None:
        """End the process at once, also one that hangs."""
        ...

    def join(self, seconds: float) -> None:
        """Wait until the process has ended, for some seconds at most."""
        ...


class WorkerBackend(Protocol):
    """Starts workers."""

    def check(self) -> None:
        """Wait until it is known whether workers can start; raise InputError or RunError if they cannot."""
        ...

    def memory_limit_mb(self, workers: int) -> float:
        """Return the memory of each of `workers` from which it is replaced by a new one."""
        ...

    def start(self, report: Callable[[Report], None]) -> Worker:
        """Start a worker, which reports from any thread. Raises OSError if no process can be started."""
        ...
