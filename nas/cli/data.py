"""`nas data`: what is understood of a data set, before any search, and the cache of decoded data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from nas.cli.data_options import with_data_options

__all__ = ["add_to"]

HELP = """Read a data set and print what was understood: task, classes, sizes, values, and every doubt.

Draws training examples with their labels, or masks over images, to a PNG. The exit code is 2 if the data
cannot be used.

Data sets that were decoded are kept in a cache, the folder $NAS_CACHE, by default ~/.cache/nas.
`nas data clean` empties it; running searches keep their data.

Examples:

    nas data photos/
    nas data photos.zip --image-size 64 --sheet photos.png
    nas data photos/ --json
    nas data clean
"""

CLEAN = "clean"
"""In place of a data set: empty the cache. ./clean is a folder of that name."""


def data(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="A name, folder or file, as for `nas search`; or clean.")
    ],
    data_options: Mapping[str, Any] = MappingProxyType({}),
    sheet: Annotated[
        Path | None,
        typer.Option(help="The PNG of examples to write.  [default: NAME-examples.png; none with --json]"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Describe a data set."""
    from nas.cli.terminal import errors, output, print_json
    from nas.data import DataOptions, load_dataset
    from nas.files import output_file
    from nas.report import data_lines, describe_data, draw_contact_sheet

    if source == CLEAN:
        _clean(json)
        return
    dataset = load_dataset(
        source, DataOptions.parse(data_options), lambda line: errors.print(line, soft_wrap=True)
    )
    if json:
        print_json(describe_data(dataset))
    else:
        for line in data_lines(dataset):
            output.print(line, soft_wrap=True)
    if sheet is None and not json:
        sheet = Path(f"{dataset.name}-examples.png")
    if sheet is not None:
        with output_file(sheet) as unfinished:
            unfinished.write_bytes(draw_contact_sheet(dataset))
        errors.print(f"wrote {sheet}")


def _clean(json: bool) -> None:
    from nas.cli.terminal import output, print_json
    from nas.data import clean_cache

    cleaned = clean_cache()
    if json:
        print_json({**vars(cleaned), "folder": str(cleaned.folder)})
        return
    kept = f"; {cleaned.busy} that are being written are kept" if cleaned.busy else ""
    output.print(
        f"Removed {cleaned.data_sets} data sets from {cleaned.folder} and freed "
        f"{cleaned.freed_bytes / 1e6:,.1f} MB{kept}.",
        soft_wrap=True,
    )


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=HELP)(with_data_options(data))
