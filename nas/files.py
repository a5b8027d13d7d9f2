"""Files that are complete or absent, temporary folders, and locks between processes."""

from __future__ import annotations

import atexit
import contextlib
import errno
import getpass
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nas.errors import InputError, RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = [
    "DISK_FULL",
    "TEMPORARY_PREFIX",
    "file_problem",
    "lock_file",
    "output_file",
    "process_space",
    "replace_file",
    "temporary_folder",
]

TEMPORARY_PREFIX = ".unfinished-"
"""Start of the name of a file that is being written; a killed process may leave one behind."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the system's errors for a full disk and an exceeded quota."""


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

    Raises InputError if the path names no file or the folder is not writable, RunError if the disk is full.
    """
    if not path.name:
        raise InputError(f"an output file must have a name, got '{path}'; add a file's name to it")
    if path.is_dir():
        raise InputError(f"an output file must be a file, got the folder '{path}'; add a file's name to it")
    try:
        with replace_file(path) as temporary:
            yield temporary
    except OSError as error:
        if error.errno in DISK_FULL:
            raise RunError(
                f"'{path}' could not be written because the disk is full; free space or use another folder"
            ) from None
        reason = error.strerror or str(error)
        raise InputError(
            f"the output folder must be writable, got '{path.parent}': {reason}; use another folder"
        ) from None


def file_problem(path: Path, max_bytes: int | None = None) -> str:
    """Return why a path is not a file that can be read whole, '' if it is one.

    A pipe or a device, also behind a link, has no end. max_bytes: the greatest size.
    """
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if max_bytes is not None and status.st_size > max_bytes:
        return f"it has {status.st_size:,} bytes, over the limit of {max_bytes:,}"
    return ""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that exists until the end; what a killed process left is removed by the next one."""
    with tempfile.TemporaryDirectory(dir=_process_folder()) as folder:
        yield Path(folder)


@lru_cache(maxsize=1)
def _process_folder() -> Path:
    """Create the folder of the temporary files of this process, and remove those of processes that died."""
    parent = Path(tempfile.gettempdir()) / f"nas-{getpass.getuser()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    space = process_space()
    for folder in parent.glob(f"{space}-*"):
        process = folder.name.removeprefix(f"{space}-")
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)  # another process may remove it at the same time
    own = parent / f"{space}-{os.getpid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def process_space() -> str:
    """Return what identifies the space of process numbers: containers with one folder have several."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux
        return "0"


def lock_file(path: Path, busy: str = "", error: type[InputError] = InputError) -> BaseFileLock:
    """Acquire the lock of a file; `release` it later. The system releases it when the process dies.

    busy: the message of the error that is raised if another process or thread holds the lock; '' waits for
    the lock instead. Raises OSError if the file cannot be created.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, blocking=not busy, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise error(busy) from None
    return lock
