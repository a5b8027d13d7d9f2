"""The right to write a search's record, which one process on one machine has.

A file lock ends at the machine, and MLflow has no locks. But MLflow never changes a parameter of a run, so
that of two processes only one can create the parameter `session.N`. That process may write until another one
creates `session.N+1`. A tag tells others that the process lives: it is renewed while the search runs.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from nas.errors import InputError, RecordError
from nas.files import process_space
from nas.record.mlflow_store import Store, database_identity

__all__ = ["RENEW_SECONDS", "Holder", "Lease", "LeaseLostError", "read_holder"]

RENEW_SECONDS = 10.0
"""Interval at which the process that writes renews its lease."""

EXPIRY_SECONDS = 60.0
"""Age at which a lease that is not renewed has expired."""

WATCH_SECONDS = 2.5 * RENEW_SECONDS
"""Time for which an expired lease is watched before it is taken: clocks of two machines may differ."""

TAG = "nas.lease"


class LeaseLostError(RecordError):
    """Another process writes the record now."""


@dataclass(frozen=True)
class Holder:
    """The process that has, or had, the right to write."""

    session: int  # counts the processes that had it
    host: str
    machine: str  # identifies the running system, so that its process can be looked up
    process: int
    started: float  # of the process, seconds since 1970
    folder: str  # the working folder
    renewed: float  # seconds since 1970
    waiting: int = 0  # results of trials in its spool
    released: bool = False
    database: str = ""  # see `database_identity`

    @classmethod
    def of_this_process(cls, session: int) -> Holder:
        """Return this process as the holder."""
        process = psutil.Process()
        return cls(
            session,
            platform.node(),
            _machine(),
            process.pid,
            process.create_time(),
            os.getcwd(),
            time.time(),
            database=database_identity(),
        )

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Return the holder that a tag describes, None for any other text."""
        try:
            holder = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        expected = {"session": int, "process": int, "waiting": int, "released": bool}
        expected |= dict.fromkeys(("host", "machine", "folder", "database"), str)
        numbers = isinstance(holder.started, int | float) and isinstance(holder.renewed, int | float)
        types = all(type(getattr(holder, name)) is kind for name, kind in expected.items())
        return holder if numbers and types else None

    def lives(self) -> bool | None:
        """Return whether the process lives and writes; None if it is on another machine."""
        if self.database != database_identity():
            return False  # it writes the database of which this is a copy
        if self.machine != _machine():
            return None
        if Path(self.folder) == Path.cwd():
            return False  # this process has the lock of the spool that they share
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) < 2.0
        except (psutil.Error, ValueError, OverflowError):  # no such process, or no number of one
            return False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Lease:
    """This process's right to write the record of a search."""

    def __init__(self, store: Store, run_id: str, holder: Holder, value: str) -> None:
        self._store, self._run_id = store, run_id
        self._holder, self._value = holder, value
        self._renew_at = 0.0

    @classmethod
    def acquire(
        cls, store: Store, run_id: str, name: str, notify: Callable[[str], None] = lambda _: None
    ) -> Lease:
        """Acquire the lease of a search's run.

        notify: receives sentences for the user, about a wait and about what another machine may keep.

        Raises InputError if another process has the lease. Any error of MLflow passes through.
        """
        session, holder = _read(store, run_id)
        if holder is not None and not holder.released:
            _refuse_if_it_lives(store, run_id, name, holder, notify)
        if holder is not None and (holder.waiting or not holder.released) and not _is_here(holder):
            waiting = {0: "results", 1: "1 result"}.get(holder.waiting, f"{holder.waiting} results")
            notify(
                f"'{name}' was last written by {holder} in {holder.folder}, where {waiting} may wait to be "
                f"delivered; `nas sync {name}` there delivers them."
            )
        own = Holder.of_this_process(session + 1)
        value = f"{own}, {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC, {secrets.token_hex(4)}"
        if not _create(store, run_id, own.session, value):
            raise InputError(
                f"a search is written by one process, but another one took over '{name}' at this moment; "
                "wait until it ends"
            )
        lease = cls(store, run_id, own, value)
        lease.renew()
        return lease

    @property
    def is_due(self) -> bool:
        """Whether the lease must be renewed."""
        return time.monotonic() >= self._renew_at

    def renew(self, waiting: int = 0) -> None:
        """Check that this process still has the lease, and tell others that it lives.

        waiting: number of results in the spool.

        Raises LeaseLostError, or any error of MLflow.
        """
        self._check()
        self._holder = replace(self._holder, renewed=time.time(), waiting=waiting)
        self._write()
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def release(self, waiting: int = 0) -> None:
        """Let other processes write; raises LeaseLostError, or any error of MLflow."""
        self._check()
        self._holder = replace(self._holder, renewed=time.time(), waiting=waiting, released=True)
        self._write()

    def _check(self) -> None:
        session, holder = _read(self._store, self._run_id)
        if session != self._holder.session:
            by = f" by {holder}" if holder is not None and holder.session == session else ""
            raise LeaseLostError(
                f"a search is written by one process, but it was resumed{by} while this one could not reach "
                "the record; this process ends, and what it has not delivered stays in mlruns/spool: "
                "`nas sync` delivers it under new numbers when the other process has ended"
            )

    def _write(self) -> None:
        self._store.client.set_tag(self._run_id, TAG, json.dumps(asdict(self._holder)))


def _create(store: Store, run_id: str, session: int, value: str) -> bool:
    """Create the parameter of a session; return whether this process is the one that created it."""
    from mlflow.exceptions import MlflowException

    key = f"session.{session}"
    try:
        store.client.log_param(run_id, key, value)
    except MlflowException:
        existing = store.client.get_run(run_id).data.params.get(key)
        if existing is None:
            raise
        return bool(existing == value)
    return True


def read_holder(store: Store, run_id: str) -> Holder | None:
    """Return the process that has, or had last, the lease of a search's run."""
    return _read(store, run_id)[1]


def _read(store: Store, run_id: str) -> tuple[int, Holder | None]:
    """Return the number of the latest session, and the holder that the tag describes."""
    data = store.client.get_run(run_id).data
    sessions = [int(found[1]) for key in data.params if (found := re.fullmatch(r"session\.(\d{1,6})", key))]
    return max(sessions, default=0), Holder.parse(data.tags.get(TAG, ""))


def _refuse_if_it_lives(
    store: Store, run_id: str, name: str, holder: Holder, notify: Callable[[str], None]
) -> None:
    """Raise InputError unless the process that has the lease is dead."""
    age = time.time() - holder.renewed
    lives = holder.lives()
    if lives is None and not 0 <= age < EXPIRY_SECONDS:
        notify(f"'{name}' is written by {holder}; watching for {WATCH_SECONDS:.0f} s whether it still does.")
        time.sleep(WATCH_SECONDS)
        _, later = _read(store, run_id)
        lives = later != holder
    if lives is not False:
        fix = "wait until it ends" + ("" if lives else f", or {EXPIRY_SECONDS - age:.0f} s if it died")
        raise InputError(f"a search is written by one process, but {holder} writes '{name}'; {fix}")


def _is_here(holder: Holder) -> bool:
    """Return whether a process shares this process's spool."""
    return holder.machine.split(":")[0] == _machine().split(":")[0] and Path(holder.folder) == Path.cwd()


def _machine() -> str:
    """Return what identifies the running system: its name, its start and its space of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        boot = f"{psutil.boot_time():.0f}"
    return f"{platform.node()}:{boot}:{process_space()}"
