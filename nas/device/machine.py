"""This machine: the name of its processor, and the lock under which latencies are measured."""

from __future__ import annotations

import contextlib
import getpass
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nas.files import lock_file

__all__ = ["measurement_lock", "processor_name"]


def processor_name() -> str:
    """Return the name of the processor, as its maker writes it if the system knows it."""
    with contextlib.suppress(OSError):  # only Linux has the file
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def measurement_lock() -> Iterator[None]:
    """Hold the user's lock for measurements on this machine; wait while another process or thread holds it.

    The system releases the lock when its holder dies, whatever the cause.
    """
    path = Path(tempfile.gettempdir()) / f"nas-{getpass.getuser()}-latency.lock"
    lock = lock_file(path)
    try:
        yield
    finally:
        lock.release()
