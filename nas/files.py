"""Files that are either there in full or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nas.errors import InputError, RunError

__all__ = ["atomic_path", "lock_file"]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, with its suffix, and rename it to `path` at the end.

    Raises InputError where the folder is not writable, RunError where the disk is full.
    """
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"'{path}' could not be written: the disk is full; make room or name another folder"
            ) from None
        reason = error.strerror or str(error)
        raise InputError(
            f"the output must be writable, got '{path.parent}': {reason}; name another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # what went wrong with it has been said
            unfinished.unlink(missing_ok=True)


def lock_file(path: Path, busy: str, wait: bool = False) -> IO[str]:
    """Take a lock that ends with the process or with the file's closing; raises InputError(busy)."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(busy) from None
    return file
