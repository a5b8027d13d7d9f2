"""Pair images with the masks of the same names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

from nas.data.file_formats import MASK_FORMATS
from nas.data.image_tree import ImageTree
from nas.errors import DataError

__all__ = [
    "common_stems",
    "files_by_stem",
    "pair_files",
    "short_image_names",
    "without_mask_word",
    "without_zeros",
]

AFFIX = "mask|masks|label|labels|labelids|gt|seg|segmentation|annotation|annotations|trimap|groundtruth|l"
IMAGE_AFFIX = "image|img|sat|leftimg8bit|rgb"


def files_by_stem(tree: ImageTree, folder: str) -> dict[str, str]:
    """Return the images under a folder by their path in it without the suffix; raises DataError."""
    files: dict[str, str] = {}
    start = len(folder) + 1 if folder else 0
    for file in tree.images_under(folder):
        stem = unicodedata.normalize("NFC", str(PurePosixPath(file[start:]).with_suffix("")))
        if stem in files:
            raise DataError(
                f"images/ and masks/ must hold one file per name, got {tree.display_path(files[stem])} and "
                f"{tree.display_path(file)}; remove one"
            )
        files[stem] = file
    return files


def common_stems(tree: ImageTree, images: str, masks: str) -> list[str]:
    """Return the names that two folders have in common, sorted; see `pair_files`."""
    image_files, mask_files = _matched(files_by_stem(tree, images), files_by_stem(tree, masks))
    return sorted(set(image_files) & set(mask_files))


def pair_files(tree: ImageTree, images: str, masks: str) -> list[tuple[str, str]]:
    """Return each image with its mask, sorted by name.

    The names are equal except for the suffix, or but for a word such as in 12.jpg and 12_mask.png, or for
    zeros before numbers. Raises DataError for an image without a mask, a mask without an image, and masks
    of a lossy format.
    """
    image_files, mask_files = _matched(files_by_stem(tree, images), files_by_stem(tree, masks))
    if not image_files:
        raise DataError(
            f"images/ must hold images, got none in {tree.display_path(images)}; add them or remove it"
        )
    if unpaired := sorted(set(image_files) ^ set(mask_files)):
        file = image_files.get(unpaired[0]) or mask_files[unpaired[0]]
        raise DataError(
            f"every image must have a mask with its name in masks/, and every mask an image, got only "
            f"{tree.display_path(file)}; add the other file"
        )
    for file in mask_files.values():
        if tree.formats.get(file, "PNG") not in MASK_FORMATS:
            raise DataError(
                f"masks must be PNG images of integer labels, got {tree.display_path(file)} in "
                f"{tree.formats[file]}; save them as PNG"
            )
    return [(image_files[stem], mask_files[stem]) for stem in sorted(image_files)]


def _matched(images: dict[str, str], masks: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return both by the names that pair all of them, or else some.

    These are the names as they are, without words such as `_mask`, or also without zeros before numbers.
    """
    names = short_image_names(images)
    short_images = {names[stem]: file for stem, file in images.items()}
    short_masks = {without_mask_word(stem): file for stem, file in masks.items()}
    candidates = [(images, masks), (short_images, short_masks)]
    candidates += [
        (
            {without_zeros(stem): file for stem, file in some.items()},
            {without_zeros(stem): file for stem, file in others.items()},
        )
        for some, others in candidates
    ]
    unique = [
        (some, others)
        for some, others in candidates
        if len(some) == len(images) and len(others) == len(masks)
    ]
    complete = [(some, others) for some, others in unique if some.keys() == others.keys()]
    partial = [(some, others) for some, others in unique if some.keys() & others.keys()]
    return (complete or partial or unique)[0]


def without_zeros(stem: str) -> str:
    """Return a name without zeros before its numbers, such as 1 for 0001."""
    return re.sub("(?<![0-9])0+(?=[0-9])", "", stem)


def short_image_names(stems: Collection[str]) -> dict[str, str]:
    """Return names without a word such as `_image`, or the channel `_0000` of medical images, by name.

    The channel is kept where several names differ by it.
    """
    short = {stem: _without(IMAGE_AFFIX, stem) for stem in stems}
    shorter = {stem: re.sub(r"_[0-9]{4}$", "", name) for stem, name in short.items()}
    return shorter if len(set(shorter.values())) == len(stems) else short


def without_mask_word(stem: str) -> str:
    """Return a name without a word such as `_mask`."""
    return _without(AFFIX, stem)


def _without(affix: str, stem: str) -> str:
    """Return a name without one of the words at its start or end."""
    folder, slash, name = stem.rpartition("/")
    name = re.sub(rf"[ _.-](?:{affix})$|^(?:{affix})[ _.-]", "", name, count=1, flags=re.IGNORECASE)
    return f"{folder}{slash}{name}"
