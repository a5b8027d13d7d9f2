"""Where trials run: one interface in the shape of concurrent.futures, two implementations."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from nas.evaluation import Evaluation, Job

__all__ = ["Executor"]


class Executor(Protocol):
    """Runs jobs. A future fails with EvaluationError where a job fails, whatever the cause."""

    workers: int  # how many jobs run at once

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job, or line it up behind those that run."""
        ...

    def close(self) -> None:
        """End at once; jobs that have not finished are lost."""
        ...
