"""The record of a search in MLflow: Trials in, Trials out, exactly; a resumed search is replayed from it.

A search is a run; each trial is a run beneath it, ended only once everything of it is written, so that
a run which has not ended is what a killed process left behind. What MLflow cannot take at the moment
waits in `mlruns/spool/NAME/` and is delivered at the next occasion.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from nas.errors import InputError, RecordError, nearest
from nas.files import lock_file
from nas.record import mlflow_runs as runs
from nas.record.delivery import Courier, folder_of
from nas.record.mlflow_store import Store, connect, page, telling, tracking_uri, ui_command
from nas.record.spool import Entry, Point, Spool
from nas.trials import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["DataSource", "Record", "tracking_uri", "ui_command"]

STATUS = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class DataSource(Protocol):
    """What the record keeps of a data set."""

    @property
    def name(self) -> str:
        """As the user gave it."""
        ...

    @property
    def source(self) -> str:
        """Where it came from."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for equal data."""
        ...


class Record:
    """One search's record.

    `create` and `resume` give one that is written, by this process alone, until `finish`; `open` gives
    one that is only read, also while another process writes it. Safe to be called from several threads.
    """

    def __init__(self, store: Store, name: str, run: Run, lock: IO[str] | None) -> None:
        self.name = name
        self.run_id: str = run.info.run_id
        self.config: dict[str, Any] = runs.config_of(run)
        self.uri = tracking_uri()
        self._store = store
        self._lock = lock
        self._mutex = threading.RLock()
        self._spool = Spool(_spool_folder(name))
        self._courier = Courier(store, name, self.run_id, self._spool)
        self._replayed: list[Trial] | None = None

    @classmethod
    def create(cls, name: str, config: Mapping[str, Any], data: DataSource | None = None) -> Record:
        """Begin a search's record.

        The config is plain JSON data from which the search can go on. Raises InputError where the name
        is in use or `mlruns` cannot be written, RecordError where the store cannot be reached.
        """
        with _beginning(name) as (store, lock):
            run = runs.begin(store, name, config)
            if data is not None:
                given = runs.dataset_input(data.name, data.source, data.fingerprint)
                store.client.log_inputs(run.info.run_id, [given])
        return cls(store, name, run, lock)

    @staticmethod
    def check(name: str) -> None:
        """Make sure, before long work, that `create` can be called; raises what it would raise."""
        with _beginning(name) as (_, lock):
            Spool(_spool_folder(name)).close()
            lock.close()

    @classmethod
    def open(cls, name: str | None = None) -> Record:
        """Open a search's record, the latest by default, to read it.

        Raises InputError where there is none of that name, RecordError where the store cannot be read.
        """
        store, run = _found(name)
        return cls(store, runs.name_of(run), run, None)

    @classmethod
    def resume(cls, name: str | None = None) -> Record:
        """Open a search's record, the latest by default, to go on with it.

        What a killed process left unfinished is set aside, what waited is delivered. Raises InputError
        where there is none of that name or where another process writes it, RecordError.
        """
        store, run = _found(name)
        name = runs.name_of(run)
        connect(make=True)
        record = cls(store, name, run, _own(name, _busy(name)))
        try:
            with telling("written"):
                store.client.update_run(record.run_id, status="RUNNING")
                record._replayed = record._courier.load(set_aside=True)
            record.flush()
        except BaseException:
            record.close()
            raise
        return record

    def amend(self, config: Mapping[str, Any]) -> None:
        """Replace the config from which the search can go on; raises RecordError."""
        with self._mutex, telling("written"):
            runs.amend(self._store, self.run_id, config)
            self.config = dict(config)

    @staticmethod
    def names() -> list[str]:
        """Give the names of all searches, the latest first; raises RecordError."""
        store = connect(make=False)
        with telling("read"):
            return _names(store) if store else []

    @property
    def undelivered(self) -> int:
        """Number of trials that wait in the spool to be delivered to MLflow."""
        return self._spool.waiting()

    @property
    def delivery_problem(self) -> str:
        """Why the last delivery to MLflow failed, '' if it succeeded."""
        return self._courier.problem

    @property
    def home(self) -> str:
        """The address of the table of all runs in MLflow's user interface."""
        return page("", self._store.experiment_id)

    def link(self, run_id: str) -> str:
        """Give the address of a run's page in MLflow's user interface."""
        return page(run_id, self._store.experiment_id)

    def links(self, trials: Iterable[Trial]) -> dict[int, str]:
        """Give the addresses of the trials' pages by trial number, of those that are in MLflow."""
        return {trial.number: self.link(trial.run_id) for trial in trials if trial.run_id}

    def log(self, trial: Trial, files: Mapping[str, Path] | None = None) -> Trial:
        """Write a trial that has ended, or that was trained further since; give it with its run_id.

        Once this returns, the trial survives the process: in MLflow, or in the spool while MLflow
        cannot be written (then `problem` says why, and the run_id may be ''). Raises RecordError only
        where neither can be written.
        """
        with self._mutex:
            self._courier.give(Entry(trial, files or {}, _now_ms()))
            self._courier.flush_when_due()
            return replace(trial, run_id=self._courier.runs.get(trial.number, ""))

    def log_over_limit(self, trials: Sequence[Trial]) -> None:
        """Write trials that were never trained, together, as rows of a table on the search's run."""
        with self._mutex:
            self._courier.note(trials, ())
            self._courier.flush_when_due()

    def mark_front(self, numbers: Iterable[int], hypervolume: float, step: int) -> None:
        """Say which trials are on the front now, and the hypervolume after `step` trials."""
        with self._mutex:
            self._courier.wanted = frozenset(numbers)
            self._courier.note((), (Point("hypervolume", float(hypervolume), step, _now_ms()),))
            self._courier.flush_when_due()

    def attach(self, texts: Mapping[str, str]) -> None:
        """Put text files on the search's run, each in the place of an earlier one of its name."""
        with self._mutex:
            self._courier.attach(texts)
            self._courier.flush_when_due()

    def flush(self) -> bool:
        """Deliver now all that waits; say whether it went, `problem` says why it did not."""
        with self._mutex:
            return self._courier.flush()

    def trials(self) -> list[Trial]:
        """Give all trials as they were written, by number; raises RecordError."""
        with self._mutex, telling("read"):
            found, self._replayed = self._replayed, None
            if found is None:
                found = Courier(self._store, self.name, self.run_id, self._spool).load(set_aside=False)
            return found

    def file(self, trial: Trial, name: str = "checkpoint.npz") -> Path:
        """Give the path of a file that was logged with a trial, fetched if need be; raises RecordError."""
        for entry in reversed(self._spool.entries()):
            if entry.trial.number == trial.number and name in entry.files:
                return entry.files[name]
        run_id = trial.run_id or self._courier.runs.get(trial.number, "")
        place = f"{folder_of(trial)}/{name}"
        with telling("read"):
            client = self._store.client
            there = [item.path for item in client.list_artifacts(run_id, folder_of(trial))] if run_id else []
            if place not in there:
                raise RecordError(
                    f"trial {trial.number} of '{self.name}' has no file {place} in the record; "
                    "train the network anew"
                )
            return Path(client.download_artifacts(run_id, place))

    def finish(self, state: Literal["complete", "interrupted", "failed"]) -> None:
        """Deliver what can be delivered, end the search's run, and let other processes write."""
        with self._mutex:
            self._courier.end(STATUS[state])
            self.close()

    def close(self) -> None:
        """Let other processes write the record; what waits stays in the spool."""
        with self._mutex:
            if self._lock is not None:
                self._spool.close()
                self._lock.close()
                self._lock = None


