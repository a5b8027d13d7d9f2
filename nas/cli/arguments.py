"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["NameArgument"]

NameArgument = Annotated[
    str | None, typer.Argument(help="A search.  [default: the latest]", show_default=False)
]
