"""Open the image files of a data set, and work on many of them at once."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from nas.data.image_tree import ImageTree
from nas.errors import DataError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["errors_named", "map_ahead", "open_image"]

DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""Errors that Pillow and zipfile raise for a damaged file; Pillow's own are OSError and ValueError."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def open_image(tree: ImageTree, file: str, header: bool = False) -> Iterator[ImageFile]:
    """Open an image.

    header: without reading the whole file. Raises a DataError that names the file in place of the errors of a
    decoder.
    """
    from PIL import Image

    with errors_named(tree, file):
        stream = tree.open(file) if header else io.BytesIO(tree.read(file))
        with stream, Image.open(stream) as image:
            yield image


@contextlib.contextmanager
def errors_named(tree: ImageTree, file: str) -> Iterator[None]:
    """Raise a DataError that names a file in place of the errors of reading or decoding it."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except DataError:
        raise
    except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"images must be readable, got {tree.display_path(file)}, which is not ({reason}); "
            "replace it or remove it"
        ) from error


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results in order, computed in a thread per core a few items ahead.

    Threads, because Pillow decodes and resizes without holding the interpreter's lock.
    """
    cores = os.cpu_count() or 1
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=cores) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
