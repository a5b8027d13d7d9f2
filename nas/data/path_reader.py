"""Find out what a folder or a file holds, and read it."""

from __future__ import annotations

import os
from pathlib import Path

from nas.data.arrays import read_npz
from nas.data.image_archive import tree_from_zip
from nas.data.image_folders import read_folder, read_zip
from nas.data.image_tree import TABLE_NAMES, tree_from_folder
from nas.data.label_table import read_table_file, read_table_of
from nas.data.labelled_images import read_named_images
from nas.data.options import DataOptions
from nas.data.parquet import read_parquet
from nas.data.shards import find_shards
from nas.data.source import Source
from nas.data.tfrecord import TFRECORD_SUFFIXES, read_tfrecord
from nas.errors import DataError

__all__ = ["read_path"]


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
            return read_table_file(path / name, path, options)
        if not has_folders and (path.absolute().parent / name).is_file():
            return read_table_file(path.absolute().parent / name, path, options)
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
    for name in tree.entries:
        folder, _, file = name.rpartition("/")
        if file in TABLE_NAMES and "/" not in folder:  # at the top, or in a folder that wraps all
            return read_table_of(tree, name, options)
    return read_zip(path, options)
