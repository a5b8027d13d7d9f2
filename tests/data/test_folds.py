"""The folds of cross-validation: disjoint, stratified, determined by the seed."""

from __future__ import annotations

import numpy as np
import pytest

from nas.data import Dataset, Split, check_folds, select_fold
from nas.errors import DataError


def dataset(y: np.ndarray, task: str = "classification") -> Dataset:
    x = np.arange(len(y), dtype=np.float32)[:, None, None]  # an example is its number
    cut = len(y) * 4 // 5
    train, validation = Split(x[:cut], y[:cut]), Split(x[cut:], y[cut:])
    return Dataset("d", "d", task, (1, 1), ("a", "b", "c"), train, validation, Split(x[:2], y[:2]))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_example_is_validated_in_one_fold(folds: int) -> None:
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 30, 11]))
    found = [select_fold(dataset(y), fold, folds, seed=4) for fold in range(folds)]
    assert len(found) == folds
    numbers = [fold.validation.x.ravel().astype(int) for fold in found]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(len(y)))
    sizes = [len(part) for part in numbers]
    assert max(sizes) - min(sizes) <= 1
    for fold, part in zip(found, numbers, strict=True):
        assert sorted([*fold.train.x.ravel().astype(int), *part]) == list(range(len(y)))
        for split in (fold.train, fold.validation):
            np.testing.assert_array_equal(split.y, y[split.x.ravel().astype(int)])
        counts = np.bincount(fold.validation.y, minlength=3)
        assert (abs(counts - np.array([50, 30, 11]) / folds) < 1).all()
        assert fold.test is not None
        assert len(fold.test) == 2


def test_a_rare_label_is_in_each_fold() -> None:
    y = (np.random.default_rng(0).random((100, 3)) < [0.5, 0.5, 0.0]).astype(np.int32)
    y[:4, 2] = 1
    for number in range(4):
        fold = select_fold(dataset(y, "multi_label"), number, 4)
        assert fold.validation.y[:, 2].sum() == 1
        assert len(fold.validation) == 25


def test_folds_depend_on_the_seed_alone() -> None:
    data = dataset(np.arange(60) % 3)
    first, again, other = (select_fold(data, 0, 3, seed).validation.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(np.sort(first, axis=0), np.sort(other, axis=0))


def test_one_fold_is_the_data_set_itself() -> None:
    data = dataset(np.arange(60) % 3)
    assert select_fold(data, 0, 1) is data


def test_numbers_are_split_without_strata() -> None:
    data = dataset(np.linspace(0, 1, 20, dtype=np.float32), "regression")
    assert [len(select_fold(data, fold, 5).validation) for fold in range(5)] == [4] * 5


def test_more_folds_than_examples_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match="each class in each fold, got 3 of class 'c' for 4 folds; use fewer"):
        check_folds(dataset(np.repeat([0, 1, 2], [9, 9, 3])), 4)
