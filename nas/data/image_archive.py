"""The folders and image files of a data set in a .zip, which is read without being unpacked."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from nas.data.folder_listing import is_ignored
from nas.data.image_tree import Entry, ImageTree
from nas.errors import DataError

__all__ = ["tree_from_zip"]

METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
MAX_RATIO = 1032  # bytes per compressed byte that Deflate reaches at most
ENCRYPTED = 1  # bit of an entry's flags
UNIX = 3  # system of an entry whose attributes hold its mode


def tree_from_zip(path: Path) -> ImageTree:
    """List a .zip; raises DataError if it cannot be read or has entries that no tool for data sets writes.

    Backslashes in names count as separators. The file stays open as long as the tree exists, because images
    are read when they are chosen.
    """
    if not os.path.isfile(path):
        raise DataError(f"a .zip must be a regular file, got {path}; copy the data to a file")
    try:
        archive = zipfile.ZipFile(path)
        infos = archive.infolist()
    except (OSError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, MemoryError) as error:
        raise DataError(
            f"a .zip must be readable, got {path}, which is not ({error}); write it again"
        ) from error
    entries: dict[str, Entry] = {}
    folders: list[str] = []
    links: list[str] = []
    for info in infos:
        parts = _parts(path, info.filename)
        if not parts or any(map(is_ignored, parts)):
            continue
        name = "/".join(parts)
        if info.filename[-1] in "/\\":
            folders.append(name)
        elif info.create_system == UNIX and stat.S_ISLNK(info.external_attr >> 16):
            links.append(name)
        elif name in entries:
            raise DataError(f"a .zip must hold each name once, got {name!r} twice in {path}; write it again")
        else:
            _check_entry(path, info)
            entries[name] = Entry(info.filename, info.file_size, info.CRC)
    _check_sizes(path, entries)
    has_backslashes = any("\\" in entry.name for entry in entries.values())

    return ImageTree(
        str(path),
        entries,
        archive.open,
        folders,
        notes=["Backslashes in the names of the .zip are read as separators."] if has_backslashes else [],
        warnings=[f"{len(links):,} links in the .zip are left out, for example {links[0]}."] if links else [],
    )


def _parts(path: Path, filename: str) -> Sequence[str]:
    """Return the folders and the name of an entry; raises DataError for a name outside the archive."""
    name = filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in parts:
        raise DataError(
            f"a .zip must hold relative names without '..', got {filename!r} in {path}; write it again from "
            "within the folder of the data set"
        )
    return parts


def _check_entry(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ENCRYPTED:
        raise DataError(
            f"a .zip must not be encrypted, got {info.filename!r} in {path}; write it without a password"
        )
    if info.compress_type not in METHODS:
        raise DataError(
            f"a .zip must be compressed by Deflate, bzip2 or LZMA, got method {info.compress_type} of "
            f"{info.filename!r} in {path}; write it with Deflate"
        )


def _check_sizes(path: Path, entries: dict[str, Entry]) -> None:
    """Raise DataError if the entries claim more than a file of this size can hold.

    Entries that share their compressed bytes (a zip bomb) claim more. An entry never yields more than it
    claims, because zipfile stops there.
    """
    claimed, size = sum(entry.size for entry in entries.values()), os.path.getsize(path)
    if claimed > MAX_RATIO * size:
        raise DataError(
            f"a .zip must not hold more than {MAX_RATIO:,} times its size, got {claimed:,} bytes in "
            f"{size:,} bytes of {path}; write it again with Deflate"
        )
