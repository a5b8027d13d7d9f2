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

from nas.architecture import Shape
from nas.data.feeding import Feeding
from nas.data.image_tree import ImageTree
from nas.data.options import DataOptions
from nas.data.source import Array, Chunk, resize_masks
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
    """Decoder of the images of one data set, to squares of `image_size` or to their common size."""

    def __init__(self, tree: ImageTree, options: DataOptions) -> None:
        self._tree = tree
        self._image_size = options.image_size
        self._channels = 3

    def inspect(self, images: Sequence[str]) -> Shape:
        """Read the headers of all images and return the shape of their arrays: RGB if one has colour.

        Raises DataError for a file that cannot be read, and if sizes differ and none is given.
        """
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            headers = list(pool.map(self._header, images))
        first_size = headers[0][0]
        for image, (size, _) in zip(images, headers, strict=True):
            if size != first_size and self._image_size is None:
                raise DataError(
                    f"images must be of one size, got {first_size[0]}x{first_size[1]} in "
                    f"{self._tree.display_path(images[0])} and {size[0]}x{size[1]} in "
                    f"{self._tree.display_path(image)}; resize them all, for example with --image-size 64"
                )
        self._channels = 1 if all(is_grey for _, is_grey in headers) else 3
        width, height = first_size if self._image_size is None else (self._image_size, self._image_size)
        return (height, width, self._channels)

    def feeding(self, shape: Shape) -> Feeding:
        """Return how the images, as arrays of a shape, become inputs."""
        return Feeding(
            channels="grey" if shape[-1] == 1 else "RGB",
            resize="" if self._image_size is None else "bilinear",
        )

    def reader_of(self, files: Sequence[tuple[str, str]]) -> Callable[[Array], Iterator[Chunk]]:
        """Return the function that reads files by their indices; each is an image and its mask or ''.

        It yields x (n, height, width, channels) uint8, and masks (n, height, width) or None; it raises
        DataError for files that cannot be decoded.
        """
        return lambda indices: self._read([files[index] for index in indices.tolist()])

    def _read(self, files: Sequence[tuple[str, str]]) -> Iterator[Chunk]:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for start in range(0, len(files), CHUNK):
                decoded = list(pool.map(self._decode, files[start : start + CHUNK]))
                masks = [mask for _, mask in decoded if mask is not None]
                yield np.stack([image for image, _ in decoded]), np.stack(masks) if masks else None

    def _header(self, image_file: str) -> tuple[tuple[int, int], bool]:
        """Return (width, height) and whether the image is grey."""
        from PIL import Image

        with self._decode_errors(image_file):
            image = Image.open(io.BytesIO(self._tree.read(image_file)))
            return image.size, image.mode in GREY_MODES or image.mode.startswith("I")

    def _decode(self, file: tuple[str, str]) -> tuple[Array, Array | None]:
        from PIL import Image

        image_file, mask_file = file
        with self._decode_errors(image_file):
            image = Image.open(io.BytesIO(self._tree.read(image_file)))
            size = image.size
            pixels = _to_eight_bits(image)
            if self._image_size is not None and size != (self._image_size, self._image_size):
                pixels = pixels.resize((self._image_size, self._image_size), Image.Resampling.BILINEAR)
            array = np.asarray(pixels)
            array = array[..., None] if array.ndim == 2 else array
            array = np.repeat(array, 3, axis=-1) if array.shape[-1] < self._channels else array
            return array, self._decode_mask(image_file, mask_file, size) if mask_file else None

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
