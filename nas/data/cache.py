"""The user's cache of decoded data sets: one folder for each content and options."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.data.folder_listing import TABLE_NAMES, list_folder
from nas.data.options import DataOptions
from nas.errors import InputError, RunError
from nas.files import TEMPORARY_PREFIX, lock_file

__all__ = [
    "Cleaned",
    "cache_folder",
    "clean_cache",
    "content_key",
    "locked_entry",
    "new_entry",
    "refuse_cache_within",
]

FORMAT = 2  # of what is stored; another one makes all entries obsolete
SINGLE_FILES = frozenset({".npz", ".zip"})
"""Suffixes of files that hold all of the data; the content of others may be in files beside them."""


def cache_folder() -> Path:
    """Return $NAS_CACHE, or `nas` in $XDG_CACHE_HOME, by default ~/.cache."""
    if folder := os.environ.get("NAS_CACHE"):
        return Path(folder).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "nas"


def refuse_cache_within(path: Path) -> None:
    """Raise InputError if the cache is among the files of a data set, which it would change.

    Hidden folders are no part of a data set.
    """
    if path.suffix.lower() in SINGLE_FILES and not path.is_dir():
        return
    root = os.path.realpath(path if path.is_dir() else path.absolute().parent)
    parts = Path(os.path.relpath(os.path.realpath(cache_folder()), root)).parts
    if not any(part.startswith(".") for part in parts):
        raise InputError(
            f"the cache folder must be outside the data, got {cache_folder()} in {root}; set NAS_CACHE to "
            "another one"
        )


def content_key(path: Path | None, name: str, options: DataOptions) -> str:
    """Return the key of the content of a path under some options, 32 hexadecimal digits.

    path: a file or folder; None for a data set that is known by `name`. Files are not read: their names,
    sizes and times of change tell whether they are the same.
    """
    fields = {field: getattr(options, field) for field in DataOptions.model_fields}
    digest = hashlib.sha256(json.dumps([FORMAT, name, fields], sort_keys=True).encode())
    if path is not None:
        for file, status in sorted(_files_of(path), key=lambda item: item[0]):
            line = f"{file}\0"
            if status is not None:  # st_ctime too: archives restore st_mtime
                line += f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _files_of(path: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield the files that may belong to a data set, and folders without a status."""
    if not path.is_dir() and (path.suffix.lower() in SINGLE_FILES or not path.is_file()):
        yield path.name, path.stat()
        return
    found = list_folder(path if path.is_dir() else path.absolute().parent)
    yield from found.files.items()
    yield from ((f"{folder}/", None) for folder in found.folders)
    if path.is_dir():
        for table in (path.absolute().parent / name for name in TABLE_NAMES):
            if table.is_file():
                yield f"../{table.name}", table.stat()


@contextlib.contextmanager
def locked_entry(key: str) -> Iterator[Path]:
    """Yield the folder for a key, which may not exist, while no other process writes or removes it.

    Raises InputError if the cache cannot be written.
    """
    root = cache_folder()
    try:
        # locks have a folder of their own, which is never emptied: others may wait for them
        lock = lock_file(root / "locks" / key)
    except OSError as error:
        raise InputError(
            f"the cache folder must be writable, got {root}: {error.strerror}; set NAS_CACHE to another one"
        ) from None
    try:
        yield root / "data" / key
    finally:
        lock.release()


@contextlib.contextmanager
def new_entry(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the locked entry `folder` if no error occurs.

    Raises RunError if the disk is full or refuses.
    """
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)  # a damaged entry
        temporary.rename(folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise RunError(
            f"the decoded data must be stored in the cache {cache_folder()}, got "
            f"'{'the disk is full' if full else error.strerror or error}'; free some space, empty the cache "
            "with `nas data clean`, or set NAS_CACHE to a folder on another disk"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class Cleaned:
    """What was removed from the cache."""

    folder: Path
    data_sets: int
    freed_bytes: int
    busy: int  # entries that another process writes, which are kept


def clean_cache() -> Cleaned:
    """Remove all data sets from the cache, except those that are being written.

    Searches that run keep their own links to the arrays; only other files count as freed.
    """
    root = cache_folder()
    entries = sorted((root / "data").iterdir()) if (root / "data").is_dir() else []
    removed = freed = busy = 0
    for entry in entries:
        try:
            lock = lock_file(root / "locks" / entry.name.removeprefix(TEMPORARY_PREFIX), busy="busy")
        except InputError:
            busy += 1
            continue
        try:
            files = [file.stat() for file in entry.iterdir()]
            shutil.rmtree(entry)
            freed += sum(file.st_size for file in files if file.st_nlink == 1)
            removed += 1
        finally:
            lock.release()
    return Cleaned(root, removed, freed, busy)
