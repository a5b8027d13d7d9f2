"""What Pillow's images hold: orientation, pages, depth and palette, and their pixels in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from nas.data.source import Array

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = [
    "Header",
    "Palette",
    "colours_of",
    "deep_values",
    "eight_bits",
    "palette_of",
    "read_header",
    "turn_upright",
]

GREY_MODES = frozenset({"1", "L", "LA"})
ANIMATED = frozenset({"AVIF", "GIF", "PNG", "WEBP"})
"""Formats that hold animations. Not MPO: phones add images for other purposes to a photo."""
ORIENTATION = 0x0112  # EXIF tag
TURNED = frozenset({5, 6, 7, 8})
"""Orientations of images that are stored turned by 90 degrees."""


Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """The RGB colours of a palette image by their index: all, and those that pixels have."""

    colours: dict[int, Colour]
    used: dict[int, Colour]


@dataclass(frozen=True)
class Header:
    """What an image file holds, known without its pixels."""

    size: tuple[int, int]  # width and height as a viewer shows it
    orientation: int  # EXIF; 1: stored upright
    mode: str  # Pillow's
    depth: Literal["8", "more", "cut"]  # bits a channel; cut: Pillow reads the upper 8 of 16
    is_transparent: bool  # whether there is an alpha channel or a transparent colour
    pages: Literal["one", "more", "stack"]  # stack: pages of one size

    @property
    def is_grey(self) -> bool:
        """Whether the pixels are numbers, not colours."""
        return self.mode in GREY_MODES or self.depth == "more"

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height before the image is turned upright."""
        return self.size[::-1] if self.orientation in TURNED else self.size


def read_header(image: ImageFile) -> Header:
    """Describe an image that was opened and not loaded; raises the decoder's errors."""
    orientation = _orientation(image)
    # Pillow turns a TIFF itself, and its size is that of the turned image
    turned = orientation in TURNED and image.format != "TIFF"
    raw_mode = image.tile[0].args if image.tile else ""
    raw_mode = raw_mode[0] if isinstance(raw_mode, tuple) and raw_mode else raw_mode
    deep = _is_deep(image.mode)
    return Header(
        size=image.size[::-1] if turned else image.size,
        orientation=orientation,
        mode=image.mode,
        depth="more" if deep else "cut" if ";16" in str(raw_mode) else "8",
        is_transparent=image.has_transparency_data,
        pages=_pages(image),
    )


def _is_deep(mode: str) -> bool:
    return mode.startswith("I") or mode == "F"


def _orientation(image: Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # `getexif` would decode the image
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF, which raises errors of many types; viewers show the image as stored
        return 1
    return value if value in range(1, 9) else 1


def _pages(image: Image) -> Literal["one", "more", "stack"]:
    if image.format in ANIMATED:
        return "more" if getattr(image, "is_animated", False) else "one"
    if image.format != "TIFF" or getattr(image, "n_frames", 1) == 1:
        return "one"
    first = image.size
    image.seek(1)
    second = image.size
    image.seek(0)
    return "stack" if first == second else "more"


def turn_upright(image: Image) -> Image:
    """Turn an image as its EXIF orientation says; loads it."""
    from PIL import ImageOps

    image.load()
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def deep_values(image: Image) -> Array:
    """Return the values of an image of one channel with more than 8 bits; raises ValueError for NaN."""
    values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinity")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def eight_bits(image: Image, value_range: tuple[float, float], background: tuple[int, int, int]) -> Image:
    """Convert a loaded image to 8-bit grey, or to RGB if its mode allows colours.

    value_range: values of images with more than 8 bits that become 0 and 255. background: the colour under
    transparent pixels.
    """
    from PIL import Image

    if _is_deep(image.mode):
        low, high = value_range
        values: Array = deep_values(image).astype(np.float64 if image.mode == "I" else np.float32)
        scaled = (values - low) * (255.0 / ((high - low) or 1.0))
        return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
    is_grey = image.mode in GREY_MODES
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        flat = Image.new("RGBA", image.size, background)
        flat.alpha_composite(image.convert("RGBA"))
        image = flat.convert("RGB")
    return image.convert("L" if is_grey else "RGB")


def palette_of(image: Image) -> Palette:
    """Return the palette of an image, and what of it is used; loads the image. Missing colours are black."""
    used = np.unique(np.asarray(image if image.mode == "P" else image.getchannel("P"))).tolist()
    parts = iter(image.getpalette() or ())
    colours = dict(enumerate(zip(parts, parts, parts, strict=False)))
    return Palette(colours, {index: colours.get(index, (0, 0, 0)) for index in used})


def colours_of(image: Image) -> Array:
    """Return the colour of each pixel as 0xRRGGBB, int32; fully transparent pixels are black."""
    rgba = np.asarray(image.convert("RGBA"), np.int32)
    colours = (rgba[..., 0] << 16) | (rgba[..., 1] << 8) | rgba[..., 2]
    return np.where(rgba[..., 3] == 0, 0, colours).astype(np.int32)
