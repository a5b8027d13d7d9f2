"""Decode the images and masks of a data set to arrays of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nas.architecture import Shape
from nas.data.feeding import Feeding
from nas.data.image_files import map_ahead, open_image
from nas.data.image_survey import FULL_RANGE, File, ImageSurvey
from nas.data.image_tree import ImageTree
from nas.data.options import DataOptions, parse_colour
from nas.data.pixels import colours_of, eight_bits, turn_upright
from nas.data.source import Array, Chunk, resize_masks
from nas.errors import DataError

__all__ = ["ImageReader"]

CHUNK_BYTES = 1 << 24  # of the decoded images that wait to be written, which bounds the memory
CHUNK = 256  # images in a chunk at most


class ImageReader:
    """Decoder of the images of one data set, to squares of `image_size` or to their common size.

    `inspect` fills `notes` and `warnings`, sentences for the `Source`, and `colour_masks`: whether masks are
    read as colours 0xRRGGBB.
    """

    def __init__(self, tree: ImageTree, options: DataOptions) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.colour_masks = False
        self._tree = tree
        self._options = options
        self._image_size = options.image_size
        self._background = parse_colour(options.background)
        colours = [parse_colour(colour) for colour in options.mask_colors]
        self._mask_colours = np.array([(red << 16) | (green << 8) | blue for red, green, blue in colours])
        self._shape: Shape = (0, 0, 0)
        self._value_range = FULL_RANGE
        self._is_deep = self._has_transparency = self._by_colour = False

    def inspect(self, images: Sequence[str], masks: Sequence[str] = ()) -> Shape:
        """Read the headers of all images and masks, and return the shape of an image's array.

        It is RGB if one image has colour. Raises DataError as `ImageSurvey` does.
        """
        survey = ImageSurvey(self._tree, images, masks, self._options)
        self.notes, self.warnings = survey.notes(), survey.warnings()
        self.colour_masks = survey.colour_masks and not self._options.mask_colors
        self._by_colour = survey.colour_masks
        self._value_range, self._is_deep = survey.value_range, survey.is_deep
        self._has_transparency = survey.has_transparency
        side, channels = self._image_size, 3 if survey.has_colour else 1
        width, height = survey.size if side is None else (side, side)
        self._shape = (height, width, channels)
        return self._shape

    def feeding(self, shape: Shape) -> Feeding:
        """Return how the images, as arrays of a shape, become inputs."""
        return Feeding(
            value_range=self._value_range if self._is_deep else FULL_RANGE,
            channels="grey" if shape[-1] == 1 else "RGB",
            resize="" if self._image_size is None else "bilinear",
            background=self._options.background if self._has_transparency else "",
        )

    def reader_of(self, files: Sequence[File]) -> Callable[[Array], Iterator[Chunk]]:
        """Return the function that reads files by their indices; each is an image and its mask or ''.

        It yields x (n, height, width, channels) uint8, and masks (n, height, width) or None; it raises
        DataError for files that cannot be decoded.
        """
        return lambda indices: self._read([files[index] for index in indices.tolist()])

    def _read(self, files: Sequence[File]) -> Iterator[Chunk]:
        size = max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(self._shape))))
        decoded = map_ahead(self._decode, files)
        while chunk := list(itertools.islice(decoded, size)):
            masks = [mask for _, mask in chunk if mask is not None]
            yield np.stack([image for image, _ in chunk]), np.stack(masks) if masks else None

    def _decode(self, file: File) -> tuple[Array, Array | None]:
        from PIL import Image

        image_file, mask_file = file
        side = self._image_size
        height, width, channels = self._shape
        with open_image(self._tree, image_file) as image:
            if side is not None and image.format == "JPEG":
                image.draft(image.mode, (2 * side, 2 * side))  # decode large photos at a half, ... an eighth
            pixels = eight_bits(turn_upright(image), self._value_range, self._background)
            if side is not None and pixels.size != (side, side):
                pixels = pixels.resize((side, side), Image.Resampling.BILINEAR)
            if pixels.size != (width, height):
                raise ValueError("its header tells another size")
            array = np.asarray(pixels)
            array = array[..., None] if array.ndim == 2 else array
            array = np.repeat(array, 3, axis=-1) if array.shape[-1] < channels else array
        return array, self._decode_mask(mask_file) if mask_file else None

    def _decode_mask(self, mask_file: str) -> Array:
        with open_image(self._tree, mask_file) as mask:
            upright = turn_upright(mask)
            labels = colours_of(upright) if self._by_colour else np.asarray(upright)
        if len(self._mask_colours):
            labels = self._number_colours(labels, mask_file)
        labels = labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.int32)
        resized: Array = resize_masks(labels[None], self._image_size)[0]
        return resized

    def _number_colours(self, colours: Array, mask_file: str) -> Array:
        """Return the position of each colour in `mask_colors`; raises DataError for one that is not there."""
        order = np.argsort(self._mask_colours)
        known = self._mask_colours[order]
        found = np.searchsorted(known, colours).clip(0, len(known) - 1)
        if (unknown := known[found] != colours).any():
            raise DataError(
                f"masks must have the colours of mask_colors, got #{colours[unknown][0]:06x} in "
                f"{self._tree.display_path(mask_file)}; add it to the list, or correct the mask"
            )
        numbers: Array = order[found].astype(np.uint8 if len(order) <= 256 else np.int32)
        return numbers
