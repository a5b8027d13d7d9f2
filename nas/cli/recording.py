"""`nas sync`, `nas doctor` and `nas clean`: deliver, check, repair and shrink the record of a search."""

from __future__ import annotations

import socket
from typing import Annotated
from urllib.parse import urlsplit

import typer

from nas.cli.arguments import NameArgument
from nas.errors import NasError, RecordError, RunError

__all__ = ["add_to", "deliver_in_passing"]

PROBE_SECONDS = 1.0
"""Time in which a server must accept a connection, so that a command does not wait for an absent one."""


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=sync.__doc__)(sync)
    app.command(help=doctor.__doc__)(doctor)
    app.command(help=clean.__doc__)(clean)


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
    failed: list[NasError] = []
    for each in names:
        try:
            count = SearchRecord.deliver(each, lambda line: errors.print(line, soft_wrap=True))
        except NasError as error:
            if name is not None:
                raise
            failed.append(error)
            errors.print(f"{each}: {error}", soft_wrap=True)
        else:
            output.print(f"{each}: {_results(count)} delivered")
    if failed:
        raise RecordError(f"{len(failed)} of {len(names)} searches could not be delivered; see above")


def doctor(
    name: NameArgument = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
) -> None:
    """Check the record of a search: damaged runs, missing weights and numbers, what waits, what was left.

    With `--repair`, damaged runs are set aside (their state becomes `damaged`), what waits is delivered, and
    files that a killed process left are removed. Exit code 1 if a problem remains.

    Examples:

        nas doctor

        nas doctor photos --repair
    """
    from nas.cli.terminal import output
    from nas.searching import find_problems

    remaining = 0
    for problem in find_problems(name):
        repaired = ""
        if repair and problem.repair is not None:
            problem.repair()
            repaired = " Repaired."
        elif problem.repair is not None:
            repaired = " `--repair` repairs it."
        remaining += not (repair and problem.repair is not None)
        output.print(" ".join(f"{problem.text} {problem.advice}{repaired}".split()), soft_wrap=True)
    if remaining:
        raise RunError("1 problem remains" if remaining == 1 else f"{remaining} problems remain")
    output.print("The record is in order.")


def clean(
    name: NameArgument = None,
    free: Annotated[bool, typer.Option("--free", help="Delete it.")] = False,
) -> None:
    """Show what the record of a search keeps without need, and delete it with `--free`.

    These are the weights of trials that another one, trained as long, dominates beyond noise, and files that
    a killed process left. `nas data clean` empties the cache of data.

    Examples:

        nas clean photos

        nas clean photos --free
    """
    from nas.cli.terminal import number, output
    from nas.searching import find_waste

    found = find_waste(name)
    for waste in found:
        if free:
            waste.free()
        output.print(
            f"{number('size_bytes', waste.size_bytes):>14}  {waste.text}{' deleted' if free else ''}"
        )
    if not found:
        output.print("Nothing is kept without need.")
    elif not free:
        output.print("--free deletes it.")


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
                f"{_results(count)} of '{name}' could not be delivered to MLflow: {error}; `nas sync {name}` "
                "tries again.",
                soft_wrap=True,
            )
        else:
            errors.print(f"{_results(count)} of '{name}' delivered to MLflow.", soft_wrap=True)


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count} results"


def _answers() -> bool:
    """Return whether the record's server accepts a connection; a database needs no server."""
    from nas.record import tracking_uri

    try:
        address = urlsplit(tracking_uri())
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError:  # no valid address
        return False
    if not address.scheme.startswith("http"):
        return True
    try:
        socket.create_connection((address.hostname or "", port), PROBE_SECONDS).close()
    except OSError:
        return False
    return True
