"""The names of searches: where their files are, which of them are in use, and which run each one has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError, nearest
from nas.files import lock_file
from nas.record import mlflow_runs as runs
from nas.record.mlflow_store import Store, connect, create_store, record_errors, tracking_uri
from nas.record.spool import Spool

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

__all__ = ["find_search", "in_use", "lock_name", "new_name", "spool_folder", "waiting_searches"]


def spool_folder(name: str) -> Path:
    """Return the folder of what MLflow does not have yet of a search."""
    return Path("mlruns/spool").absolute() / name


@contextmanager
def new_name(name: str) -> Iterator[tuple[Store, BaseFileLock]]:
    """Yield the store, created if needed, and the lock of a new search of this name."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII):
        raise InputError(
            "a search's name must consist of at most 100 letters, digits, '.', '_' and '-', "
            f"got '{name}'; choose another --name"
        )
    lock = lock_name(name, in_use(name))
    try:
        names_lock = lock_file(spool_folder(".lock"))  # between the check of the names and the new run
        try:
            with record_errors("written"):
                store = create_store()
                if name in (runs.search_name(run) for run in runs.search_runs(store)):
                    raise InputError(in_use(name))
                yield store, lock
        finally:
            names_lock.release()
    except BaseException:
        Spool(spool_folder(name)).close()
        lock.release()
        raise


def in_use(name: str) -> str:
    """Return the error's sentence for a name that another search has."""
    return (
        f"a search's name must be new, got '{name}', which is in use; resume it with "
        f"--resume {name}, or choose another --name"
    )


def lock_name(name: str, busy: str) -> BaseFileLock:
    """Acquire the lock of a search's spool; raises InputError with the sentence `busy`."""
    try:
        return lock_file(spool_folder(name) / "lock", busy)
    except OSError as error:
        raise InputError(
            f"the record's folder must be writable, got '{spool_folder(name).parent}': {error.strerror}; "
            "fix its permissions, or work in another folder"
        ) from None


def find_search(name: str | None) -> tuple[Store, Run]:
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


def waiting_searches() -> dict[str, int]:
    """Return the number of trials that wait in each spool of this folder in which anything waits, by name.

    A spool whose search is running is left out.
    """
    waiting = {}
    for folder in sorted(Path("mlruns/spool").glob("*/")):
        spool = Spool(folder)
        if spool.is_empty():
            continue
        try:
            lock_file(folder / "lock", "it runs").release()
        except InputError:
            continue
        waiting[folder.name] = spool.waiting()
    return waiting
