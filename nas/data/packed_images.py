"""Encoded images from a file of many: kept in a temporary file until they are decoded."""

from __future__ import annotations

import io
import tempfile
import threading
import weakref
from typing import IO

from nas.data.image_tree import Entry, ImageTree

__all__ = ["PackedImages"]


class PackedImages:
    """Encoded images by name. They need no memory, and are removed with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this object)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()  # one position for all threads
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def add(self, name: str, content: bytes) -> None:
        """Add an encoded image."""
        self._file.write(content)
        self._places[name] = (self._end, len(content))
        self._end += len(content)

    def tree(self, root: str) -> ImageTree:
        """Return the images as a tree, whose root is named in messages."""
        return ImageTree(
            root, {name: Entry(name, size) for name, (_, size) in self._places.items()}, self._open
        )

    def _open(self, name: str) -> IO[bytes]:
        start, length = self._places[name]
        with self._lock:
            self._file.seek(start)
            return io.BytesIO(self._file.read(length))