def _spool_folder(name: str) -> Path:
    return Path("mlruns/spool").absolute() / name


@contextmanager
def _beginning(name: str) -> Iterator[tuple[Store, IO[str]]]:
    """Give the store, made if need be, and the lock of a new search of this name."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII):
        raise InputError(
            "a search's name must be of letters, digits, '.', '_' and '-', at most 100, "
            f"got '{name}'; choose another --name"
        )
    in_use = (
        f"a search's name must be new, got '{name}', which is in use; go on with "
        f"--resume {name}, or choose another --name"
    )
    lock = _own(name, in_use)
    try:
        with lock_file(_spool_folder(".lock"), "", wait=True), telling("written"):
            store = connect(make=True)
            assert store is not None
            if name in _names(store):
                raise InputError(in_use)
            yield store, lock
    except BaseException:
        Spool(_spool_folder(name)).close()
        lock.close()
        raise


def _busy(name: str) -> str:
    return f"a search must have one process, got '{name}', which another one runs now; wait until it ends"


def _own(name: str, busy: str) -> IO[str]:
    try:
        return lock_file(_spool_folder(name) / "lock", busy)
    except OSError as error:
        raise InputError(
            f"the record's folder must be writable, got '{_spool_folder(name).parent}': {error.strerror}; "
            "mend its permissions, or work in another folder"
        ) from None


def _names(store: Store) -> list[str]:
    return [runs.name_of(run) for run in runs.searches(store)]


def _found(name: str | None) -> tuple[Store, Run]:
    """Find a search's run by name, the latest by default; raises InputError."""
    store = connect(make=False)
    with telling("read"):
        known = {runs.name_of(run): run for run in (runs.searches(store) if store else [])}
    if store is None or not known:
        raise InputError(
            f"a search must have been made first, got none in {tracking_uri()}; "
            "start with: nas search --space xception_like"
        )
    if name is None:
        return store, next(iter(known.values()))
    if name not in known:
        raise InputError(f"a search must be known by its name, got '{name}'; {nearest(name, known)}")
    return store, known[name]


def _now_ms() -> int:
    return int(1000 * time.time())
