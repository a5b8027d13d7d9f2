"""Images with a table of labels: a CSV with columns of files, of labels, and perhaps of splits."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from nas.data.folder_listing import join_path
from nas.data.folder_names import exact_split
from nas.data.image_tree import ImageTree, tree_from_folder
from nas.data.labelled_images import source_from_images
from nas.data.options import DataOptions
from nas.data.source import Array, Source
from nas.data.text import one_line
from nas.errors import DataError, nearest

__all__ = ["choose_columns", "read_table_file", "read_table_of", "table_names_files"]

FILE_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "path",
    "file_path",
    "filepath",
    "image",
    "image_path",
    "img",
)
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "y")
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
SAMPLE = 1000  # rows by which the column of files is recognized
MAX_BYTES = 1 << 29
WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
UNNAMED = "(unnamed)"  # the first column, as pandas writes its index
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class _Table:
    """The cells of a table by column; the row of a cell counts from 2, after the header."""

    name: str
    columns: dict[str, list[str]]

    def row(self, index: int) -> str:
        return f"row {index + 2} of {self.name}"


def read_table_file(path: Path, images: Path, options: DataOptions) -> Source:
    """Read a table and the images in a folder; raises DataError."""
    content = _read_content(lambda: path.open("rb"), str(path))
    return _read_table(content, str(path), tree_from_folder(images), "", options)


def table_names_files(tree: ImageTree, table: str) -> bool:
    """Whether a table among the files of a tree has a column of files: one named so, or that names images."""
    name = tree.display_path(table)
    columns = _parse(_read_content(lambda: tree.open(table), name), name).columns
    resolve = _resolver(tree, table.rpartition("/")[0])
    return any(
        column.lower() in FILE_COLUMNS or any(map(resolve, cells[:SAMPLE]))
        for column, cells in columns.items()
    )


def read_table_of(tree: ImageTree, table: str, options: DataOptions) -> Source:
    """Read a table among the files of a tree, and the images; raises DataError."""
    content = _read_content(lambda: tree.open(table), tree.display_path(table))
    return _read_table(content, tree.display_path(table), tree, table.rpartition("/")[0], options)


def _read_content(open_table: Callable[[], IO[bytes]], name: str) -> bytes:
    """Return the content of a table; raises DataError if it cannot be read or is too large."""
    try:
        with open_table() as file:
            content = file.read(MAX_BYTES + 1)
    except Exception as error:  # of zlib, lzma, zipfile or the file system
        reason = one_line(str(error)) or type(error).__name__
        raise DataError(
            f"a table must be readable, got {name}, which is not ({reason}); write it again"
        ) from error
    if len(content) > MAX_BYTES:
        raise DataError(f"a table must have at most {MAX_BYTES >> 20} MiB, got {name}; split it")
    return content


def _read_table(content: bytes, name: str, tree: ImageTree, folder: str, options: DataOptions) -> Source:
    """Read a table and the images of a tree; `folder` is the table's place in the tree.

    Files are given by their path from the table's folder, or by their name alone, with or without suffix.
    """
    table = _parse(content, name)
    resolve = _resolver(tree, folder)
    _check_header(table, resolve)
    file_column = _file_column(table, resolve, options)
    images = _resolve_files(table, file_column, resolve, tree)
    split_column = next((column for column in table.columns if column.lower() in SPLIT_COLUMNS), None)
    used = (file_column, *([split_column] if split_column else []))
    others = [column for column in table.columns if column not in (*used, UNNAMED)]
    label_columns = choose_columns(others, options.label_column, name)
    labels = _parse_labels(table, label_columns, options)
    splits = _parse_splits(table, split_column)
    notes = [f"Labels are read from {' and '.join(label_columns)} of {name}, files from {file_column}."]
    unused = [column for column in others if column not in label_columns]
    if unused:
        notes.append(f"Columns that are not used: {', '.join(unused)}.")
    left_out = len(tree.images) - len(images)
    warnings = [f"{left_out:,} images have no row in {name} and are left out."] if left_out else []
    files = {split: [images[i] for i in rows.tolist()] for split, rows in splits.items()}
    return source_from_images(
        tree,
        files,
        {split: labels[rows] for split, rows in splits.items()},
        options,
        columns=label_columns,
        notes=notes,
        warnings=warnings,
    )


def _parse(content: bytes, name: str) -> _Table:
    """Return the columns of a table whose first row is a header; raises DataError."""
    if content.startswith(UTF_16) or b"\0" in content[:2]:
        raise DataError(f"a table must be CSV in UTF-8, got {name} in UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
        header = text.partition("\n")[0]
        delimiter = max(",;\t", key=header.count)
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"a table must be CSV in UTF-8, got {name}, which is not ({error}); save it again"
        ) from error
    names = [one_line(cell.strip()) for cell in rows[0]] if rows else []
    if names and not names[0]:
        names[0] = UNNAMED
    if len(rows) < 2 or len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise DataError(
            "a table must have a header with a name for each column, and rows, got "
            f"{', '.join(names) or 'nothing'} and {max(0, len(rows) - 1)} rows in {name}; write file,label "
            "in its first row"
        )
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(
                f"each row of a table must have {len(names)} cells as its header has, got {len(row)} in row "
                f"{number + 1} of {name}; put quotes around cells with '{delimiter}'"
            )
    cells = zip(*rows[1:], strict=True)
    columns = {
        name: [one_line(cell.strip()) for cell in column] for name, column in zip(names, cells, strict=True)
    }
    return _Table(name, columns)


def _check_header(table: _Table, resolve: Callable[[str], str | None]) -> None:
    """Raise DataError if the first row names an image, which would be lost as a header."""
    if any(column.lower() in FILE_COLUMNS for column in table.columns):
        return
    for column, cells in table.columns.items():
        if resolve(column) and any(
            map(resolve, cells[:SAMPLE])
        ):  # a name such as cat may be that of an image
            raise DataError(
                f"a table must have a header, got the image '{column[:80]}' in row 1 of {table.name}; write "
                "a row such as file,label above it"
            )


def _resolver(tree: ImageTree, folder: str) -> Callable[[str], str | None]:
    """Return the function that finds the image that a cell names; None: there is none, or several."""
    images, root = set(tree.images), PurePosixPath(tree.root.replace("\\", "/")).name
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for image in tree.images:
        path = PurePosixPath(image)
        by_name[path.name].append(image)
        by_name[path.stem].append(image)

    def resolve(cell: str) -> str | None:
        parts = [part for part in cell.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return None
        direct = join_path(folder, *parts)
        if direct in images:
            return direct
        if len(parts) == 1:
            found = by_name.get(parts[0], ())
            return found[0] if len(found) == 1 else None
        if parts[0] == root and (inner := "/".join(parts[1:])) in images:
            return inner
        return None

    return resolve


def _file_column(table: _Table, resolve: Callable[[str], str | None], options: DataOptions) -> str:
    """Return the column that names most images; raises DataError if none does."""
    others = (*options.label_column, UNNAMED)
    candidates = [
        column
        for column in table.columns
        if column not in others and column.lower() not in LABEL_COLUMNS + SPLIT_COLUMNS
    ]
    named = [column for column in candidates if column.lower() in FILE_COLUMNS]
    found = {
        column: len({image for cell in table.columns[column][:SAMPLE] if (image := resolve(cell))})
        for column in named or candidates
    }
    if named:
        return max(named, key=lambda column: found[column])
    best = max(found, key=lambda column: found[column], default="")
    if best and found[best]:
        return best
    if not any(map(resolve, table.columns.get(UNNAMED, ())[:SAMPLE])):
        raise DataError(
            f"a table must have a column of files, got {', '.join(table.columns)} in {table.name}, none of "
            "which names images beside the table; name it file, with paths from the folder of the table"
        )
    return UNNAMED


def _resolve_files(
    table: _Table, column: str, resolve: Callable[[str], str | None], tree: ImageTree
) -> list[str]:
    cells = table.columns[column]
    found = [resolve(cell) for cell in cells]
    images = [image for image in found if image is not None]
    if missing := [i for i, image in enumerate(found) if image is None]:
        fix = "correct the paths, which start at the folder of the table, or remove the rows"
        last = cells[missing[0]].replace("\\", "/").rpartition("/")[2]
        if last != cells[missing[0]] and resolve(last):
            fix = f"write only the last part of each path, as '{last[:80]}', which names an image that exists"
        raise DataError(
            f"every file of a table must exist, got {len(missing):,} of {len(cells):,} that do not, first "
            f"'{cells[missing[0]][:80]}' in {table.row(missing[0])}; {fix}"
        )
    image, count = Counter(images).most_common(1)[0]
    if count > 1:
        first, second = [i for i, other in enumerate(images) if other == image][:2]
        raise DataError(
            f"every file must have one row, got {tree.display_path(image)} in {table.row(first)} and row "
            f"{second + 2}; remove one, and separate several labels of an image by ;"
        )
    return images


def choose_columns(columns: Sequence[str], wanted: Sequence[str], name: str) -> tuple[str, ...]:
    """Return the columns of labels among those that may be; raises DataError if it is not clear which."""
    for column in wanted:
        if column not in columns:
            raise DataError(f"no column of {name} is '{column}'; {nearest(column, columns)}")
    if wanted:
        return tuple(wanted)
    usual = [column for label in LABEL_COLUMNS for column in columns if column.lower() == label]
    if usual or len(columns) == 1:
        return (usual[0] if usual else columns[0],)
    raise DataError(
        f"the column of labels must be named label, got {', '.join(columns) or 'none'} in {name}; pass "
        f"--label-column {columns[0] if columns else 'NAME'}"
    )


def _parse_labels(table: _Table, columns: Sequence[str], options: DataOptions) -> Array:
    """Return labels (n,) or (n, columns): integers, numbers or text; raises DataError."""
    may_be_empty = options.labels == "multi_label" and len(columns) == 1
    for column in columns:
        if "" in table.columns[column] and not may_be_empty:
            index = table.columns[column].index("")
            raise DataError(
                f"every row must have a label, got an empty cell for {column} in {table.row(index)}; fill "
                "it in or remove the row"
            )
    for column in columns if options.labels in ("auto", "numbers") else ():
        _check_commas(table, column)
    parsed = [_parse_column(table.columns[column]) for column in columns]
    if len(parsed) > 1:
        for column, array in zip(columns, parsed, strict=True):
            if array.dtype.kind == "U":
                raise DataError(
                    f"several columns of labels must be 0 and 1, or numbers, got '{array[0]}' for {column} "
                    f"in {table.row(0)}; pass one --label-column"
                )
        return np.stack(parsed, axis=1)
    is_text = options.labels in ("classes", "multi_label")
    return np.array(table.columns[columns[0]]) if is_text else parsed[0]


def _check_commas(table: _Table, column: str) -> None:
    """Raise DataError if the labels may be numbers with a decimal comma, or lists of at most two numbers."""
    cells = table.columns[column]
    index = next((i for i, cell in enumerate(cells) if "," in cell), None)
    if index is not None and all(map(DECIMAL_COMMA.fullmatch, cells)):
        raise DataError(
            f"numbers must have a decimal point, got the comma of '{cells[index]}' for {column} in "
            f"{table.row(index)}; write {cells[index].replace(',', '.')}, or pass --labels multi_label if "
            "commas separate several labels, --labels classes if they are part of names"
        )


def _parse_column(cells: list[str]) -> Array:
    if all(WHOLE.fullmatch(cell) for cell in cells):
        return np.array(cells, np.int64)
    try:
        if not any(re.fullmatch(r"0\d+", cell) for cell in cells):  # 001 is a name
            return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells)
    return np.array(cells)


def _parse_splits(table: _Table, column: str | None) -> dict[str, Array]:
    """Return the indices of the rows of each split; raises DataError for unknown names of splits."""
    count = len(next(iter(table.columns.values())))
    if column is None:
        return {"train": np.arange(count)}
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for index, cell in enumerate(table.columns[column]):
        split = exact_split(cell)
        if split is None:
            raise DataError(
                f"column {column} must hold train, val or test, got '{cell}' in {table.row(index)}; "
                "correct it, or rename the column if it is no split"
            )
        rows[split].append(index)
    if not rows["train"]:
        raise DataError(f"column {column} of {table.name} must name training examples, got none; add some")
    return {split: np.array(some) for split, some in rows.items() if some}
