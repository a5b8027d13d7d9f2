"""Recognize image files by their first bytes, whatever their suffix is."""

from __future__ import annotations

import importlib.util
from functools import cache
from types import MappingProxyType
from typing import IO

import numpy as np

__all__ = [
    "EDGE_BYTES",
    "MASK_FORMATS",
    "SUFFIXES",
    "check_content",
    "image_format",
    "may_be_cut",
    "reading_package",
    "register_heif",
]

EDGE_BYTES = 64
"""Number of bytes at the start and the end of a file by which it is recognized."""

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"}
    | {".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of files that must be images: one with another content is damaged."""

MASK_FORMATS = frozenset({"BMP", "GIF", "PNG", "PPM", "TIFF"})
"""Formats that keep the exact labels of masks."""

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"8BPS\x00\x01", "PSD"),
    (b"qoif", "QOI"),
    (b"DDS \x7c\x00\x00\x00", "DDS"),
)
SUFFIX_SIGNATURES = MappingProxyType(
    {
        "BMP": ((b"BM",), frozenset({".bmp", ".dib"})),
        "PPM": (
            tuple(b"P%d" % kind for kind in range(1, 7)),
            frozenset({".pbm", ".pgm", ".pnm", ".ppm"}),
        ),
        "PCX": ((b"\x0a",), frozenset({".pcx"})),
        "SGI": ((b"\x01\xda",), frozenset({".bw", ".rgb", ".rgba", ".sgi"})),
        "ICO": ((b"\x00\x00\x01\x00",), frozenset({".ico"})),
    }
)
"""Signatures that are so short that other files start with them too: these formats need their suffix."""
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00\x08\x00", b"MM\x00+\x00\x08")
RAW_SUFFIXES = frozenset([".arw", ".cr2", ".dng", ".nef", ".nrw", ".orf", ".pef", ".rw2", ".sr2", ".srw"])
"""Raw photos, which have TIFF's signature but hold values of the sensor."""
END_MARKS = MappingProxyType({"PNG": b"IEND", "JPEG": b"\xff\xd9", "GIF": b";"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def image_format(head: bytes, suffix: str) -> str | None:
    """Return the format of an image, as Pillow names it, from the start of its content; None: no image.

    `suffix` is that of the file in lower case. It matters only where the content is ambiguous.
    """
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if head.startswith(TIFF_SIGNATURES):
        return None if suffix in RAW_SUFFIXES else "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    for name, (signatures, suffixes) in SUFFIX_SIGNATURES.items():
        if suffix in suffixes | SUFFIXES and head.startswith(signatures):
            return name
    return None


def _iso_format(head: bytes) -> str | None:
    """Return AVIF or HEIF by the brands of an ISO media file; None for a video."""
    length = int.from_bytes(head[:4], "big")
    brands = {head[start : start + 4] for start in (8, *range(16, min(length, len(head)), 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else None


def may_be_cut(name: str, head: bytes, tail: bytes, size: int) -> bool:
    """Check by the start and the end of an image file whether its end may be missing.

    That is certain only after `check_content`: some programs append to images, and some omit the end mark.
    """
    if name in END_MARKS:
        return END_MARKS[name] not in tail
    if name == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 > size
    return name == "BMP" and int.from_bytes(head[2:6], "little") > size


def check_content(name: str, stream: IO[bytes], is_cut: bool) -> None:
    """Raise an error, mostly of Pillow, if an image is damaged.

    The header of each image is read. The checksums of PNG are compared, and other formats than JPEG are
    decoded; damaged JPEG decodes to something. `is_cut`: the end may be missing, so decode in any case.
    """
    from PIL import Image

    if name == "HEIF" or reading_package(name):
        return  # Pillow cannot open it, or not yet
    with Image.open(stream) as image:
        if name == "PNG" and not is_cut:
            image.verify()
        elif name != "JPEG" or is_cut:
            image.load()
            if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
                raise ValueError("it holds NaN or infinity")


@cache
def reading_package(name: str) -> str:
    """Return the package that reads a format but is not here; '' if the format can be read."""
    from PIL import features

    if name == "HEIF":
        return "" if importlib.util.find_spec("pillow_heif") else "pillow-heif (the extra `images` of nas)"
    feature = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}.get(name)
    return "" if feature is None or features.check(feature) else f"a Pillow with {name}"


def register_heif() -> None:
    """Let Pillow read HEIF with pillow-heif, which must be installed."""
    import pillow_heif

    pillow_heif.register_heif_opener()
