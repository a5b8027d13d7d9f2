"""Cross-validation: the training and validation examples of a data set, split several times."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from nas.data.dataset import Dataset, Split
from nas.data.source import Array
from nas.data.splits import label_strata
from nas.errors import DataError

__all__ = ["check_folds", "select_fold"]


def select_fold(dataset: Dataset, fold: int, folds: int, seed: int = 0) -> Dataset:
    """Return the data set of one fold, whose validation split is one of `folds` parts of equal size.

    The parts are those of the training and validation examples together, stratified by class; each example
    is in the validation split of one fold. The test split stays. With one fold it is the data set itself.
    Raises DataError if a class has fewer examples than there are folds.
    """
    if folds == 1:
        return dataset
    part = check_folds(dataset, folds, seed)
    train, validation = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
    order = np.random.default_rng([seed, fold]).permutation(train)
    x, y = _pooled(dataset, "x"), _pooled(dataset, "y")
    return replace(dataset, train=Split(x[order], y[order]), validation=Split(x[validation], y[validation]))


def check_folds(dataset: Dataset, folds: int, seed: int = 0) -> Array:
    """Return the fold of each training and then each validation example.

    Raises DataError if a class has fewer examples than there are folds.
    """
    match dataset.task:
        case "classification":
            strata = _pooled(dataset, "y")
        case "multi_label":
            strata = label_strata(_pooled(dataset, "y"), folds)
        case _:
            strata = np.zeros(len(dataset.train) + len(dataset.validation), np.intp)
    counts = np.bincount(strata)
    if (counts < folds).any():
        label = int(counts.argmin())
        name = f"class '{dataset.classes[label]}'" if dataset.task == "classification" else "the data"
        raise DataError(
            f"cross-validation needs an example of each class in each fold, got {counts[label]} of {name} "
            f"for {folds} folds; use fewer folds or add examples"
        )
    return _parts(strata, folds, seed)


def _pooled(dataset: Dataset, axis: Literal["x", "y"]) -> Array:
    splits = (dataset.train, dataset.validation)
    return np.concatenate([np.asarray(getattr(split, axis)) for split in splits])


def _parts(strata: Array, folds: int, seed: int) -> Array:
    """Return the fold of each example; folds differ by at most one example of each stratum."""
    rng = np.random.default_rng(seed)
    part = np.empty(len(strata), np.intp)
    start = 0  # the next stratum starts where the last one ended, so that folds have equal sizes
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        part[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    return part
