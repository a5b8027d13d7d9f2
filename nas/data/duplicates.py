"""Find equal examples - byte-equal image files, or equal rows of arrays - and drop them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from nas.data.image_files import errors_named
from nas.data.image_tree import ImageTree
from nas.data.source import Array
from nas.errors import DataError

__all__ = ["ImageFile", "LabelledArray", "find_duplicates", "find_equal_rows"]

PRIORITY = ("test", "validation", "train")  # the split in which the copy of an image is kept
CHUNK_BYTES = 1 << 24  # of arrays that are hashed at once
MAX_BYTES, MAX_ROWS = 1 << 30, 1_000_000  # of arrays that are hashed unasked: about two seconds


class ImageFile(NamedTuple):
    """An image with its mask or class."""

    image: str
    mask: str = ""
    label: int = 0


class LabelledArray(NamedTuple):
    """The examples of a split and their labels, with the name of the array of examples."""

    key: str
    x: Array
    y: Array


class _Place(NamedTuple):
    """An example among equal ones. Its meaning is its label or mask."""

    split: str
    name: str  # in messages
    meaning: object


class _Words(NamedTuple):
    """How messages call equal examples, and what may be different about them."""

    copies: str
    original: str
    meaning: str
    meanings: str


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
    found = [
        [
            _Place(split, tree.display_path(image), (file.label, masks.get(file.mask)))
            for image, (split, file) in ((image, places[image]) for image in group)
        ]
        for group in groups
    ]
    words = _Words("files", "image", "class", "masks" if any(masks) else "classes")
    notes, warnings = _report(found, words, kept, drop)
    if drop:
        pairs = zip(groups, found, strict=True)
        dropped = {group[i] for group, some in pairs for i in _superfluous(some)}
        kept = {split: [file for file in files if file.image not in dropped] for split, files in kept.items()}
    return kept, notes, warnings


def find_equal_rows(
    splits: Mapping[str, LabelledArray], convert: Callable[[Array], Array], drop: bool
) -> tuple[dict[str, Array], list[str], list[str]]:
    """Return the indices of the rows of each split to keep, notes, and warnings about equal rows.

    convert: what becomes of rows before they are compared, so that splits of different types may be equal.
    Without `drop`, only arrays up to 1 GiB are compared. Raises DataError if no row of a split is left.
    """
    rows = {split: np.arange(len(array.x)) for split, array in splits.items()}
    size = sum(array.x.nbytes for array in splits.values())
    if not drop and (size > MAX_BYTES or sum(map(len, rows.values())) > MAX_ROWS):
        return (
            rows,
            ["Equal examples are not looked for in arrays of this size without --drop-duplicates."],
            [],
        )
    hashes = np.concatenate([_hash_rows(array.x, convert) for array in splits.values()])
    starts = dict(zip(splits, np.cumsum([0, *map(len, rows.values())]).tolist(), strict=False))
    groups: list[list[_Place]] = []
    members: list[list[tuple[str, int]]] = []
    for group in _equal_values(hashes):
        located = [next((s, i - starts[s]) for s in reversed(starts) if i >= starts[s]) for i in group]
        members.append(located)
        groups.append(
            [
                _Place(split, f"{splits[split].key}[{i}]", splits[split].y[i].astype(np.float64).tobytes())
                for split, i in located
            ]
        )
    is_mask = next(iter(splits.values())).y.ndim > 2
    words = _Words("rows", "example", "mask" if is_mask else "label", "masks" if is_mask else "labels")
    notes, warnings = _report(groups, words, splits, drop)
    if drop:
        pairs = zip(members, groups, strict=True)
        dropped = {located[i] for located, places in pairs for i in _superfluous(places)}
        for split in rows:
            rows[split] = np.setdiff1d(rows[split], [i for other, i in dropped if other == split])
            if not len(rows[split]):
                raise DataError(
                    f"every split must have examples of its own, got none in {splits[split].key} but "
                    "duplicates; add some"
                )
    return rows, notes, warnings


def _hash_rows(x: Array, convert: Callable[[Array], Array]) -> Array:
    """Return a hash of 64 bits of each row, read in chunks: (n,)."""
    step = max(1, CHUNK_BYTES // max(1, x[:1].nbytes))
    digests = []
    for start in range(0, len(x), step):
        part = np.ascontiguousarray(convert(x[start : start + step]))
        digests += [hashlib.blake2b(row.data, digest_size=8).digest() for row in part]
    return np.frombuffer(b"".join(digests), np.uint64)


def _equal_values(values: Array) -> list[list[int]]:
    """Return the groups of indices of equal values, all in ascending order."""
    order = np.argsort(values, kind="stable")
    is_equal = np.concatenate([[False], values[order][1:] == values[order][:-1], [False]])
    order = order[is_equal[1:] | is_equal[:-1]]  # without values that occur once
    bounds = np.flatnonzero(np.diff(values[order])) + 1
    return sorted(group.tolist() for group in np.split(order, bounds) if len(group))


def _report(
    groups: Sequence[Sequence[_Place]], words: _Words, splits: Collection[str], drop: bool
) -> tuple[list[str], list[str]]:
    """Return notes and warnings about groups of equal examples."""
    crossing, conflicting, repeated = [], [], []
    for group in groups:
        is_conflict = len({place.meaning for place in group}) > 1
        if len({place.split for place in group}) > 1:
            crossing.append(group)
        elif not is_conflict:
            repeated.append(group)
        if is_conflict:
            conflicting.append(group)
    ending = "the test split keeps them, else validation" if drop else "--drop-duplicates keeps one of each"
    warnings = [
        f"{_count(found, words)} {what}, such as {found[0][0].name} and {found[0][1].name}; {ending}."
        for found, what in (
            (crossing, "in more than one split"),
            (conflicting, f"with different {words.meanings}"),
        )
        if found
    ]
    notes: list[str] = []
    if repeated:
        more = sum(len(group) - 1 for group in repeated)
        sentence = f"{more:,} {words.original}s repeat another one of their split and {words.meaning}"
        if drop or len(splits) == len(PRIORITY):
            notes.append(f"{sentence}{' and are dropped' if drop else ''}.")
        else:  # a split that is taken from the training examples shares them
            warnings.append(f"{sentence}, such as {repeated[0][1].name}; {ending}.")
    return notes, warnings


def _superfluous(group: Sequence[_Place]) -> list[int]:
    """Return the indices of equal examples without the one to keep."""
    best = min(range(len(group)), key=lambda i: PRIORITY.index(group[i].split))
    return [i for i in range(len(group)) if i != best]


def _count(groups: Sequence[Sequence[_Place]], words: _Words) -> str:
    plural = "" if len(groups) == 1 else "s"
    return f"{sum(map(len, groups)):,} {words.copies} hold {len(groups):,} {words.original}{plural}"


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
    """Return a hash of the content of each file; raises DataError for one that cannot be read."""

    def digest(file: str) -> bytes:
        with errors_named(tree, file):
            return hashlib.sha256(tree.read(file)).digest()

    existing = [file for file in files if file]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(existing, pool.map(digest, existing), strict=True))
