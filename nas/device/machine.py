"""This machine as a place of measurements: its processor's name, and one measurement at a time."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["measurement_lock", "processor_name"]


def processor_name() -> str:
    """Give the processor's name, as its maker writes it where the system tells."""
    with contextlib.suppress(OSError):  # only Linux has the file
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def measurement_lock() -> Iterator[None]:
    """Hold the user's lock on measurements on this machine; waits for whoever holds it.

    The system gives the lock back when its holder dies, however it dies.
    """
    import fcntl

    path = Path(tempfile.gettempdir()) / f"nas-{getpass.getuser()}-latency.lock"
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
