"""The names of searches: where their files are, which of them are in use, and which run each one has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError, nearest
from nas.files import lock_file
from nas.record import mlflow_runs as runs
from nas.record.mlflow_store import Store, connect, create_store, record_errors, shown_uri
from nas.record.spool import Spool
from nas.text import shortened

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

__all__ = [
    "NameInUseError",
    "find_search",
    "in_use",
    "lock_name",
    "new_name",
    "recorded_names",
    "runs_here",
    "spool_folder",
    "waiting_searches",
]


class NameInUseError(InputError):
    """Another search has the name."""


def spool_folder(name: str) -> Path:
    """Return the folder of what MLflow does not have yet of a search; raises InputError for no valid name."""
    if not runs.is_search_name(name):
        raise InputError(f"{runs.NAME_RULE}, got {shortened(name)!r}; choose another --name")
    return Path("mlruns/spool").absolute() / name


@contextmanager
def new_name(name: str) -> Iterator[tuple[Store, BaseFileLock]]:
    """Yield the store, created if needed, and the lock of a new search of this name."""
    lock = lock_name(name, in_use(name), NameInUseError)
    try:
        names_lock = lock_file(Path("mlruns/spool/.lock"))  # between the check of the names and the new run
        try:
            with record_errors("written"):
                store = create_store()
                if name in dict(runs.named_searches(store)):
                    raise NameInUseError(in_use(name))
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


def lock_name(name: str, busy: str, error: type[InputError] = InputError) -> BaseFileLock:
    """Acquire the lock of a search's spool; raises the error with the sentence `busy`."""
    try:
        return lock_file(spool_folder(name) / "lock", busy, error)
    except OSError as problem:
        raise InputError(
            f"the record's folder must be writable, got '{spool_folder(name).parent}': {problem.strerror}; "
            "fix its permissions, or work in another folder"
        ) from None


def find_search(name: str | None) -> tuple[Store, Run]:
    """Find a search's run by name, the latest by default; raises InputError."""
    store = connect()
    with record_errors("read"):
        searches = dict(reversed(runs.named_searches(store))) if store else {}  # the latest of a name
    if store is None or not searches:
        raise InputError(
            f"there is no search in {shown_uri()} yet; start one with: nas search --space xception_like"
        )
    if name is None:
        return store, next(reversed(searches.values()))
    if name not in searches:
        raise InputError(f"unknown search '{shortened(name)}'; {nearest(name, searches)}")
    return store, searches[name]


def recorded_names() -> list[str]:
    """Return the names of all searches in the record, the latest first; raises RecordError."""
    store = connect()
    with record_errors("read"):
        return list(dict(runs.named_searches(store))) if store else []


def waiting_searches() -> dict[str, int]:
    """Return the number of trials that wait in each spool of this folder in which anything waits, by name.

    A spool whose search is running is left out.
    """
    waiting = {}
    for folder in sorted(Path("mlruns/spool").glob("*/")):
        spool = Spool(folder)
        if not runs.is_search_name(folder.name) or spool.is_empty():
            continue
        if not runs_here(folder.name):
            waiting[folder.name] = spool.waiting()
    return waiting


def runs_here(name: str) -> bool:
    """Return whether a process in this folder writes the record of a search."""
    path = spool_folder(name) / "lock"
    if not path.exists():
        return False
    try:
        lock_file(path, "it runs").release()
    except InputError:
        return True
    return False
