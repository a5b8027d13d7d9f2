"""The interface of executors, in the style of `concurrent.futures`."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from nas.evaluation import Evaluation, Job

__all__ = ["Executor"]


class Executor(Protocol):
    """Runs jobs.

    The future of a job raises EvaluationError if the network cannot be trained, StorageError if a folder
    cannot be written at the moment, so that the job can be submitted again later, and WorkerError if no job
    can run.
    """

    workers: int  # number of jobs that run at once

    def check(self) -> None:
        """Wait until it is known whether jobs can run; raise InputError or RunError if they cannot."""
        ...

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job, or queue it until a worker is free."""
        ...

    def take_notices(self) -> list[str]:
        """Return sentences for the user about what went wrong since the last call."""
        ...

    def close(self) -> None:
        """Stop at once; unfinished jobs fail."""
        ...
