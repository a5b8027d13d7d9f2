"""The interface of executors, in the style of `concurrent.futures`."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from nas.evaluation import Evaluation, Job

__all__ = ["Executor", "JobEvaluator"]


class Executor(Protocol):
    """Runs jobs. The future of a failed job raises EvaluationError, or in this process the error itself."""

    workers: int  # number of jobs that run at once

    def check(self) -> None:
        """Wait until it is known whether jobs can run; raise InputError or RunError if they cannot."""
        ...

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job, or queue it until a worker is free."""
        ...

    def close(self) -> None:
        """Stop at once; unfinished jobs fail."""
        ...


class JobEvaluator(Protocol):
    """Evaluates jobs, as `nas.evaluation.Evaluator` does; each worker creates one for all its jobs."""

    def evaluate(self, job: Job) -> Evaluation:
        """Return the result of a job."""
        ...
