"""The record of a search in MLflow: trials are written and read back exactly; a resumed search replays them.

A search is a run. Each trial is a child run that ends only when everything of it is written, so a run that
has not ended was left by a killed process. What MLflow does not take at the moment waits in
`mlruns/spool/NAME/` and is delivered later.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nas.errors import InputError, nearest
from nas.files import lock_file
from nas.record import mlflow_runs as runs
from nas.record.delivery import Delivery
from nas.record.mlflow_search import MlflowSearch
from nas.record.mlflow_store import (
    RunState,
    Store,
    connect,
    create_store,
    record_errors,
    run_url,
    tracking_uri,
)
from nas.record.spool import Entry, Point, Spool
from nas.trials import Trial

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

__all__ = ["DataSource", "SearchRecord"]


class DataSource(Protocol):
    """What the record stores of a data set."""

    @property
    def name(self) -> str:
        """The name that the user gave."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the content."""
        ...


class SearchRecord:
    """The record of one search.

    `create` and `resume` return a record that only this process writes, until `finish` or `close`. `open`
    returns a record to read, also while another process writes it. Thread-safe.
    """

    def __init__(self, store: Store, name: str, run: Run, lock: BaseFileLock | None) -> None:
        self.name = name
        self.run_id: str = run.info.run_id
        self.config: dict[str, Any] = runs.config_from_run(run)
        self.uri = tracking_uri()
        self._store = store
        self._lock = lock
        self._mutex = threading.RLock()
        self._spool = Spool(_spool_folder(name))
        self._search = MlflowSearch(store, name, run)
        self._run = run
        self._delivery = Delivery(self._search, self._spool)
        self._replayed: list[Trial] | None = None

    @classmethod
    def create(cls, name: str, config: Mapping[str, Any], data: DataSource | None = None) -> SearchRecord:
        """Create the record of a search.

        config: plain JSON data from which the search can be resumed.

        Raises InputError if the name is in use or `mlruns` cannot be written, RecordError if the store cannot
        be reached.
        """
        with _new_name(name) as (store, lock):
            run = runs.create_search_run(store, name, config)
            if data is not None:
                dataset = runs.dataset_input(data.name, data.source, data.fingerprint)
                store.client.log_inputs(run.info.run_id, [dataset])
        return cls(store, name, run, lock)

    @staticmethod
    def check(name: str) -> None:
        """Raise what `create` would raise, before long work."""
        with _new_name(name) as (_, lock):
            Spool(_spool_folder(name)).close()
            lock.release()

    @classmethod
    def open(cls, name: str | None = None) -> SearchRecord:
        """Open the record of a search, the latest by default, to read it.

        Raises InputError if there is none of that name, RecordError if the store cannot be read.
        """
        store, run = _find_search(name)
        return cls(store, runs.search_name(run), run, None)

    @classmethod
    def resume(cls, name: str | None = None) -> SearchRecord:
        """Open the record of a search, the latest by default, to resume the search.

        Marks runs that a killed process left incomplete, and delivers what waits. Raises InputError if there
        is none of that name or another process writes it, RecordError.
        """
        store, run = _find_search(name)
        name = runs.search_name(run)
        create_store()
        busy = f"a search runs in one process, but another one runs '{name}'; wait until it ends"
        record = cls(store, name, run, _lock_name(name, busy))
        try:
            with record_errors("written"):
                store.client.update_run(record.run_id, status="RUNNING")
                record._replayed = record._delivery.load(set_aside=True)
            record.flush()
        except BaseException:
            record.close()
            raise
        return record

    def amend(self, config: Mapping[str, Any]) -> None:
        """Replace the config from which the search can be resumed; raises RecordError."""
        with self._mutex, record_errors("written"):
            runs.replace_config(self._store, self.run_id, config)
            self.config = dict(config)

    @property
    def undelivered(self) -> int:
        """Number of trials that wait in the spool to be delivered to MLflow."""
        return self._delivery.undelivered

    @property
    def delivery_problem(self) -> str:
        """Why the last delivery to MLflow failed, '' if it succeeded."""
        return self._delivery.problem

    def link(self, run_id: str) -> str:
        """Return the address of a run's page in MLflow's user interface."""
        return run_url(run_id, self._store.experiment_id)

    def links(self, trials: Iterable[Trial]) -> dict[int, str]:
        """Return the addresses of the pages of trials by trial number, of those that are in MLflow."""
        return {trial.number: self.link(trial.run_id) for trial in trials if trial.run_id}

    def log(self, trial: Trial, files: Mapping[str, Path] | None = None) -> Trial:
        """Write a trial that has ended, or that was trained further since; return it with its run_id.

        When this returns, the trial survives the process: in MLflow, or in the spool while MLflow cannot be
        written (then `delivery_problem` states why, and the run_id may be ''). Raises RecordError only if
        neither can be written.
        """
        with self._mutex:
            self._delivery.write_trial(Entry(trial, files or {}, _now_ms()))
            return replace(trial, run_id=self._search.trial_run(trial.number))

    def log_over_limit(self, trials: Sequence[Trial]) -> None:
        """Write trials that were never trained, together, as rows of a table on the search's run."""
        with self._mutex:
            self._delivery.write_over_limit(trials)

    def mark_front(self, numbers: Iterable[int], hypervolume: float, step: int) -> None:
        """Record which trials are on the front now, and the hypervolume after `step` trials."""
        with self._mutex:
            self._delivery.write_front(numbers, Point("hypervolume", float(hypervolume), step, _now_ms()))

    def attach(self, texts: Mapping[str, str]) -> None:
        """Put text files on the search's run, each in place of an earlier one of its name."""
        with self._mutex:
            self._delivery.write_files(texts)

    def flush(self) -> bool:
        """Deliver everything that waits; return whether that succeeded (see `delivery_problem`)."""
        with self._mutex:
            return self._delivery.flush()

    def trials(self) -> list[Trial]:
        """Return all trials as they were written, by number; raises RecordError."""
        with self._mutex, record_errors("read"):
            trials, self._replayed = self._replayed, None
            if trials is None:
                search = MlflowSearch(self._store, self.name, self._run)
                trials = Delivery(search, self._spool).load(set_aside=False)
            return trials

    def file(self, trial: Trial, name: str = "checkpoint.npz") -> Path:
        """Return the path of a file of a trial, downloaded if needed; raises RecordError."""
        for entry in reversed(self._spool.entries()):
            if entry.trial.number == trial.number and name in entry.files:
                return entry.files[name]
        with record_errors("read"):
            return self._search.file(trial, name)

    def finish(self, state: RunState) -> None:
        """Deliver what can be delivered, end the search's run, and let other processes write."""
        with self._mutex:
            self._delivery.end(state)
            self.close()

    def close(self) -> None:
        """Let other processes write the record; what waits stays in the spool."""
        with self._mutex:
            if self._lock is not None:
                self._spool.close()
                self._lock.release()
                self._lock = None


