"""Find out what a folder or a file holds, and read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nas.data.arrays import read_npz
from nas.data.folder_listing import TABLE_NAMES, is_ignored
from nas.data.image_archive import tree_from_zip
from nas.data.image_folders import read_folder, read_zip
from nas.data.image_tree import ImageTree, tree_from_folder
from nas.data.label_table import read_table_file, read_table_of, table_names_files
from nas.data.labelled_images import read_named_images
from nas.data.options import DataOptions
from nas.data.parquet import read_parquet
from nas.data.shards import find_shards
from nas.data.source import Source
from nas.data.text import one_line
from nas.data.tfrecord import TFRECORD_SUFFIXES, read_tfrecord
from nas.errors import DataError

__all__ = ["read_path"]

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
"""Suffixes of files that hold others, which are not looked for in them."""


def read_path(path: Path, options: DataOptions) -> Source:
    """Read a folder or a file with the function for its kind; raises DataError if there is none."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, options)
    if not path.is_file():  # reading a pipe or a device would not end
        raise DataError(f"a data set must be a regular file or a folder, got {path}; copy it to a file")
    if suffix == ".npz":
        return read_npz(path, options)
    if suffix == ".zip":
        return _read_zip(path, options)
    if suffix in (".csv", ".tsv"):
        return read_table_file(path, path.parent, options)
    if suffix == ".parquet":
        return read_parquet(path, options)
    if any(part.startswith(".tfrecord") for part in path.suffixes):
        return read_tfrecord(path, options)
    raise DataError(
        f"a data set's file must be .npz, .zip, .csv, .tsv, .parquet or .tfrecord, got {path}; save "
        "arrays with numpy.savez"
    )


def _read_folder(path: Path, options: DataOptions) -> Source:
    """Read a folder: with `label_from`, a table of labels, Parquet or TFRecord files, or images in folders.

    A table may also stand beside a folder that holds images only. Raises DataError.
    """
    if options.label_from:
        return read_named_images(tree_from_folder(path), options)
    if not os.access(path, os.R_OK | os.X_OK):
        return read_folder(path, options)  # which says so
    has_folders = any(entry.is_dir() for entry in path.iterdir())
    for name in TABLE_NAMES:
        if (path / name).is_file():
            return _read_table(tree_from_folder(path), name, path, options, read_folder)
        if not has_folders and (path.absolute().parent / name).is_file():
            return read_table_file(path.absolute().parent / name, path, options)
    files = [] if has_folders else [name for name in os.listdir(path) if not is_ignored(name)]
    _refuse_archives(str(path), files)
    if find_shards(path, (".parquet",)):
        return read_parquet(path, options)
    if find_shards(path, TFRECORD_SUFFIXES):
        return read_tfrecord(path, options)
    return read_folder(path, options)


def _read_zip(path: Path, options: DataOptions) -> Source:
    """Read a .zip with the content of a folder of images; raises DataError."""
    tree = tree_from_zip(path)
    if options.label_from:
        return read_named_images(tree, options)
    _refuse_archives(str(path), list(tree.entries))
    for name in tree.entries:
        folder, _, file = name.rpartition("/")
        if file in TABLE_NAMES and "/" not in folder:  # at the top, or in a folder that wraps all
            return _read_table(tree, name, path, options, read_zip)
    return read_zip(path, options)


def _read_table(
    tree: ImageTree,
    table: str,
    path: Path,
    options: DataOptions,
    read_folders: Callable[[Path, DataOptions], Source],
) -> Source:
    """Read a table and its images, or the folders of images beside a table that names no files."""
    is_beside_folders = len(tree.children(table.rpartition("/")[0])) > 1
    if options.label_column or not is_beside_folders or table_names_files(tree, table):
        return read_table_of(tree, table, options)
    source = read_folders(path, options)
    warning = (
        f"{tree.display_path(table)} has no column of files and is not used: labels are read from folders."
    )
    return replace(source, warnings=(*source.warnings, warning))


def _refuse_archives(where: str, files: Sequence[str]) -> None:
    """Raise DataError if there is nothing but archives."""
    if files and all(name.lower().endswith(ARCHIVES) for name in files):
        raise DataError(
            f"a data set must hold files that can be read, got only archives in {one_line(where)}, such as "
            f"{one_line(min(files))}; unpack them, or pass one .zip"
        )
