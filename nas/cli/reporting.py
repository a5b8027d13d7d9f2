"""`nas ui` and `nas report`: the pages of searches."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.arguments import NameArgument

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=ui.__doc__)(ui)
    app.command(help=report.__doc__)(report)


def ui(
    name: NameArgument = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port to serve on; the next free one if it is in use.")
    ] = 5000,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Open the report of a search in a browser: answers, Pareto front, networks. MLflow is one link away.

    While a search runs, its page updates itself. MLflow's server runs on the next port. Ctrl-C stops both.

    Examples:

        nas ui

        nas ui photos --port 8000 --no-browser
    """
    from nas.cli.terminal import errors
    from nas.record import SearchRecord
    from nas.service import free_port, serve_pages

    shown = SearchRecord.open(name).name
    chosen = free_port(port)
    if chosen != port:
        errors.print(f"Port {port} is in use; the next free one is {chosen}.")
    address = f"http://127.0.0.1:{chosen}"
    errors.print(f"{address}  (search {shown}; stop with Ctrl-C)", soft_wrap=True)
    if not no_browser and _has_browser():
        webbrowser.open(address)
    serve_pages(name, chosen, lambda line: errors.print(line, soft_wrap=True))


def _has_browser() -> bool:
    """Return whether a browser with windows can be opened by the user in front of this terminal."""
    has_windows = sys.platform != "linux" or any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stderr.isatty() and has_windows


def report(
    name: NameArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write.  [default: NAME.html]", show_default=False)
    ] = None,
) -> None:
    """Write the report of a search as one HTML page that needs no network.

    It has the networks that a user looks for, the Pareto front with a card for each network, all networks as
    a table, and what the search shows about its space. `report.html` on the search's run in MLflow is the
    same page.

    Examples:

        nas report photos

        nas report photos --out photos.html
    """
    from nas.cli.terminal import errors, output
    from nas.searching import RecordedReport

    found = RecordedReport(name)
    path = out or Path(f"{found.name}.html")
    for notice in found.write(path):
        errors.print(notice, soft_wrap=True)
    output.print(f"{path}  ({path.stat().st_size / 1e6:.2f} MB)", soft_wrap=True)
