"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["NameArgument", "TrialArguments"]

NameArgument = Annotated[
    str | None, typer.Argument(help="A search.  [default: the latest]", show_default=False)
]

TrialArguments = Annotated[
    list[str],
    typer.Argument(metavar="[NAME] TRIAL", help="A search, the latest by default, and a trial's number."),
]
