"""Train trials in this process, one after another: for tests and debugging."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from nas.evaluation import Evaluation, Evaluator, Job
from nas.executors.faults import Fault
from nas.executors.worker import JobEvaluator

__all__ = ["InProcess"]


class InProcess:
    """Runs each job before `submit` returns; creates the evaluator for the first job."""

    workers = 1

    def __init__(self, create_evaluator: Callable[[], JobEvaluator] = Evaluator) -> None:
        self._create_evaluator = create_evaluator
        self._evaluator: JobEvaluator | None = None

    def check(self) -> None:
        """Do nothing: jobs can run."""

    def submit(self, job: Job) -> Future[Evaluation]:
        """Run the job and return a future that is done."""
        future: Future[Evaluation] = Future()
        if self._evaluator is None:
            self._evaluator = self._create_evaluator()
        try:
            future.set_result(self._evaluator.evaluate(job))
        except Exception as error:  # raised by the future, as in concurrent.futures
            failure = Fault.of(error, job).to_error()
            failure.__cause__ = error
            future.set_exception(failure)
        return future

    def take_notices(self) -> list[str]:
        """Return nothing: what goes wrong is the result of a job."""
        return []

    def close(self) -> None:
        """Do nothing: no job is running."""
