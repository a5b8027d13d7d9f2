"""Refuse folders that look like classes but may be splits, or images and their masks."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from nas.data.folder_names import SPLIT_WORDS, loose_split
from nas.data.image_files import open_image
from nas.data.image_tree import ImageTree, class_name, name_of
from nas.data.pairing import files_by_stem, short_image_names, without_mask_word, without_zeros
from nas.data.text import one_line
from nas.errors import DataError

__all__ = ["find_repeated_names", "refuse_doubtful_classes"]

MASK_SHARE = 0.2  # of the files of a class, from which on masks among them are not accidental
MIN_COMMON = 0.8  # share of the smaller folder's names that another has too, from which they may be pairs
MIN_RANGE = 3  # running numbers with the same text around them
MIN_DENSITY = 0.5  # share of the numbers in their range that names have, from which they are running numbers
SAMPLES = 8  # pairs whose pixels are compared
MASK_VALUES = 32  # different values of a mask at most
JPEG_NOISE, NEAR_SHARE = 16, 0.9  # of values around those of a mask, and their share of the pixels
MAX_PIXELS = 2**25  # of an image whose pixels are compared
SPLITS = "|".join(word for word in SPLIT_WORDS if len(word) > 3)
ATTACHED_SPLIT = re.compile(rf"(?P<first>{SPLITS})(?P<after>.+)|(?P<before>.+?)(?P<last>{SPLITS})")
IMAGE_NAMES = ("image", "img")  # starts of names that classes do not have
OVERRULE = "set labels to classes if these folders are the classes"


def find_repeated_names(tree: ImageTree, folder: str) -> list[str]:
    """Return the names that sub-folders of two or more sub-folders have; none if it is only one."""
    names = Counter(
        name
        for child in tree.children(folder)
        for name in {class_name(grandchild).casefold() for grandchild in tree.children(child)}
    )
    repeated = sorted(name for name, count in names.items() if count > 1)
    return repeated if len(repeated) > 1 else []


def refuse_doubtful_classes(tree: ImageTree, folder: str) -> None:
    """Raise DataError if the sub-folders of a folder may be something else than classes."""
    children = tree.children(folder)
    if repeated := find_repeated_names(tree, folder):
        raise DataError(
            f"folders of classes must not repeat the names of their sub-folders, got {repeated[0]}/ and "
            f"{repeated[1]}/ in more than one folder of {tree.display_path(folder)}; rename splits to train, "
            f"val and test, or {OVERRULE}"
        )
    for child in children:
        _refuse_masks_beside_images(tree, child)
    if len(children) < 2 or len({name_of(child).casefold() for child in children}) < 2:
        return
    _refuse_splits_of_classes(tree, children)
    stems = [set(_stems(tree, child)) for child in children]
    if len(children) == 2 and (_are_paired(*stems) or _are_paired(*reversed(stems))):
        raise DataError(
            f"folders of classes must hold different files, got names of images and of their masks in "
            f"{tree.display_path(children[0])} and {tree.display_path(children[1])}; rename the folders to "
            f"images and masks, or {OVERRULE}"
        )
    pair = f"{tree.display_path(children[0])} and {tree.display_path(children[1])}"
    is_images = any(name_of(child).casefold().startswith(IMAGE_NAMES) for child in children)
    common = set.intersection(*stems)
    if _are_enough(common, stems) and (
        not _are_running_numbers(common) or (is_images and len(children) == 2)
    ):
        raise DataError(
            f"folders of classes must hold different files, got the same names in {pair}, as of images and "
            f"masks; rename the folders to images and masks, or {OVERRULE}"
        )
    if len(children) == 2 and _are_images_and_masks(tree, _matching_files(tree, children)):
        raise DataError(
            f"folders of classes must hold images, got what looks like images and masks of the same names "
            f"in {pair}; rename the folders to images and masks, or {OVERRULE}"
        )


def _are_enough(common: Collection[str], names: Sequence[Collection[str]]) -> bool:
    """Check whether nearly all names of folders with about as many files are common."""
    sizes = list(map(len, names))
    return len(common) >= max(MIN_RANGE, MIN_COMMON * min(sizes)) and min(sizes) >= 0.5 * max(sizes)


def _refuse_masks_beside_images(tree: ImageTree, folder: str) -> None:
    """Raise DataError if a folder of a class has names such as 1 and 1_mask."""
    stems = set(_stems(tree, folder))
    masks = sorted(
        stem for stem in stems if without_mask_word(stem) != stem and without_mask_word(stem) in stems
    )
    if len(masks) > MASK_SHARE * len(stems):
        raise DataError(
            f"folders of classes must not hold masks, got {one_line(masks[0])} beside the image of that "
            f"name in {tree.display_path(folder)}; move the masks away, or {OVERRULE}"
        )


def _refuse_splits_of_classes(tree: ImageTree, children: Sequence[str]) -> None:
    """Raise DataError for folders such as cats_train, cats_test, dogstrain, dogstest."""
    splits: dict[str, set[str]] = defaultdict(set)
    for child in children:
        if split := loose_split(name_of(child)):
            words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name_of(child)).casefold()
            rest = [word for word in re.findall(r"[^\W_]+", words) if loose_split(word) is None]
            splits[" ".join(rest)].add(split)
        elif match := ATTACHED_SPLIT.fullmatch(name_of(child).casefold()):
            word = match["first"] or match["last"]
            splits[(match["after"] or match["before"])].add(SPLIT_WORDS[word])
    if repeated := sorted(name for name, found in splits.items() if len(found) > 1):
        raise DataError(
            f"folders of classes must not be named after splits, got '{one_line(repeated[0])}' for "
            f"{' and '.join(sorted(splits[repeated[0]]))} in {tree.display_path('')}; move them below "
            f"train/, val/ and test/, or {OVERRULE}"
        )


def _are_paired(images: Collection[str], masks: Collection[str]) -> bool:
    """Check whether the names in two folders differ by a word such as `_mask`, or by `_0000`, alone."""
    short_images, short_masks = set(short_image_names(images).values()), set(map(without_mask_word, masks))
    if (short_images, short_masks) == (set(images), set(masks)) or set(images) & set(masks):
        return False
    common, least = short_images & short_masks, min(len(images), len(masks))
    return len(common) >= max(MIN_RANGE, MIN_COMMON * least)


def _stems(tree: ImageTree, folder: str) -> Iterable[str]:
    try:
        return files_by_stem(tree, folder)
    except DataError:  # two files of one name, as masks never have
        return ()


def _are_running_numbers(stems: Collection[str]) -> bool:
    """Check whether names are the numbers of a range, or of a few ranges with other text around them."""
    ranges: dict[tuple[str, str], list[int]] = defaultdict(list)
    for stem in stems:
        match = re.fullmatch(r"(.*?)([0-9]{1,18})([^0-9]*)", stem, re.DOTALL)
        if match is None:
            return False
        ranges[match[1], match[3]].append(int(match[2]))
    length = sum(max(numbers) - min(numbers) + 1 for numbers in ranges.values())
    return len(stems) >= max(MIN_RANGE * len(ranges), MIN_DENSITY * length)


def _matching_files(tree: ImageTree, folders: Sequence[str]) -> list[tuple[str, str]]:
    """Return the files of two folders whose names match; none unless nearly all do.

    What all names of a folder begin or end with, such as `_ct` and `_lesion`, and zeros before numbers do not
    count if the names as they are do not match.
    """
    try:
        named = [files_by_stem(tree, folder) for folder in folders]
    except DataError:  # two files of one name, as masks never have
        return []
    for first, second in (named, [_by_inner_name(files) for files in named]):
        common = sorted(first.keys() & second.keys())
        if _are_enough(common, (first, second)):
            return [(first[name], second[name]) for name in common]
    return []


def _by_inner_name(files: dict[str, str]) -> dict[str, str]:
    """Return files by the part of their names that is not the start or the end of all."""
    start, end = (
        len(os.path.commonprefix(names).rstrip("0123456789"))  # noqa: RUF071 - of characters
        for names in (list(files), [name[::-1] for name in files])
    )
    return {without_zeros(name[start : max(start, len(name) - end)]): file for name, file in files.items()}


def _are_images_and_masks(tree: ImageTree, pairs: Sequence[tuple[str, str]]) -> bool:
    """Check by pixels whether one of each two files is a mask of the other, an image."""
    looks = set()
    for pair in pairs[:: max(1, len(pairs) // SAMPLES)][:SAMPLES]:
        described = [_describe(tree, file) for file in pair]
        sizes = {size for size, _ in described}
        if len(sizes) != 1 or None in sizes:
            return False
        looks.add(tuple(1 < values <= MASK_VALUES for _, values in described))
        if min(values for _, values in described) * 2 > max(values for _, values in described):
            return False
    return looks in ({(True, False)}, {(False, True)})


def _describe(tree: ImageTree, file: str) -> tuple[tuple[int, int] | None, int]:
    """Return the size of an image and its number of different values; None if it is unreadable or large."""
    if file in tree.unreadable:
        return None, 0
    with open_image(tree, file) as image:
        if image.width * image.height > MAX_PIXELS:
            return None, 0
        return image.size, _count_values(np.asarray(image))


def _count_values(pixels: np.ndarray) -> int:
    """Return the number of different values; 2 if nearly all are near two of them, as in a mask in JPEG."""
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) <= MASK_VALUES:
        return len(values)
    first = int(values[counts.argmax()])
    far = np.abs(values.astype(int) - first) > 2 * JPEG_NOISE
    if not far.any():
        return len(values)
    second = int(values[far][counts[far].argmax()])
    is_near = np.minimum(abs(values.astype(int) - first), abs(values.astype(int) - second)) <= JPEG_NOISE
    return 2 if counts[is_near].sum() >= NEAR_SHARE * counts.sum() else len(values)
