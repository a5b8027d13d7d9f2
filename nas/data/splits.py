"""Choose the examples for training, validation and test."""

from __future__ import annotations

import numpy as np

from nas.data.source import Array, Source
from nas.errors import DataError

__all__ = ["label_strata", "split_examples"]

TEST_SHARE = 0.2  # of the training examples, if a source has no test split
TEST_SEED = 0  # fixed, so that test examples never become training examples under another seed

Part = tuple[str, Array]
"""The name of a split of the source, and indices of examples in it."""


def split_examples(source: Source, validation: float, seed: int, train_limit: int | None) -> dict[str, Part]:
    """Return the examples of 'train' (shuffled), 'validation' and 'test', stratified by class.

    `validation` is the share of training examples for validation if the source has no such split. Raises
    DataError if a class has too few examples.
    """
    train = source.splits["train"]
    missing = [split for split in ("test", "validation") if split not in source.splits]
    labels = _strata(source, 1 + len(missing))
    counts = np.bincount(labels)
    if train_limit is not None and train_limit < len(counts):
        raise DataError(
            f"train_limit must allow an example of each class, got {train_limit}; use {len(counts)} or more"
        )
    parts = {split: (split, np.arange(examples.count)) for split, examples in source.splits.items()}
    remaining = np.arange(train.count)
    rng = np.random.default_rng(seed)
    if "test" in missing:
        count = round(TEST_SHARE * len(remaining))
        test_rng = np.random.default_rng(TEST_SEED)
        test, remaining = _stratified_sample(remaining, labels, count, test_rng, len(missing))
        parts["test"] = ("train", test)
    if "validation" in missing:
        count = round(validation * len(remaining))
        if train_limit is not None and train_limit < len(remaining) - count:
            count = round(train_limit * validation / (1.0 - validation))
        held_out, remaining = _stratified_sample(remaining, labels, count, rng, 1)
        parts["validation"] = ("train", held_out)
    count = len(remaining) if train_limit is None else min(train_limit, len(remaining))
    parts["train"] = ("train", _stratified_sample(remaining, labels, count, rng, 0)[0])
    return parts


def _strata(source: Source, minimum: int) -> Array:
    """Return the stratum of each training example, from 0: each has at least `minimum` examples.

    It is the class; for several labels see `label_strata`. Numbers and masks are not stratified. Raises
    DataError if a class has too few examples.
    """
    train = source.splits["train"]
    if source.task == "classification" and train.labels is not None:
        counts = np.bincount(train.labels, minlength=len(source.classes))
        _check_counts(counts, source.classes, minimum, source.may_be_numbers)
        return train.labels
    if source.task == "multi_label" and train.labels is not None:
        _check_counts(np.count_nonzero(train.labels, axis=0), source.classes, minimum)
        return label_strata(train.labels, minimum)
    _check_counts(np.array([train.count]), (), minimum)
    return np.zeros(train.count, np.intp)


def label_strata(labels: Array, minimum: int) -> Array:
    """Return a stratum of each example by its labels (n, labels), from 0.

    It is the rarest label of an example, so that a rare label occurs in each split. Strata of less than
    `minimum` examples are joined with the largest.
    """
    strata = np.zeros(len(labels), np.intp)
    for label in np.argsort(-np.count_nonzero(labels, axis=0), kind="stable"):  # the rarest last
        strata[labels[:, label] == 1] = label + 1
    sizes = np.bincount(strata)
    strata[sizes[strata] < minimum] = sizes.argmax()
    found: Array = np.unique(strata, return_inverse=True)[1]
    return found


def _check_counts(
    counts: Array, classes: tuple[str, ...], minimum: int, may_be_numbers: bool = False
) -> None:
    """Raise DataError unless there are two classes and each has `minimum` examples."""
    if len(classes) == 1:
        raise DataError(
            f"labels must be of at least 2 classes, got only '{classes[0]}'; add examples of another class"
        )
    rarest = int(counts.argmin())
    if counts[rarest] < minimum:
        kind = f" of class '{classes[rarest]}'" if classes else ""
        fix = "add some or remove the class"
        if may_be_numbers and len(classes) > 2:
            fix += ", or pass --labels numbers if the integers are numbers to predict"
        raise DataError(
            f"training needs at least {minimum} examples of each class, one for each split that is taken "
            f"from it, got {counts[rarest]}{kind}; {fix}"
        )


def _stratified_sample(
    indices: Array, labels: Array, count: int, rng: np.random.Generator, keep: int
) -> tuple[Array, Array]:
    """Return a stratified sample of `count` indices and the remaining indices, both shuffled.

    At least one example of each class is sampled and at least `keep` remain, so the sample may be a few
    examples larger or smaller.
    """
    index_labels = labels[indices]
    present, counts = np.unique(index_labels, return_counts=True)
    quotas = _class_quotas(counts, count, keep)
    sampled: list[Array] = []
    remaining: list[Array] = []
    for label, quota in zip(present, quotas, strict=True):
        members = rng.permutation(indices[index_labels == label])
        sampled.append(members[:quota])
        remaining.append(members[quota:])
    return rng.permutation(np.concatenate(sampled)), rng.permutation(np.concatenate(remaining))


def _class_quotas(counts: Array, total: int, keep: int) -> Array:
    """Distribute a total over classes in proportion to their counts, by the largest remainder method.

    Each quota is at least 1 and at most the count minus `keep`.
    """
    exact = counts * (total / counts.sum())
    maxima = counts - keep
    quotas: Array = np.clip(np.floor(exact).astype(np.intp), 1, maxima)
    while quotas.sum() > total and quotas.max() > 1:
        quotas[quotas.argmax()] -= 1
    while quotas.sum() < total and (quotas < maxima).any():
        quotas[np.where(quotas < maxima, exact - quotas, -np.inf).argmax()] += 1
    return quotas
