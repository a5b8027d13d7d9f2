"""The folder of an export: which network it holds, and how files come into it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nas.backends import PRECISIONS, integer_scales
from nas.errors import InputError
from nas.export.card import CARD, read_origin
from nas.export.formats import FORMATS, ExportOptions, litert_file, remove_files
from nas.files import TEMPORARY_PREFIX, output_file

__all__ = ["complete_options", "export_folder"]

OTHERS = (
    CARD, "predict.py", "classes.csv", "confusion.csv", "numbers.csv", "predictions.csv",
    "predictions.png",
)  # fmt: skip
"""Names of the files beside those of the formats."""


@contextlib.contextmanager
def export_folder(folder: Path, origin: str, force: bool) -> Iterator[Path]:
    """Yield an empty folder, and move what is in it to `folder` at the end; after an error nothing is moved.

    origin: the name of the network, such as photos:12, and a hash of its weights, which the card states. What
    an export of the same network with other weights wrote, because it was trained on since, is removed: it
    would pass for the new files. So is, with `force`, an export of another network; other files stay. Raises
    InputError for a folder that can't be written, and without `force` for one that holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"an export needs a folder, got the file '{folder}'; use another --out")
    held = read_origin(folder)
    if not force and held.rpartition(" ")[0] != origin.rpartition(" ")[0] and _content(folder):
        what = (
            f"the export of {held.rpartition(' ')[0]}" if held else f"other files ('{_content(folder)[0]}')"
        )
        raise InputError(
            f"an export must have its own folder, got '{folder}', which holds {what}; "
            "use another --out, or --force to replace its files"
        )
    existed = folder.is_dir()
    unfinished = folder / f"{TEMPORARY_PREFIX}{os.getpid()}"
    with output_file(unfinished / "writable") as probe:  # raises the errors of a folder that can't be written
        probe.touch()
    (unfinished / "writable").unlink()
    try:
        yield unfinished
        if held != origin:
            remove_files(folder)
            for name in OTHERS:
                (folder / name).unlink(missing_ok=True)
        for path in unfinished.iterdir():
            if (folder / path.name).is_dir():
                shutil.rmtree(folder / path.name)
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _content(folder: Path) -> list[str]:
    """Return the names in a folder, without what a killed export left."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(TEMPORARY_PREFIX))


def complete_options(options: ExportOptions, folder: Path, origin: str) -> ExportOptions:
    """Add the formats and precisions that an export of the same weights wrote to the folder before.

    Its card and its `predict.py` then describe all of them.
    """
    if read_origin(folder) != origin:
        return options
    formats = [name for name, file in FORMATS.items() if (folder / file).exists() and name != "litert"]
    present = [one for one in PRECISIONS if (folder / litert_file(one)).exists()]
    asked = options.precisions if "litert" in options.formats else ()
    integer_io = options.integer_io
    if "int8" in present and "int8" not in asked:
        integer_io = bool(integer_scales((folder / litert_file("int8")).read_bytes()))
    return replace(
        options,
        formats=tuple(dict.fromkeys([*options.formats, *formats, *["litert"] * bool(present)])),
        precisions=tuple(dict.fromkeys([*asked, *present])) or ("float32",),
        integer_io=integer_io,
    )
