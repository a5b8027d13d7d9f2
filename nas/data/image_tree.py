"""The folders and image files of a data set, from a folder on disk or from a .zip."""

from __future__ import annotations

import io
import os
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from nas.data.file_formats import (
    EDGE_BYTES,
    SUFFIXES,
    check_content,
    image_format,
    may_be_cut,
    reading_package,
    register_heif,
)
from nas.data.folder_listing import TABLE_NAMES, join_path, list_folder
from nas.data.text import one_line
from nas.errors import DataError

__all__ = [
    "Entry",
    "ImageTree",
    "class_name",
    "name_of",
    "tree_from_folder",
]

MAX_FILE_BYTES = 2**28
"""Greatest size of an image file, which bounds the memory of reading a damaged or malicious one."""
LEFT_OUT_SHARE = 0.1  # of all files; a larger share of files that are no images is a warning


@dataclass(frozen=True)
class Entry:
    """A regular file."""

    name: str  # by which it is read
    size: int  # bytes; negative: it cannot be opened
    checksum: int = 0  # CRC-32 of the content, from a .zip; files with other checksums differ


@dataclass
class ImageTree:
    """The folders and images under a root, by relative paths with '/' as separator."""

    root: str
    entries: Mapping[str, Entry]  # regular files by path; those of `is_ignored` are left out
    open_file: Callable[[str], IO[bytes]]  # opens the entry of a name; it can be sought
    folders: Iterable[str] = ()  # paths of folders, of which some may have no files
    notes: Sequence[str] = ()  # about the listing, one sentence each
    warnings: Sequence[str] = ()
    images: list[str] = field(init=False)  # paths, sorted, with those of `unreadable`
    formats: dict[str, str] = field(init=False)  # Pillow's name of the format, by path
    unreadable: dict[str, str] = field(init=False)  # reasons, by the path of a file that must be an image
    subfolders: dict[str, set[str]] = field(init=False)  # paths, by the path of the parent; '' is the root

    def __post_init__(self) -> None:
        self.subfolders, self.formats, self.unreadable = {"": set()}, {}, {}
        for path in self.folders:
            self._add_folder(path.split("/"))
        for path in self.entries:
            self._add_folder(path.split("/")[:-1])
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            found = list(pool.map(self._format_of, self.entries))
        left_out: Counter[str] = Counter()
        for path, (name, reason) in zip(self.entries, found, strict=True):
            if reason:
                self.unreadable[path] = reason
            elif name is not None:
                self.formats[path] = name
            elif name_of(path) not in TABLE_NAMES:
                left_out[_suffix(path)] += 1
        self._leave_out_formats()
        self._report_left_out(left_out)
        self.images = sorted([*self.formats, *self.unreadable])

    def _add_folder(self, parts: Sequence[str]) -> None:
        path = ""
        for part in parts:
            parent, path = path, join_path(path, part)
            self.subfolders[parent].add(path)
            self.subfolders.setdefault(path, set())

    def _format_of(self, path: str) -> tuple[str | None, str]:
        """Return the format of a file, None for one that is no image, and why it is unreadable or ''."""
        entry, suffix, found = self.entries[path], _suffix(path), None
        if entry.size < 0:
            reason = "it cannot be opened, or is a link to nothing"
        elif entry.size == 0:
            reason = "empty file"
        elif entry.size > MAX_FILE_BYTES:
            reason = f"{entry.size:,} bytes, more than {MAX_FILE_BYTES:,}"
        else:
            try:
                with self.open_file(entry.name) as file:
                    head = file.read(EDGE_BYTES)
                    found = image_format(head, suffix)
                    if found:
                        # An archive's entry is read whole: its checksum is compared, and seeking is slow.
                        content = io.BytesIO(head + file.read()) if entry.checksum else file
                        content.seek(max(0, entry.size - EDGE_BYTES))
                        is_cut = may_be_cut(found, head, content.read(EDGE_BYTES), entry.size)
                        content.seek(0)
                        check_content(found, content, is_cut)
            except Exception as error:  # of Pillow, zlib, zipfile or the file system, for damaged content
                is_unknown = type(error).__name__ == "UnidentifiedImageError"
                reason = "unknown format" if is_unknown else str(error) or type(error).__name__
            else:
                if found:
                    return found, ""
                reason = "unknown format"
        return found, reason if found or suffix in SUFFIXES else ""

    def _leave_out_formats(self) -> None:
        """Leave out the images for which a package is missing, with a warning."""
        for name in sorted(set(self.formats.values())):
            files = [path for path, other in self.formats.items() if other == name]
            if package := reading_package(name):
                self.warnings = (
                    *self.warnings,
                    f"{_count(len(files), f'{name} image')} of {len(self.formats)} "
                    f"{'is' if len(files) == 1 else 'are'} left out, for example "
                    f"{self.display_path(files[0])}; install {package} to read them.",
                )
                for path in files:
                    del self.formats[path]
            elif name == "HEIF":
                register_heif()

    def _report_left_out(self, left_out: Counter[str]) -> None:
        if not left_out:
            return
        listed = ", ".join(
            f"{count} {suffix or 'without suffix'}" for suffix, count in left_out.most_common(8)
        )
        more = len(left_out) - 8
        count = left_out.total()
        sentence = (
            f"{_count(count, 'file')} that {'is' if count == 1 else 'are'} not an image left out: {listed}"
            f"{f' and {more} more suffixes' if more > 0 else ''}."
        )
        if count > LEFT_OUT_SHARE * len(self.entries):
            self.warnings = (*self.warnings, sentence)
        else:
            self.notes = (*self.notes, sentence)

    def images_under(self, folder: str) -> list[str]:
        """Return the images under a folder at any depth, sorted."""
        return self.images[self._range_under(folder)]

    def _range_under(self, folder: str) -> slice:
        if not folder:
            return slice(len(self.images))
        return slice(*(bisect_left(self.images, folder + mark) for mark in "/0"))  # '0' follows '/' in ASCII

    def has_own_images(self, folder: str) -> bool:
        """Check whether images lie in a folder itself, not only in its sub-folders."""
        start = len(folder) + 1 if folder else 0
        return any("/" not in image[start:] for image in self.images_under(folder))

    def children(self, folder: str) -> list[str]:
        """Return the sub-folders of a folder that have images at any depth, sorted."""
        ranges = {child: self._range_under(child) for child in sorted(self.subfolders[folder])}
        return [child for child, images in ranges.items() if images.start < images.stop]

    def read(self, image: str) -> bytes:
        """Return the content of an image file."""
        with self.open(image) as file:
            return file.read(MAX_FILE_BYTES)

    def open(self, image: str) -> IO[bytes]:
        """Open an image file."""
        return self.open_file(self.entries[image].name)

    def display_path(self, path: str) -> str:
        """Return a path with the root that the user passed, for messages."""
        return one_line(f"{self.root}/{path}" if path else self.root)


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def class_name(folder: str) -> str:
    """Return the name of the class of a folder: its last part, with letters and accents composed (NFC).

    macOS writes them apart, so that equal names may differ in their characters.
    """
    return unicodedata.normalize("NFC", name_of(folder))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def tree_from_folder(path: Path) -> ImageTree:
    """List a folder; only regular files are opened. Raises DataError if a sub-folder cannot be read."""
    root, found = str(path), list_folder(path)
    for error in found.unreadable:
        raise DataError(
            f"a data set's folders must be readable, got {one_line(str(error.filename))}: "
            f"{error.strerror}; change its permissions or remove it"
        ) from error
    warnings = []
    for paths, noun, what in (
        (found.repeated, "link", "leads to a folder that is read already, or must not be, and is left out"),
        (found.outside, "link", "leads out of the data set and is followed"),
        (found.special, "entry", "is no regular file and is left out"),
    ):
        if paths:
            warnings.append(_about_paths(root, paths, noun, what))
    entries = {
        name: Entry(name, -1 if status is None else status.st_size) for name, status in found.files.items()
    }
    return ImageTree(
        root, entries, lambda name: open(os.path.join(root, name), "rb"), found.folders, warnings=warnings
    )


def _about_paths(root: str, paths: Sequence[str], noun: str, what: str) -> str:
    """Return a sentence about one path, with the number of the others."""
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return one_line(f"The {noun} {root}/{paths[0]}{more} {what}.")
