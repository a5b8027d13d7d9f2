"""Survey the image files of a data set by their headers, before any of them is decoded."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nas.data.image_files import map_ahead, open_image
from nas.data.image_tree import ImageTree
from nas.data.options import DataOptions
from nas.data.pixels import Header, Palette, deep_values, palette_of, read_header
from nas.errors import DataError

__all__ = ["FULL_RANGE", "File", "ImageSurvey"]

FULL_RANGE = (0.0, 255.0)
OUTLIERS = 0.001  # share of the pixels of an image at either end whose values may be faults of a sensor
OUTLIER_SCALE = 4  # times the range of the other pixels that faulty values reach
MAX_FAULTY = 0.5  # of the images that may have such values; in more, the values may be the objects
DARK = 127  # the upper 8 bits of 16-bit colours are at most this if the values do not need 16 bits

File = tuple[str, str]
"""An image and its mask, or ''."""


class ImageSurvey:
    """What the images and masks of a data set have in common, and what is special about some.

    Raises DataError for a file that cannot be read, for stacks of images, for sizes that differ and are not
    given, and for masks of other sizes than their images.
    """

    def __init__(
        self, tree: ImageTree, images: Sequence[str], masks: Sequence[str], options: DataOptions
    ) -> None:
        self._tree = tree
        self._options = options
        self._images = images
        self._counts: Counter[str] = Counter()
        self._more_bits: list[str] = []  # files of over 8 bits a channel
        self._cut_bits: list[str] = []  # files of which Pillow reads 8 of 16 bits
        self._several_pages: list[str] = []
        self._palette: dict[int, tuple[int, int, int]] = {}  # of masks, as far as used
        self.size = (0, 0)  # width and height of the images, as a viewer shows them; of the first if resized
        files: list[File] = list(itertools.zip_longest(images, masks, fillvalue=""))
        for file, found in zip(files, map_ahead(self._headers, files), strict=True):
            self._add(file, *found)
        if not files:
            raise DataError(f"a data set must hold images, got none in {tree.root}; add some")
        self._check_masks()
        self._check_cut_values()
        self._range_doubts: list[str] = []
        self.value_range = self._find_value_range() if self._more_bits else FULL_RANGE

    @property
    def has_colour(self) -> bool:
        """Whether an image has colour."""
        return self._counts["colour"] > 0

    @property
    def has_transparency(self) -> bool:
        """Whether an image may be transparent."""
        return self._counts["transparent"] > 0

    @property
    def is_deep(self) -> bool:
        """Whether all images have more than 8 bits."""
        return len(self._more_bits) == len(self._images)

    @property
    def colour_masks(self) -> bool:
        """Whether masks are compared by colour; otherwise by number and palette index."""
        counts = self._counts
        return bool(self._options.mask_colors or counts["colour masks"] or counts["other palettes"])

    def _headers(self, file: File) -> tuple[Header, Header | None, Palette | None]:
        """Return the headers of an image and its mask, and the mask's palette."""
        image_file, mask_file = file
        with open_image(self._tree, image_file, header=True) as image:
            header = read_header(image)
        if not mask_file:
            return header, None, None
        with open_image(self._tree, mask_file, header=True) as mask:
            mask_header = read_header(mask)
        palette = None
        if mask_header.mode in ("P", "PA"):
            with open_image(self._tree, mask_file) as mask:
                palette = palette_of(mask)
        if mask_header.mode == "F" or mask_header.pages == "stack":
            what = "floating-point values" if mask_header.mode == "F" else "several pages"
            raise DataError(
                f"masks must be images of one channel that holds integer labels, got {what} in "
                f"{self._tree.display_path(mask_file)}; save it as grey or palette PNG"
            )
        return header, mask_header, palette

    def _add(self, file: File, header: Header, mask: Header | None, mask_palette: Palette | None) -> None:
        if self.size == (0, 0):
            self.size = header.size
        if header.size != self.size and self._options.image_size is None:
            raise DataError(
                f"images must be of one size, got {self.size[0]}x{self.size[1]} in "
                f"{self._tree.display_path(self._images[0])} and {header.size[0]}x{header.size[1]} in "
                f"{self._tree.display_path(file[0])}; resize them all, for example with --image-size 64"
            )
        if header.pages == "stack":
            raise DataError(
                f"an image must be one page, got a stack of several in {self._tree.display_path(file[0])}; "
                "save each page as a file, or the stack as channels of an array in an .npz"
            )
        self._counts["colour"] += not header.is_grey
        self._counts["transparent"] += header.is_transparent
        self._counts["turned"] += header.orientation != 1
        if header.depth != "8":
            (self._more_bits if header.depth == "more" else self._cut_bits).append(file[0])
        if header.pages == "more":
            self._several_pages.append(file[0])
        if mask is not None:
            self._add_mask(file, header, mask, mask_palette)

    def _add_mask(self, file: File, header: Header, mask: Header, palette: Palette | None) -> None:
        if mask.size != header.size:
            raise self._size_error(file, header, mask)
        if header.orientation != 1 and header.size == header.stored_size:
            self._counts["ambiguous"] += 1
        if palette is not None:
            known = self._palette
            # Another colour of a number, or another number of a colour; one palette may repeat a colour.
            differ = any(known.get(index, colour) != colour for index, colour in palette.used.items())
            differ = differ or any(
                known[index] in palette.used.values() and palette.colours.get(index) != known[index]
                for index in known.keys() - palette.used.keys()
            )
            self._counts["other palettes"] += differ
            self._palette = {**palette.used, **known}
            self._counts["palettes"] += 1
        elif not mask.is_grey or mask.mode == "LA":
            self._counts["colour masks"] += 1
        self._counts["deep masks"] += mask.depth == "more"
        self._counts["masks"] += 1

    def _size_error(self, file: File, header: Header, mask: Header) -> DataError:
        image_file, mask_file = file
        fix = "save the mask again in the image's size"
        if header.orientation != 1 and mask.size == header.stored_size:
            fix = (
                f"a viewer turns the image by its EXIF orientation {header.orientation} but not the mask: "
                "turn the mask, or save the image as it was stored, without EXIF"
            )
        return DataError(
            f"masks must have the size of their images, got {header.size[0]}x{header.size[1]} in "
            f"{self._tree.display_path(image_file)} and {mask.size[0]}x{mask.size[1]} in "
            f"{self._tree.display_path(mask_file)}; {fix}"
        )

    def _check_masks(self) -> None:
        greys = all(len(set(colour)) == 1 for colour in self._palette.values())
        is_mixed = 0 < self._counts["palettes"] < self._counts["masks"]
        if is_mixed and not (self.colour_masks or greys or self._palette.get(0) == (0, 0, 0)):
            raise DataError(
                f"masks must be all of colours or all of numbers, got both palettes and grey images in "
                f"{self._tree.root}, and index 0 is not black; save them in one form, or give mask_colors"
            )
        if self.colour_masks and self._counts["deep masks"]:
            raise DataError(
                f"masks must be all of colours or all of numbers, got both in {self._tree.root}; save them "
                "in one form"
            )

    def _check_cut_values(self) -> None:
        """Raise DataError for 16-bit colour images whose values do not reach the upper bits.

        Pillow reads only the upper 8 bits of such images.
        """
        if self._cut_bits and max(map_ahead(self._greatest, self._cut_bits)) <= DARK:
            raise DataError(
                f"colour images of 16 bits must use the whole range, because their upper 8 bits are read, "
                f"got fewer bits in {self._tree.display_path(self._cut_bits[0])}; convert them to 8 bits"
            )

    def _greatest(self, file: str) -> int:
        with open_image(self._tree, file) as image:
            bands = image.getextrema()
            colours = bands[:-1] if image.mode in ("RGBA", "LA") else bands
        return int(np.max(colours))

    def _find_value_range(self) -> tuple[float, float]:
        """Return the least and the greatest value of images with more than 8 bits.

        Values far outside the range of the other pixels are left out if at most half of the images have
        any, because pixels of a sensor may be faulty.
        """
        found = np.array(list(map_ahead(self._quantiles, self._more_bits)))
        low, high = found[:, 0].min(), found[:, 3].max()
        least, most = found[:, 1].min(), found[:, 2].max()
        typical = np.median(found[:, 3])
        reach = OUTLIER_SCALE * (most - least)
        has_outliers = (found[:, 3] - least > reach) | (most - found[:, 0] > reach)
        shown = f"far outside {least:g}..{most:g}, up to {low:g}..{high:g}"
        total = f"{has_outliers.sum():,} of {len(found):,} images"
        if reach > 0 and 0 < has_outliers.mean() <= MAX_FAULTY:
            self._range_doubts.append(
                f"{total} have single pixels {shown}, which are cut to the range of the others."
            )
            low, high = (low if most - low <= reach else least), (high if high - least <= reach else most)
        elif reach > 0 and has_outliers.any():
            self._range_doubts.append(
                f"{total} have a few pixels {shown}, so all others become nearly one colour: cut the values "
                "if these pixels are faulty."
            )
        elif typical - low < (high - low) / OUTLIER_SCALE:
            self._range_doubts.append(
                f"Half of the images have values up to {typical:g} only, of {low:g}..{high:g}, "
                "so they become dark: do all have the same scale?"
            )
        return float(low), float(high)

    def _quantiles(self, file: str) -> tuple[float, float, float, float]:
        """Return the least value of an image, those that OUTLIERS are below and above, and the greatest."""
        with open_image(self._tree, file) as image:
            values = deep_values(image).ravel()
        count = min(math.ceil(OUTLIERS * len(values)), (len(values) - 1) // 2)
        ends = [0, count, len(values) - 1 - count, len(values) - 1]
        low, least, most, high = np.partition(values, ends)[ends].tolist()
        return low, least, most, high

    def notes(self) -> list[str]:
        """Return what was inferred, one sentence each."""
        counts, total = self._counts, f"{len(self._images):,}"
        notes = []
        if counts["turned"]:
            notes.append(
                f"{counts['turned']:,} of {total} images are turned upright, by their EXIF orientation."
            )
        if counts["transparent"]:
            notes.append(
                f"{counts['transparent']:,} of {total} images may be transparent; the colour below them is "
                f"{self._options.background}."
            )
        if self.is_deep:
            low, high = self.value_range
            notes.append(f"Images have more than 8 bits: their values {low:g}..{high:g} become 0..255.")
        if self._cut_bits:
            notes.append(f"{len(self._cut_bits):,} of {total} images have 16 bits a colour; 8 are read.")
        if counts["other palettes"] and not self._options.mask_colors:
            notes.append("Masks have palettes of their own, so their labels are the colours.")
        return notes

    def warnings(self) -> list[str]:
        """Return what is doubtful, one sentence each."""
        counts, total = self._counts, f"{len(self._images):,}"
        warnings = [*self._range_doubts]
        if counts["ambiguous"]:
            warnings.append(
                f"{counts['ambiguous']:,} images are turned by their EXIF orientation to the same size, so "
                "their masks may be turned or not: they are taken as drawn on the upright image."
            )
        if self._more_bits and not self.is_deep:
            low, high = self.value_range
            warnings.append(
                f"{len(self._more_bits):,} of {total} images have more than 8 bits: their values "
                f"{low:g}..{high:g} become 0..255, and those of the other images are kept."
            )
        if self._several_pages:
            warnings.append(
                f"{len(self._several_pages):,} of {total} images have several pages or frames, of which the "
                f"first is read, such as {self._tree.display_path(self._several_pages[0])}."
            )
        return warnings
