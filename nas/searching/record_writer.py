"""Write trials to the record in a thread, so that no worker waits for MLflow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from nas.record import SearchRecord
from nas.searching.evaluated import checkpoint_name
from nas.searching.plan import Plan
from nas.searching.status import Status
from nas.trials import Trial, hypervolume_curve, pareto_front

__all__ = ["RecordWriter"]

MAX_PENDING_WRITES = 200
"""Number of writes by which the record may lag behind; then the search waits, so that memory stays bounded.
"""


class RecordWriter:
    """Writes in order in one thread. `status` shows whether MLflow takes the writes."""

    def __init__(self, record: SearchRecord, plan: Plan, trials: Sequence[Trial], status: Status) -> None:
        self._record, self._plan, self._status = record, plan, status
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record")
        self._writes: deque[Future[None]] = deque()
        self._trials = {trial.number: trial for trial in trials if trial.state != "over_limit"}
        self._front = pareto_front(list(self._trials.values()), plan.criteria)

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Write the latest state of a trial, later."""
        self._submit(lambda: self._write(trial, files))

    def over_limit(self, trial: Trial) -> None:
        """Write a candidate that a limit rejected, later."""
        self._submit(lambda: self._record.log_over_limit([trial]))

    def checkpoint(self, number: int, part: int) -> Path:
        """Return the checkpoint of a part of a trial in the record."""
        return self._record.file(self._trials[number], checkpoint_name(part))

    def _write(self, trial: Trial, files: Mapping[str, Path]) -> None:
        before = self._trials.get(trial.number)
        self._trials[trial.number] = self._record.log(trial, files)
        if trial.state == "complete":
            criteria = self._plan.criteria
            # A front member that another seed made worse may have dominated any other trial.
            is_confirmed = before is not None and before.state == "complete"
            candidates = self._trials.values() if is_confirmed else [*self._front, self._trials[trial.number]]
            self._front = pareto_front(list(candidates), criteria)
            volume = hypervolume_curve(self._front, criteria)[-1] if self._front else 0.0
            self._record.mark_front([member.number for member in self._front], volume, len(self._trials))
        self._status.record_problem = self._record.delivery_problem
        self._status.undelivered = self._record.undelivered if self._status.record_problem else 0

    def _submit(self, write: Callable[[], None]) -> None:
        while self._writes and (self._writes[0].done() or len(self._writes) >= MAX_PENDING_WRITES):
            self._writes.popleft().result()
        self._writes.append(self._thread.submit(write))

    def flush(self) -> None:
        """Wait until all trials so far are written; raise the first error of a write."""
        while self._writes:
            self._writes.popleft().result()

    def close(self) -> list[Trial]:
        """Wait until everything is written and return the trials as they are in the record."""
        try:
            self.flush()
        finally:
            self._thread.shutdown(wait=True)
        return list(self._trials.values())
