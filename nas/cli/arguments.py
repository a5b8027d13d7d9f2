"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["NameArgument", "TrialArguments", "panel_option"]

NameArgument = Annotated[
    str | None, typer.Argument(help="A search.  [default: the latest]", show_default=False)
]

TrialArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME:TRIAL|[NAME] TRIAL", help="A search, the latest by default, and a trial's number."
    ),
]


def panel_option(panel: str, text: str, **settings: Any) -> Any:
    """Return an option that is listed in a panel of the help."""
    return typer.Option(help=text, rich_help_panel=panel, show_default=True, **settings)
