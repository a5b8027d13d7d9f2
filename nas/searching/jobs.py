"""The jobs of a search that were submitted and not collected yet."""

from __future__ import annotations

from collections.abc import Container, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from nas.errors import EvaluationError, StorageError, WorkerError
from nas.evaluation import Evaluation, Job
from nas.executors import Executor
from nas.searching.log import PausingLog
from nas.searching.status import Status

__all__ = ["Jobs"]

WAIT_SECONDS = 0.2
"""Greatest time that `collect` waits for a job to end."""


class Jobs:
    """Submits jobs, and those whose folder could not be written again after a pause.

    lag: the results are collected in the order of submission, one at a time, and so many jobs are submitted
    before the first of them; None: results are collected as they come.
    """

    def __init__(self, executor: Executor, log: PausingLog, status: Status, lag: int | None = None) -> None:
        self.lag = lag
        self._executor, self._log, self._status = executor, log, status
        self._pending: dict[Future[Evaluation], tuple[Job, int]] = {}  # with the part of the trial

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def workers(self) -> int:
        """Number of jobs that run at once."""
        return self._executor.workers

    @property
    def unfinished(self) -> int:
        """Number of jobs that have not ended."""
        return sum(not future.done() for future in self._pending)

    def first_ended(self) -> list[int]:
        """Return the trial of the job that was submitted first, if it has ended."""
        future, (job, _) = next(iter(self._pending.items()))
        return [job.number] if future.done() else []

    def submit(self, job: Job, part: int) -> None:
        """Submit the job of a part of a trial."""
        self._pending[self._executor.submit(job)] = job, part

    def collect(self, later: Container[int]) -> Iterator[tuple[int, int, Evaluation | EvaluationError]]:
        """Yield trial, part and result of the jobs that have ended, in the order of submission.

        later: numbers of trials whose jobs are collected later; if it is empty, this waits a moment for a job
        to end. Raises WorkerError, after the other results, if no worker can train.
        """
        candidates = list(self._pending)[: 1 if self.lag else None]
        ended, _ = wait(candidates, 0.0 if later and not self.lag else WAIT_SECONDS, FIRST_COMPLETED)
        self._status.notices += self._executor.take_notices()
        pending = list(self._pending.items())
        no_workers: WorkerError | None = None
        for future, (job, part) in pending:
            if future not in ended or job.number in later:
                continue
            del self._pending[future]
            try:
                result: Evaluation | EvaluationError = future.result()
            except EvaluationError as error:
                result = error
            except StorageError as error:  # not the trial's fault
                self._log.pause(error)
                self.submit(job, part)
                continue
            except WorkerError as error:
                no_workers = error
                continue
            yield job.number, part, result
        if no_workers is not None:
            raise no_workers
