"""The folders and image files of a data set, from a folder on disk or from a .zip."""

from __future__ import annotations

import os
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nas.errors import DataError

__all__ = ["LOSSLESS_SUFFIXES", "SUFFIXES", "ImageTree", "join_path", "tree_from_folder", "tree_from_zip"]

LOSSLESS_SUFFIXES = frozenset({".bmp", ".gif", ".pgm", ".png", ".tif", ".tiff"})
SUFFIXES = LOSSLESS_SUFFIXES | {".jpeg", ".jpg", ".ppm", ".webp"}
"""Suffixes of the files that are read as images; other files are ignored."""


@dataclass
class ImageTree:
    """The folders and images under a root, by relative paths with '/' as separator."""

    root: str
    names: Sequence[str]  # of all files and folders; a folder's name ends with '/'
    read_name: Callable[[str], bytes]  # returns the content of the file with one of the names
    images: list[str] = field(init=False)  # paths, sorted
    subfolders: dict[str, set[str]] = field(init=False)  # paths, by the path of the parent; '' is the root
    _name_of: dict[str, str] = field(init=False)  # the entry of `names` for the path of each image

    def __post_init__(self) -> None:
        self._name_of, self.subfolders = {}, {"": set()}
        for name in self.names:
            parts = PurePosixPath(name).parts
            if any(part.startswith((".", "__MACOSX")) for part in parts):
                continue
            is_folder = name.endswith("/")
            self._add_folder(parts if is_folder else parts[:-1])
            if not is_folder and PurePosixPath(name).suffix.lower() in SUFFIXES:
                self._name_of["/".join(parts)] = name
        self.images = sorted(self._name_of)

    def _add_folder(self, parts: Sequence[str]) -> None:
        path = ""
        for part in parts:
            parent, path = path, join_path(path, part)
            self.subfolders[parent].add(path)
            self.subfolders.setdefault(path, set())

    def has_subfolder(self, folder: str, name: str) -> bool:
        """Check whether a folder has a sub-folder with this name."""
        return join_path(folder, name) in self.subfolders.get(folder, ())

    def images_under(self, folder: str) -> list[str]:
        """Return the images under a folder at any depth, sorted."""
        start, end = (
            bisect_left(self.images, f"{folder}{mark}") for mark in "/0"
        )  # '0' follows '/' in ASCII
        return self.images[start:end]

    def read(self, image: str) -> bytes:
        """Return the content of an image file."""
        return self.read_name(self._name_of[image])

    def display_path(self, path: str) -> str:
        """Return a path with the root that the user passed, for messages."""
        return f"{self.root}/{path}" if path else self.root


def join_path(*parts: str) -> str:
    """Join relative paths, without those that are empty."""
    return "/".join(part for part in parts if part)


def tree_from_folder(path: Path) -> ImageTree:
    """List a folder, following links; raises DataError if a sub-folder cannot be read."""
    names: list[str] = []

    def refuse(error: OSError) -> None:
        raise DataError(
            f"a data set's folders must be readable, got {error.filename}: {error.strerror}; change its "
            "permissions or remove it"
        )

    for folder, subfolders, files in os.walk(path, onerror=refuse, followlinks=True):
        relative = Path(folder).relative_to(path)
        names += [f"{(relative / name).as_posix()}/" for name in subfolders]
        names += [(relative / name).as_posix() for name in files]
    return ImageTree(str(path), names, lambda name: (path / name).read_bytes())


def tree_from_zip(path: Path) -> ImageTree:
    """List a .zip, which is not unpacked; raises DataError if it cannot be read.

    The file stays open as long as the tree exists, because images are read when they are chosen.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:  # the last: an unknown compression
        raise DataError(
            f"a .zip must be readable, got {path}, which is not ({error}); write it again"
        ) from error
    return ImageTree(str(path), archive.namelist(), archive.read)
