"""Files that are complete or absent, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError, RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["TEMPORARY_PREFIX", "lock_file", "output_file", "replace_file"]

TEMPORARY_PREFIX = ".unfinished-"
"""Start of the name of a file that is being written; a killed process may leave one behind."""


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, with its suffix, and rename it to `path` at the end.

    The file at `path` is therefore complete or absent, whenever the process is killed. Creates the folder if
    needed. Removes the temporary file after an error. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the first error is raised
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Write a file that the user asked for, like `replace_file`.

    Raises InputError if the folder is not writable, RunError if the disk is full.
    """
    try:
        with replace_file(path) as temporary:
            yield temporary
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"'{path}' could not be written because the disk is full; free space or use another folder"
            ) from None
        reason = error.strerror or str(error)
        raise InputError(
            f"the output folder must be writable, got '{path.parent}': {reason}; use another folder"
        ) from None


def lock_file(path: Path, busy: str = "") -> BaseFileLock:
    """Acquire the lock of a file; `release` it later. The system releases it when the process dies.

    busy: the message of the InputError that is raised if another process or thread holds the lock; '' waits
    for the lock instead. Raises OSError if the file cannot be created.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, blocking=not busy, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(busy) from None
    return lock
