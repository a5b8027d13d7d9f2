"""Trials run in this process, one after the other: for tests and debugging."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from nas.evaluation import Evaluation, Job, evaluate

__all__ = ["InProcess"]


class InProcess:
    """Runs each job before `submit` returns."""

    workers = 1

    def __init__(self, run: Callable[[Job], Evaluation] = evaluate) -> None:
        self._run = run

    def submit(self, job: Job) -> Future[Evaluation]:
        """Run the job; its future is done, with its result or its error."""
        future: Future[Evaluation] = Future()
        try:
            future.set_result(self._run(job))
        except Exception as error:  # handed to whoever reads the future, as concurrent.futures does
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing is left running."""
