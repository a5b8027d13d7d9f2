"""Which examples train, which validate, which test; and how masks' labels are numbered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nas.data.arrays import Array, Source
from nas.errors import DataError

__all__ = ["chosen", "numbered"]

TEST_SHARE = 0.2  # of the training examples, where a source has no test split
TEST_SEED = 0  # fixed, so that no choice of a seed brings test examples into training
UNLABELLED = 255  # the label of masks that is ignored by common convention

Part = tuple[str, Array]
"""A split of the source, and the numbers of examples in it."""


def chosen(source: Source, validation: float, seed: int, train_limit: int | None) -> dict[str, Part]:
    """Choose the examples of 'train' (shuffled), 'validation' and 'test'; raises DataError."""
    train = source.splits["train"]
    labels = np.zeros(train.count, np.intp) if train.labels is None else train.labels
    carved = [name for name in ("test", "validation") if name not in source.splits]
    counts = np.bincount(labels, minlength=max(1, len(source.classes)))
    _check_counts(counts, source.classes, 1 + len(carved))
    if train_limit is not None and train_limit < len(counts):
        raise DataError(
            f"train_limit must allow an example of each class, got {train_limit}; use {len(counts)} or more"
        )
    parts = {name: (name, np.arange(examples.count)) for name, examples in source.splits.items()}
    rest = np.arange(train.count)
    random = np.random.default_rng(seed)
    if "test" in carved:
        count = round(TEST_SHARE * len(rest))
        test, rest = _parted(rest, labels, count, np.random.default_rng(TEST_SEED), len(carved))
        parts["test"] = ("train", test)
    if "validation" in carved:
        count = round(validation * len(rest))
        if train_limit is not None and train_limit < len(rest) - count:
            count = round(train_limit * validation / (1.0 - validation))
        held, rest = _parted(rest, labels, count, random, 1)
        parts["validation"] = ("train", held)
    count = len(rest) if train_limit is None else min(train_limit, len(rest))
    parts["train"] = ("train", _parted(rest, labels, count, random, 0)[0])
    return parts


def _check_counts(counts: Array, classes: tuple[str, ...], least: int) -> None:
    if len(classes) == 1:
        raise DataError(
            f"labels must be of at least 2 classes, got only '{classes[0]}'; add examples of another class"
        )
    place = int(counts.argmin())
    if counts[place] < least:
        of_what = f" of class '{classes[place]}'" if classes else " with a mask"
        raise DataError(
            f"training needs at least {least} examples of each class, one for each split that is taken from "
            f"it, got {counts[place]}{of_what}; add some or leave the class out"
        )


def _parted(
    numbers: Array, labels: Array, count: int, random: np.random.Generator, leave: int
) -> tuple[Array, Array]:
    """Take `count` of the numbers, every class in proportion; give them and the rest, both shuffled.

    Every class has at least one taken and `leave` left, so that a few more or less may be taken.
    """
    mine = labels[numbers]
    present, counts = np.unique(mine, return_counts=True)
    quotas = _quotas(counts, count, leave)
    taken: list[Array] = []
    left: list[Array] = []
    for label, quota in zip(present, quotas, strict=True):
        members = random.permutation(numbers[mine == label])
        taken.append(members[:quota])
        left.append(members[quota:])
    return random.permutation(np.concatenate(taken)), random.permutation(np.concatenate(left))


def _quotas(counts: Array, total: int, leave: int) -> Array:
    """Share a total among classes in proportion to their counts (largest remainder), within bounds."""
    ideal = counts * (total / counts.sum())
    most = counts - leave
    quotas = np.clip(np.floor(ideal).astype(np.intp), 1, most)
    while quotas.sum() > total and quotas.max() > 1:
        quotas[quotas.argmax()] -= 1
    while quotas.sum() < total and (quotas < most).any():
        quotas[np.where(quotas < most, ideal - quotas, -np.inf).argmax()] += 1
    shares: Array = quotas
    return shares


def _labels_of(mask: Array) -> list[int]:
    if mask.dtype == np.uint8:  # counting is several times faster than sorting
        return np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    return [int(label) for label in np.unique(mask)]


def numbered(
    masks: Mapping[str, Array], ignore_label: int | None
) -> tuple[dict[str, Array], tuple[str, ...], int | None]:
    """Number the labels of masks from 0 in their order; give masks, the labels' names, the ignored label.

    The ignored label keeps its value where no class has it, and else becomes 255 or, where there are
    more classes than that, their number. Raises DataError.
    """
    found = sorted({label for split in masks.values() for mask in split for label in _labels_of(mask)})
    if ignore_label is None and UNLABELLED in found:
        ignore_label = UNLABELLED
    labels = [label for label in found if label != ignore_label]
    if len(labels) < 2:
        beside = "" if ignore_label is None else f" beside the ignored {ignore_label}"
        raise DataError(
            f"masks must have at least 2 labels{beside}, got {', '.join(map(str, labels)) or 'none'}; "
            "number the classes from 0 (not 0 and 255) or ignore another label"
        )
    if labels[0] < 0:
        raise DataError(
            f"masks must have labels from 0, got {labels[0]}; renumber it, or ignore it with ignore_label"
        )
    names = tuple(map(str, labels))
    count = len(labels)
    collides = ignore_label is not None and ignore_label < count
    stored = max(UNLABELLED, count) if collides else ignore_label
    if labels == list(range(count)) and stored == ignore_label:
        return dict(masks), names, stored
    dtype = np.uint8 if max(count - 1, stored or 0) <= 255 else np.int32
    renumbered = {}
    for split, some in masks.items():
        renumbered[split] = np.searchsorted(labels, some).astype(dtype)
        if stored is not None:
            renumbered[split][some == ignore_label] = stored
    return renumbered, names, stored