def _spool_folder(name: str) -> Path:
    return Path("mlruns/spool").absolute() / name


@contextmanager
def _new_name(name: str) -> Iterator[tuple[Store, BaseFileLock]]:
    """Yield the store, created if needed, and the lock of a new search of this name."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII):
        raise InputError(
            "a search's name must consist of at most 100 letters, digits, '.', '_' and '-', "
            f"got '{name}'; choose another --name"
        )
    in_use = (
        f"a search's name must be new, got '{name}', which is in use; resume it with "
        f"--resume {name}, or choose another --name"
    )
    lock = _lock_name(name, in_use)
    try:
        names_lock = lock_file(_spool_folder(".lock"))  # between the check of the names and the new run
        try:
            with record_errors("written"):
                store = create_store()
                if name in (runs.search_name(run) for run in runs.search_runs(store)):
                    raise InputError(in_use)
                yield store, lock
        finally:
            names_lock.release()
    except BaseException:
        Spool(_spool_folder(name)).close()
        lock.release()
        raise


def _lock_name(name: str, busy: str) -> BaseFileLock:
    try:
        return lock_file(_spool_folder(name) / "lock", busy)
    except OSError as error:
        raise InputError(
            f"the record's folder must be writable, got '{_spool_folder(name).parent}': {error.strerror}; "
            "fix its permissions, or work in another folder"
        ) from None


def _find_search(name: str | None) -> tuple[Store, Run]:
    """Find a search's run by name, the latest by default; raises InputError."""
    store = connect()
    with record_errors("read"):
        searches = {runs.search_name(run): run for run in (runs.search_runs(store) if store else [])}
    if store is None or not searches:
        raise InputError(
            f"there is no search in {tracking_uri()} yet; start one with: nas search --space xception_like"
        )
    if name is None:
        return store, next(iter(searches.values()))
    if name not in searches:
        raise InputError(f"unknown search '{name}'; {nearest(name, searches)}")
    return store, searches[name]


def _now_ms() -> int:
    return int(1000 * time.time())
