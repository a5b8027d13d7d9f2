"""Deliver the spool of a search to MLflow, in a thread, so that no worker waits for MLflow."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from nas.errors import RecordError, StorageError
from nas.record.lease import Lease, LeaseLostError
from nas.record.mlflow_search import MlflowSearch
from nas.record.mlflow_store import RunState, record_errors
from nas.record.spool import Entry, Header, Point, Spool
from nas.trials import Trial

__all__ = ["Delivery", "merge_trials"]

FLUSH_SECONDS = 5.0
"""Interval at which the search's own run is updated while trials come in."""

PAUSE_SECONDS = (5.0, 60.0)
"""Pause after a failed delivery: the first, doubled at each failure up to the second."""

POLL_SECONDS = 1.0
"""Interval at which the thread looks for what is due."""


class Delivery:
    """Writes to MLflow with retries, in order. What it is given is in the spool when a call returns."""

    def __init__(self, search: MlflowSearch, spool: Spool, lease: Lease) -> None:
        self._search, self._spool, self._lease = search, spool, lease
        self._front: frozenset[int] = frozenset()
        self._drops: set[int] = set()  # trials whose files are to be deleted
        self._points: list[Point] = []  # in the journal, not in MLflow
        self._new: list[Trial | Point] = []  # in the journal since the last delivery
        self._new_lock = threading.Lock()
        self._problem = ""
        self._fatal: RecordError | None = None
        self._flush_at = 0.0
        self._retry_at = 0.0
        self._pause = PAUSE_SECONDS[0]
        self._mutex = threading.Lock()  # one delivery at a time
        self._files_lock = threading.Lock()  # while files for the search's run are written or removed
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    def start(self) -> None:
        """Deliver in a thread from now on."""
        self._spool.write_header(Header(self._search.run_id))
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why the last delivery failed, '' if it succeeded."""
        return self._problem

    def check(self) -> None:
        """Raise LeaseLostError if another process writes the record now."""
        if self._fatal is not None:
            raise self._fatal

    def write_trial(self, entry: Entry) -> None:
        """Keep a trial and its files until they are delivered; raises StorageError."""
        self._spool.add(entry)
        self._wake.set()

    def write_over_limit(self, trials: Sequence[Trial]) -> None:
        """Keep over-limit trials until the search's run is updated; raises StorageError."""
        with self._new_lock:
            self._spool.append_to_journal(trials)
            self._new += trials

    def write_front(self, numbers: Iterable[int], point: Point) -> None:
        """Set the members of the front and keep a point of a metric."""
        self._front = frozenset(numbers)
        with self._new_lock:
            # The point follows from the trials: without space for it the search goes on.
            with contextlib.suppress(StorageError):
                self._spool.append_to_journal([point])
            self._new.append(point)

    def drop_files(self, numbers: Iterable[int]) -> None:
        """Delete the files of trials with the next delivery."""
        with self._new_lock:
            self._drops |= set(numbers)

    def write_files(self, texts: Mapping[str, str]) -> None:
        """Keep files until the search's run is updated; raises StorageError."""
        with self._files_lock:
            self._spool.attach(texts)

    def flush(self) -> bool:
        """Deliver everything that waits; return whether that succeeded."""
        with self._mutex:
            return self._attempt(self._write_trials) and self._attempt(self._write_search)

    def end(self, state: RunState) -> None:
        """Deliver everything, and then end the search's run."""
        self._stop()
        self._spool.write_header(Header(self._search.run_id, state))
        if self.flush() and self._attempt(lambda: self._search.end(state)):
            self._spool.write_header(Header(self._search.run_id))

    def close(self) -> None:
        """Stop the thread, and let other processes write; what waits stays in the spool."""
        self._stop()
        with contextlib.suppress(LeaseLostError):  # then it is no longer held
            self._attempt(lambda: self._lease.release(self._spool.waiting()))

    def load(self) -> list[Trial]:
        """Read all trials, by number, from MLflow and from the spool, and continue from there.

        Marks runs that a killed process left incomplete. A trial in the spool gets a new number if another
        machine has used its number meanwhile.
        """
        entries, (journaled, self._points) = self._spool.entries(), self._spool.read_journal()
        recorded = self._search.read(set_aside=True)
        self._front = self._search.marked
        trials = merge_trials(recorded, journaled, entries, self._spool.change)
        self._search.add_over_limit([trial for trial in journaled if trial.number not in recorded])
        self._spool.begin_delivery()
        return [trials[number] for number in sorted(trials)]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            if time.monotonic() < self._retry_at or self._stopping.is_set():
                continue
            try:
                with self._mutex:
                    is_delivered = self._attempt(self._write_trials)
                    if is_delivered and time.monotonic() >= self._flush_at:
                        self._attempt(self._write_search)
            except RecordError as error:  # LeaseLostError; `check` raises it in the thread of the search
                self._fatal = error
                return

    def _stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Try to write; a failure is kept as `problem` and followed by a pause."""
        try:
            with record_errors("written"):
                if self._lease.is_due:
                    self._lease.renew(self._spool.waiting())
                write()
        except LeaseLostError:
            raise
        except RecordError as error:
            self._problem = str(error)
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, PAUSE_SECONDS[1])
            return False
        self._problem, self._pause, self._retry_at = "", PAUSE_SECONDS[0], 0.0
        return True

    def _write_trials(self) -> None:
        """Write the trials in the spool, oldest first."""
        for entry in self._spool.entries():
            if self._lease.is_due:
                self._lease.renew(self._spool.waiting())
            self._search.write_trial(entry, self._spool.folder)
            self._spool.remove(entry)

    def _write_search(self) -> None:
        """Update the search's run: over-limit trials, metrics, files; and the trials' front tags."""
        with self._new_lock:
            new, self._new = self._new, []
            drops, self._drops = self._drops, set()
            self._spool.begin_delivery()
        self._points += [item for item in new if isinstance(item, Point)]
        self._search.add_over_limit([item for item in new if isinstance(item, Trial)])
        self._search.write_tables()
        self._search.write_points(self._points)
        self._points = []
        self._spool.end_delivery()
        for path in self._spool.attached():
            written = path.stat().st_mtime_ns
            self._search.write_file(path)
            with self._files_lock:
                if path.stat().st_mtime_ns == written:  # else a newer one has replaced it
                    path.unlink()
        self._search.mark_front(self._front)
        self._search.drop_files(drops)
        self._flush_at = time.monotonic() + FLUSH_SECONDS


def merge_trials(
    recorded: Mapping[int, Trial],
    journaled: Sequence[Trial],
    entries: Sequence[Entry],
    renumber: Callable[[Entry, Trial], object],
) -> dict[int, Trial]:
    """Return the trials of a record and of a spool, by number.

    recorded: in MLflow; journaled, entries: in the spool, the entries oldest first.
    renumber: receives an entry whose number another trial has, and the trial with a new number.
    """
    trials = dict(recorded)
    trials.update((trial.number, trial) for trial in journaled if trial.number not in trials)
    renumbered: dict[tuple[int, str], int] = {}
    for entry in entries:
        trial = entry.trial
        known = trials.get(trial.number)
        if known is not None and entry.folder is not None and not entry.folder.exists():
            continue  # delivered since the spool was read
        if known is not None and (known.id, known.training) != (trial.id, trial.training):
            key = trial.number, trial.id
            renumbered.setdefault(key, max(trials) + 1)
            trial = replace(trial, number=renumbered[key])
            renumber(entry, trial)
        run_id = recorded[trial.number].run_id if trial.number in recorded else ""
        trials[trial.number] = replace(trial, run_id=run_id)
    return trials
