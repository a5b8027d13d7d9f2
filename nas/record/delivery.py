"""Deliver a search's writes to MLflow; what cannot be delivered at the moment waits in the spool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from nas.errors import RecordError
from nas.record.mlflow_search import MlflowSearch
from nas.record.mlflow_store import RunState, record_errors
from nas.record.spool import Entry, Point, Spool
from nas.trials import Trial

__all__ = ["Delivery"]

FLUSH_SECONDS = 5.0
"""Interval at which the search's own run is updated while trials come in."""

PAUSE_SECONDS = (5.0, 60.0)
"""Pause after a failed delivery: the first, doubled at each failure up to the second."""


class Delivery:
    """Writes to MLflow with retries, in order. One thread at a time.

    A write that returns survives the process: in MLflow or in the spool.
    """

    def __init__(self, search: MlflowSearch, spool: Spool) -> None:
        self._search, self._spool = search, spool
        self._front: frozenset[int] = frozenset()
        self._points: list[Point] = []  # in the journal, not in MLflow
        self._problem = ""
        self._flush_at = 0.0
        self._retry_at = 0.0
        self._pause = PAUSE_SECONDS[0]

    @property
    def problem(self) -> str:
        """Why the last delivery failed, '' if it succeeded."""
        return self._problem

    @property
    def undelivered(self) -> int:
        """Number of trials in the spool."""
        return self._spool.waiting()

    def write_trial(self, entry: Entry) -> None:
        """Deliver a trial, or keep it in the spool; raises RecordError if neither is possible."""
        if not (self._is_due() and self._attempt(lambda: self._write_trials([entry]))):
            try:
                self._spool.add(entry)
            except OSError as error:
                raise RecordError(
                    f"trial {entry.trial.number} cannot be recorded, because '{self._spool.folder}' "
                    f"cannot be written ({error.strerror}); {self._problem}"
                ) from error
        self._flush_when_due()

    def write_over_limit(self, trials: Sequence[Trial]) -> None:
        """Keep over-limit trials in the journal until the search's run is updated."""
        with record_errors("written"):
            self._spool.append_to_journal(trials)
        self._search.add_over_limit(trials)
        self._flush_when_due()

    def write_front(self, numbers: Iterable[int], point: Point) -> None:
        """Set the members of the front and keep a point of a metric in the journal."""
        self._front = frozenset(numbers)
        with record_errors("written"):
            self._spool.append_to_journal([point])
        self._points.append(point)
        self._flush_when_due()

    def write_files(self, texts: Mapping[str, str]) -> None:
        """Keep files in the spool until the search's run is updated."""
        with record_errors("written"):
            self._spool.attach(texts)
        self._flush_when_due()

    def flush(self) -> bool:
        """Deliver everything that waits; return whether that succeeded."""
        return self._attempt(lambda: self._write_trials([])) and self._attempt(self._write_search)

    def end(self, state: RunState) -> None:
        """Deliver everything, and then end the search's run."""
        if self.flush():
            self._attempt(lambda: self._search.end(state))

    def load(self, set_aside: bool) -> list[Trial]:
        """Read all trials, by number, from MLflow and from the spool, and continue from there.

        set_aside: mark runs that a killed process left incomplete.
        """
        entries, (journaled, self._points) = self._spool.entries(), self._spool.read_journal()
        trials = self._search.read(set_aside)
        self._front = self._search.marked
        over_limit = [trial for trial in journaled if trial.number not in trials]
        self._search.add_over_limit(over_limit)
        trials.update((trial.number, trial) for trial in over_limit)
        for entry in entries:
            number = entry.trial.number
            if number not in trials or (entry.folder and entry.folder.exists()):  # else delivered meanwhile
                trials[number] = replace(entry.trial, run_id=self._search.trial_run(number))
        return [trials[number] for number in sorted(trials)]

    def _flush_when_due(self) -> None:
        if time.monotonic() >= self._flush_at and self._is_due():
            self.flush()

    def _is_due(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Try to write; a failure is kept as `problem` and followed by a pause."""
        try:
            with record_errors("written"):
                write()
        except RecordError as error:
            self._problem = str(error)
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, PAUSE_SECONDS[1])
            return False
        self._problem, self._pause, self._retry_at = "", PAUSE_SECONDS[0], 0.0
        return True

    def _write_trials(self, entries: Sequence[Entry]) -> None:
        """Write the trials in the spool, oldest first, then the entries."""
        for waiting in self._spool.entries():
            self._search.write_trial(waiting, self._spool.folder)
            self._spool.remove(waiting)
        for entry in entries:
            self._search.write_trial(entry, self._spool.folder)

    def _write_search(self) -> None:
        """Update the search's run: over-limit trials, metrics, files; and the trials' front tags."""
        self._search.write_tables()
        self._search.write_points(self._points)
        self._points = []
        self._spool.clear_journal()
        for path in self._spool.attached():
            self._search.write_file(path)
            path.unlink()
        self._search.mark_front(self._front)
        self._flush_at = time.monotonic() + FLUSH_SECONDS
