"""`nas sync`: deliver to MLflow what could not be delivered."""

from __future__ import annotations

import socket
from typing import Annotated
from urllib.parse import urlsplit

import typer

from nas.errors import NasError, RecordError

__all__ = ["add_to", "deliver_in_passing"]

PROBE_SECONDS = 1.0
"""Time in which a server must accept a connection, so that a command does not wait for an absent one."""


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=sync.__doc__)(sync)


def sync(
    name: Annotated[
        str | None,
        typer.Argument(help="A search.  [default: all that wait in this folder]", show_default=False),
    ] = None,
) -> None:
    """Deliver to MLflow the trials that wait in mlruns/spool.

    A search keeps its trials there while MLflow does not take them. They get new numbers if the search was
    resumed on another machine meanwhile.

    Examples:

        nas sync

        nas sync photos
    """
    from nas.cli.terminal import errors, output
    from nas.record import SearchRecord, waiting_searches

    names = list(waiting_searches()) if name is None else [name]
    if not names:
        output.print("Nothing waits in mlruns/spool.")
    failed: list[RecordError] = []
    for each in names:
        try:
            count = SearchRecord.deliver(each, lambda line: errors.print(line, soft_wrap=True))
        except RecordError as error:
            failed.append(error)
            errors.print(f"{each}: {error}", soft_wrap=True)
        else:
            output.print(f"{each}: {_trials(count)} delivered")
    if failed:
        raise RecordError(f"{len(failed)} of {len(names)} searches could not be delivered; see above")


def deliver_in_passing() -> None:
    """Try to deliver what waits, after another command; say whether that succeeded."""
    from nas.record import waiting_searches

    waiting = waiting_searches()
    if not waiting:
        return
    from nas.cli.terminal import errors
    from nas.record import SearchRecord

    for name, count in waiting.items():
        try:
            if not _answers():
                raise RecordError("MLflow's server does not answer")
            SearchRecord.deliver(name)
        except NasError as error:
            errors.print(
                f"{_trials(count)} of '{name}' could not be delivered to MLflow: {error}; `nas sync {name}` "
                "tries again.",
                soft_wrap=True,
            )
        else:
            errors.print(f"{_trials(count)} of '{name}' delivered to MLflow.", soft_wrap=True)


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def _answers() -> bool:
    """Return whether the record's server accepts a connection; a database needs no server."""
    from nas.record import tracking_uri

    address = urlsplit(tracking_uri())
    if not address.scheme.startswith("http"):
        return True
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), PROBE_SECONDS).close()
    except OSError:
        return False
    return True
