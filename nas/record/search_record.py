"""The record of a search in MLflow: trials are written and read back exactly; a resumed search replays them.

A search is a run. Each trial is a child run that ends only when everything of it is written, so a run that
has not ended was left by a killed process. Everything is written to `mlruns/spool/NAME/` first and delivered
to MLflow by a thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.errors import RecordError
from nas.record import mlflow_runs as runs
from nas.record.damage import Damage, damage_notices, list_damage
from nas.record.data_source import DataSource, dataset_input
from nas.record.delivery import Delivery, merge_trials
from nas.record.descriptions import DESCRIPTION_FILE, list_searches
from nas.record.lease import Holder, Lease, read_holder
from nas.record.mlflow_search import MlflowSearch
from nas.record.mlflow_store import (
    RUN_STATUS,
    RunState,
    Store,
    connect,
    create_store,
    record_errors,
    run_url,
    shown_uri,
)
from nas.record.names import NameInUseError, find_search, in_use, lock_name, new_name, runs_here, spool_folder
from nas.record.spool import Entry, Point, Spool
from nas.trials import Trial

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

__all__ = ["SearchRecord"]


class SearchRecord:
    """The record of one search.

    `create` and `resume` return a record that only this process writes, on whatever machine another one runs,
    until `finish` or `close`. `open` returns a record to read, also while another process writes it.
    Thread-safe.
    """

    def __init__(self, store: Store, name: str, run: Run, right: _RightToWrite | None = None) -> None:
        self.name = name
        self.run_id: str = run.info.run_id
        self.config: dict[str, Any] = runs.config_from_run(run)
        self.damage: list[Damage] = []  # what could not be read, known after `trials`
        self._store = store
        self._run = run
        self._spool = Spool(spool_folder(name))
        self._search = MlflowSearch(store, name, run, runs.first_quality(self.config))
        self._right = right
        self._delivery = Delivery(self._search, self._spool, right.lease) if right else None
        self._replayed: list[Trial] | None = None

    @classmethod
    def create(cls, name: str, config: Mapping[str, Any], data: DataSource | None = None) -> SearchRecord:
        """Create the record of a search.

        config: plain JSON data from which the search can be resumed.

        Raises InputError if the name is in use or `mlruns` cannot be written, RecordError if the store cannot
        be reached.
        """
        with new_name(name) as (store, lock):
            run = runs.create_search_run(store, name, config)
            if data is not None:
                store.client.log_inputs(run.info.run_id, [dataset_input(data)])
            if run.info.run_id != runs.first_run_of(store, name):  # another machine was faster
                store.client.delete_run(run.info.run_id)
                raise NameInUseError(in_use(name))
            list_searches(store)
            record = cls(store, name, run, _RightToWrite(lock, Lease.acquire(store, run.info.run_id, name)))
            record._to_write.start()
            return record

    @staticmethod
    def check(name: str) -> None:
        """Raise what `create` would raise, before long work."""
        with new_name(name) as (_, lock):
            Spool(spool_folder(name)).close()
            lock.release()

    @classmethod
    def open(cls, name: str | None = None) -> SearchRecord:
        """Open the record of a search, the latest by default, to read it.

        Raises InputError if there is none of that name, RecordError if the store cannot be read.
        """
        store, run = find_search(name)
        return cls(store, runs.search_name(run), run)

    @classmethod
    def resume(
        cls,
        name: str | None = None,
        notify: Callable[[str], None] = lambda _: None,
        *,
        is_search: bool = True,
    ) -> SearchRecord:
        """Open the record of a search, the latest by default, to write it: to resume the search.

        notify: receives sentences for the user while this waits, and about trials that wait elsewhere.
        is_search: False: something is added to the record while the search stays ended; `close` follows.

        Marks runs that a killed process left incomplete, and delivers what waits. Raises InputError if there
        is none of that name or another process writes it, RecordError.
        """
        store, run = find_search(name)
        record = cls._open_to_write(store, run, notify)
        try:
            if is_search:
                with record_errors("written"):
                    store.client.update_run(record.run_id, status="RUNNING")
                    list_searches(store)
            record._to_write.start()
        except BaseException:
            record.close()
            raise
        return record

    @classmethod
    def deliver(cls, name: str, notify: Callable[[str], None] = lambda _: None) -> int:
        """Deliver what waits in the spool of a search of this folder; return the number of results.

        Raises InputError if another process writes the record, RecordError if MLflow cannot be written.
        """
        header = Spool(spool_folder(name)).header()
        if header is None:
            store, run = find_search(name)
        elif (found := connect()) is None:
            raise RecordError(
                f"there is no record in {shown_uri()}; set MLFLOW_TRACKING_URI to that of '{name}'"
            )
        else:
            store = found
            with record_errors("read"):
                run = store.client.get_run(header.run_id)
        if runs.search_name(run) != name:
            raise RecordError(
                f"what waits in '{spool_folder(name)}' belongs to another record than {shown_uri()}; set "
                "MLFLOW_TRACKING_URI to the one that it was started with"
            )
        record = cls._open_to_write(store, run, notify)
        waiting = record.undelivered
        try:
            # Another machine may have ended the search since.
            record._to_write.end(record.state or (header and header.state) or "interrupted")
            if record.delivery_problem:
                raise RecordError(record.delivery_problem)
        finally:
            record.close()
        return waiting

    @classmethod
    def _open_to_write(cls, store: Store, run: Run, notify: Callable[[str], None]) -> SearchRecord:
        """Return a record that this process may write, with its trials; nothing is delivered yet."""
        name = runs.search_name(run)
        create_store()
        busy = f"a search runs in one process, but another one runs '{name}'; wait until it ends"
        lock = lock_name(name, busy)
        try:
            with record_errors("written"):
                lease = Lease.acquire(store, run.info.run_id, name, notify)
            record = cls(store, name, run, _RightToWrite(lock, lease))
            with record_errors("read"):
                record._replayed = record._to_write.load()
        except BaseException:
            Spool(spool_folder(name)).close()
            lock.release()
            raise
        record.damage = list_damage(record._search, record._spool)
        return record

    @property
    def _to_write(self) -> Delivery:
        if self._delivery is None:
            raise ValueError(f"the record of '{self.name}' was opened to read it")
        return self._delivery

    def amend(self, config: Mapping[str, Any]) -> None:
        """Replace the config from which the search can be resumed; raises RecordError."""
        with record_errors("written"):
            runs.replace_config(self._store, self.run_id, config)
            self.config = dict(config)

    @property
    def undelivered(self) -> int:
        """Number of results of trials that wait in the spool to be delivered to MLflow."""
        return self._spool.waiting()

    @property
    def delivery_problem(self) -> str:
        """Why the last delivery to MLflow failed, '' if it succeeded."""
        return self._to_write.problem

    def raise_if_lost(self) -> None:
        """Raise RecordError if another process has taken over the record."""
        self._to_write.check()

    def link(self, run_id: str, server: str = "") -> str:
        """Return the address of a run's page on MLflow's server; '' if none is known, see `run_url`."""
        return run_url(run_id, self._store.experiment_id, server)

    def trial_link(self, trial: Trial, server: str = "") -> str:
        """Return the address of a trial's page; '' if MLflow does not have it or no server is known."""
        run_id = self.trial_run(trial)
        return self.link(run_id, server) if run_id else ""

    def trial_run(self, trial: Trial) -> str:
        """Return the id of a trial's run, '' if MLflow does not have it yet."""
        return self._search.trial_run(trial.number) or trial.run_id

    def log(self, trial: Trial, files: Mapping[str, Path] | None = None) -> None:
        """Write a trial that has ended, or that was trained further since.

        When this returns, the trial and its files survive the process and a failure of power. They are
        delivered to MLflow later. Raises StorageError if `mlruns` cannot be written.
        """
        self._to_write.write_trial(Entry(trial, files or {}, _now_ms()))

    def log_over_limit(self, trials: Sequence[Trial]) -> None:
        """Write trials that were never trained, as rows of a table on the search's run.

        Raises StorageError.
        """
        self._to_write.write_over_limit(trials)

    def mark_front(self, numbers: Iterable[int], hypervolume: float, step: int) -> None:
        """Record which trials are on the front now, and the hypervolume after `step` trials."""
        self._to_write.write_front(numbers, Point("hypervolume", float(hypervolume), step, _now_ms()))

    def attach(self, texts: Mapping[str, str]) -> None:
        """Put text files on the search's run, each in place of an earlier one of its name.

        Raises StorageError.
        """
        self._to_write.write_files(texts)

    def describe(self, text: str) -> None:
        """Set the Markdown that MLflow shows below the link to the report; raises StorageError."""
        self.attach({DESCRIPTION_FILE: text})

    def text(self, name: str) -> str:
        """Return the content of a text file on the search's run, '' if there is none; raises RecordError."""
        for path in self._spool.attached():
            if path.name == name:
                with contextlib.suppress(FileNotFoundError):  # delivered at this moment
                    return path.read_text(encoding="utf-8")
        with record_errors("read"):
            return self._search.text(name)

    def flush(self) -> bool:
        """Deliver everything that waits; return whether that succeeded (see `delivery_problem`)."""
        return self._to_write.flush()

    def trials(self) -> list[Trial]:
        """Return all trials as they were written, by number; raises RecordError.

        `notices` lists what is damaged and left out.
        """
        trials, self._replayed = self._replayed, None
        if trials is None:
            with record_errors("read"):
                spool = Spool(self._spool.folder)
                search = MlflowSearch(self._store, self.name, self._run, None)  # only to read
                entries, (journaled, _) = spool.entries(), spool.read_journal()  # before what may follow them
                merged = merge_trials(search.read(set_aside=False), journaled, entries, lambda *_: None)
                trials = [merged[number] for number in sorted(merged)]
            self.damage = list_damage(search, spool)
        return trials

    @property
    def notices(self) -> list[str]:
        """Sentences for the user about what is damaged and was left out when the trials were read."""
        return damage_notices(self.name, self.damage)

    def file(self, trial: Trial, name: str = "checkpoint.npz") -> Path:
        """Return the path of a file of a trial, downloaded if needed; raises RecordError."""
        for entry in reversed(self._spool.entries()):
            if entry.trial.number == trial.number and name in entry.files:
                return entry.files[name]
        with record_errors("read"):
            return self._search.file(trial, name)

    def file_bytes(self, trial: Trial) -> int:
        """Return the size of a trial's files in MLflow, 0 if it has none; raises RecordError."""
        with record_errors("read"):
            return self._search.file_bytes(trial)

    def drop_files(self, trials: Iterable[Trial]) -> None:
        """Delete the files of trials, their weights, with the next delivery."""
        self._to_write.drop_files(trial.number for trial in trials)

    def holder(self) -> Holder | None:
        """Return the process that has, or had last, the right to write; raises RecordError."""
        with record_errors("read"):
            return read_holder(self._store, self.run_id)

    def is_written(self) -> bool:
        """Return whether another process writes the record now; raises RecordError."""
        if runs_here(self.name):
            return True
        holder = self.holder()
        return holder is not None and not holder.released and holder.lives() is not False

    @property
    def state(self) -> RunState | None:
        """How the search has ended, None if it has not."""
        states = {status: state for state, status in RUN_STATUS.items()}
        return states.get(str(self._run.info.status))

    def finish(self, state: RunState) -> None:
        """Deliver what can be delivered, end the search's run, and let other processes write."""
        try:
            self._to_write.end(state)
        finally:
            self.close()

    def close(self) -> None:
        """Let other processes write the record; what waits stays in the spool."""
        if self._right is not None:
            self._to_write.close()
            self._spool.close()
            self._right.lock.release()
            self._right = None


class _RightToWrite(NamedTuple):
    """What a process needs to write a record: the lock of its spool, and the lease of the run."""

    lock: BaseFileLock
    lease: Lease


def _now_ms() -> int:
    return int(1000 * time.time())
