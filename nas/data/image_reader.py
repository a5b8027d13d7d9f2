"""Decode the images and masks of a data set to arrays of one size."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from nas.data.image_tree import ImageTree
from nas.data.source import Array, resize_masks
from nas.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageReader"]

GREY_MODES = frozenset({"1", "L", "LA"})
DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""Errors that Pillow and zipfile raise for a damaged file; Pillow's own are OSError and ValueError."""
CHUNK = 256  # images decoded before they are copied to the result, which bounds the memory of the queue


class ImageReader:
    """Decoder of the images of one data set, to squares of `image_size` or to the size of the first image."""

    def __init__(self, tree: ImageTree, image_size: int | None) -> None:
        self._tree = tree
        self._image_size = image_size
        self._first: tuple[str, tuple[int, int]] | None = None  # the first file and its (width, height)

    def reader_of(self, files: Sequence[tuple[str, str]]) -> Callable[[Array], tuple[Array, Array | None]]:
        """Return the function that reads files by their indices; each is an image and its mask or ''.

        It returns x (n, height, width, channels) uint8, and masks (n, height, width) or None; it raises
        DataError for files that cannot be decoded or whose sizes differ.
        """
        return lambda indices: self._read([files[index] for index in indices.tolist()])

    def _read(self, files: Sequence[tuple[str, str]]) -> tuple[Array, Array | None]:
        x: Array | None = None
        masks: list[Array] = []
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for start in range(0, len(files), CHUNK):
                chunk = files[start : start + CHUNK]
                for index, (image, mask) in enumerate(pool.map(self._decode, chunk), start):
                    height, width = image.shape[:2]
                    self._check_size(files[index][0], (width, height))
                    if x is None:
                        x = np.empty((len(files), height, width, 1 if image.ndim == 2 else 3), np.uint8)
                    elif image.ndim == 3 and x.shape[-1] == 1:
                        x = np.repeat(x, 3, axis=-1)
                    x[index] = image if image.ndim == 3 else image[..., None]
                    if mask is not None:
                        masks.append(mask)
        assert x is not None
        return x, np.stack(masks) if masks else None

    def _check_size(self, file: str, size: tuple[int, int]) -> None:
        if self._first is None:
            self._first = (file, size)
        first_file, first_size = self._first
        if size != first_size:
            raise DataError(
                f"images must be of one size, got {first_size[0]}x{first_size[1]} in "
                f"{self._tree.display_path(first_file)} and {size[0]}x{size[1]} in "
                f"{self._tree.display_path(file)}; resize them all, for example with --image-size 64"
            )

    def _decode(self, file: tuple[str, str]) -> tuple[Array, Array | None]:
        from PIL import Image

        image_file, mask_file = file
        with self._decode_errors(image_file):
            image = Image.open(io.BytesIO(self._tree.read(image_file)))
            size = image.size
            pixels = _to_eight_bits(image)
            if self._image_size is not None and size != (self._image_size, self._image_size):
                pixels = pixels.resize((self._image_size, self._image_size), Image.Resampling.BILINEAR)
            return np.asarray(pixels), self._decode_mask(image_file, mask_file, size) if mask_file else None

    def _decode_mask(self, image_file: str, mask_file: str, size: tuple[int, int]) -> Array:
        from PIL import Image

        with self._decode_errors(mask_file):
            mask = Image.open(io.BytesIO(self._tree.read(mask_file)))
            labels = np.asarray(mask)
        if mask.size != size:
            raise DataError(
                f"masks must have the size of their images, got {size[0]}x{size[1]} in "
                f"{self._tree.display_path(image_file)} and {mask.size[0]}x{mask.size[1]} in "
                f"{self._tree.display_path(mask_file)}; save the mask again in the image's size"
            )
        if labels.ndim != 2 or labels.dtype.kind not in "iub":
            raise DataError(
                f"masks must be images of one channel that holds integer labels, got {mask.mode} in "
                f"{self._tree.display_path(mask_file)}; save it as grey or palette PNG"
            )
        labels = labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.int32)
        resized: Array = resize_masks(labels[None], self._image_size)[0]
        return resized

    @contextlib.contextmanager
    def _decode_errors(self, file: str) -> Iterator[None]:
        """Raise a DataError that names the file in place of the errors of a decoder."""
        from PIL import Image, UnidentifiedImageError

        try:
            yield
        except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(
                f"images must be readable, got {self._tree.display_path(file)}, which is not ({reason}); "
                "replace it or remove it"
            ) from error


def _to_eight_bits(image: Image) -> Image:
    """Convert an image to 8-bit grey, or to RGB if its mode allows colours."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")
