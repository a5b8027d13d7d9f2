"""Find byte-equal images, and drop them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from nas.data.image_tree import ImageTree

__all__ = ["ImageFile", "find_duplicates"]

PRIORITY = ("test", "validation", "train")  # the split in which the copy of an image is kept


class ImageFile(NamedTuple):
    """An image with its mask or class."""

    image: str
    mask: str = ""
    label: int = 0


Splits = Mapping[str, Sequence[ImageFile]]


def find_duplicates(
    tree: ImageTree, splits: Splits, drop: bool
) -> tuple[dict[str, list[ImageFile]], list[str], list[str]]:
    """Return the splits, notes and warnings about images whose files are equal, byte by byte.

    With `drop` one of equal images is kept: that in the test split, else in the validation split, else the
    first one.
    """
    kept = {split: list(files) for split, files in splits.items()}
    places = {file.image: (split, file) for split, files in kept.items() for file in files}
    groups = _equal_files(tree, places)
    masks = _digests(tree, [places[image][1].mask for group in groups for image in group])
    crossing, conflicting, repeated = [], [], []
    for group in groups:
        found = [places[image] for image in group]
        if len({split for split, _ in found}) > 1:
            crossing.append(group)
        elif len({(file.label, masks.get(file.mask)) for _, file in found}) == 1:
            repeated.append(group)
        if len({(file.label, masks.get(file.mask)) for _, file in found}) > 1:
            conflicting.append(group)
    ending = "the test split keeps them, else validation" if drop else "--drop-duplicates keeps one of each"
    warnings = [
        f"{_images(groups_found)} {what}, such as {tree.display_path(groups_found[0][0])} and "
        f"{tree.display_path(groups_found[0][1])}; {ending}."
        for groups_found, what in (
            (crossing, "in more than one split"),
            (conflicting, "with different masks" if any(masks) else "with different classes"),
        )
        if groups_found
    ]
    notes: list[str] = []
    if repeated:
        more = sum(len(group) - 1 for group in repeated)
        sentence = f"{more:,} images repeat another one of their split and class"
        if drop or len(kept) == len(PRIORITY):
            notes.append(f"{sentence}{' and are dropped' if drop else ''}.")
        else:  # a split that is taken from the training examples shares them
            warnings.append(f"{sentence}, such as {tree.display_path(repeated[0][1])}; {ending}.")
    if drop:
        dropped: set[str] = set()
        for group in groups:
            best = min(group, key=lambda image: PRIORITY.index(places[image][0]))
            dropped.update(image for image in group if image != best)
        kept = {split: [file for file in files if file.image not in dropped] for split, files in kept.items()}
    return kept, notes, warnings


def _images(groups: Sequence[Sequence[str]]) -> str:
    count = sum(map(len, groups))
    return f"{count:,} files hold {len(groups):,} {'image' if len(groups) == 1 else 'images'}"


def _equal_files(tree: ImageTree, images: Iterable[str]) -> list[list[str]]:
    """Return the groups of images with equal content; only files of equal size are read."""
    by_size: dict[tuple[int, int], list[str]] = defaultdict(list)
    for image in images:
        entry = tree.entries[image]
        by_size[entry.size, entry.checksum].append(image)
    candidates = [image for group in by_size.values() if len(group) > 1 for image in group]
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for image, digest in _digests(tree, candidates).items():
        by_content[digest].append(image)
    return [group for group in by_content.values() if len(group) > 1]


def _digests(tree: ImageTree, files: Sequence[str]) -> dict[str, bytes]:
    """Return a hash of the content of each file; one that cannot be read has that of its path."""

    def digest(file: str) -> bytes:
        try:
            content = tree.read(file)
        except Exception:  # reported by the reader, which decodes every file
            content = file.encode(errors="surrogateescape")
        return hashlib.sha256(content).digest()

    existing = [file for file in files if file]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(existing, pool.map(digest, existing), strict=True))
