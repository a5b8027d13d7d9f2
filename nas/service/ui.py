"""`nas ui`: the pages of searches, and MLflow's own server beside them, until the process is asked to end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

from nas.errors import InputError
from nas.record import mlflow_server_command, tracking_uri
from nas.service.pages import create_pages

__all__ = ["free_port", "serve_pages"]

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

STOP_SECONDS = 5.0
"""Time that MLflow's server has to stop before it is killed."""

PORTS = 50
"""Ports that are tried, from the one that the user gave."""

PR_SET_PDEATHSIG = 1  # of prctl(2)


def free_port(first: int) -> int:
    """Return the first port from `first` on that no process listens on; raises InputError."""
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise InputError(
        f"the pages need a free port, but {first} and those after it are in use; use another --port"
    )


def serve_pages(name: str | None, port: int, show: Callable[[str], None]) -> None:
    """Serve the pages on a port of this machine until SIGINT, SIGTERM or SIGHUP.

    show: receives the address of MLflow's server.

    MLflow's server runs beside them on the next free port, unless the record is on a server already.
    """
    import uvicorn

    uri = tracking_uri()
    with contextlib.ExitStack() as running, contextlib.suppress(KeyboardInterrupt):
        running.enter_context(_stopped_by_signals())
        if uri.startswith("http"):
            address = uri
        else:
            beside = free_port(port + 1)
            address = f"http://127.0.0.1:{beside}"
            running.enter_context(_child(mlflow_server_command(beside)))
            show(f"{address}  (MLflow)")
        settings = uvicorn.Config(create_pages(name, address), "127.0.0.1", port, log_level="warning")
        uvicorn.Server(settings).run()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turn the signals that end a process into KeyboardInterrupt, so that the child is stopped."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, stop) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _child(command: list[str]) -> Iterator[None]:
    """Run a server, which with its own processes is a session that ends as a whole.

    It also ends if this process is killed, where the system can do that (Linux).
    """
    server = subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=_end_with_parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(STOP_SECONDS)
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
