"""Splits: stratified, disjoint and determined by the seed; and the numbering of the labels of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import examples, save_npz, shared_data, some_labels, some_pixels
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import DataOptions, load_dataset
from nas.data.source import Examples, Source
from nas.data.splits import split_examples
from nas.errors import DataError


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 60), min_size=2, max_size=8),
    validation=st.floats(0.01, 0.9),
    seed=st.integers(0, 5),
    limit=st.none() | st.integers(8, 100),
)
def test_every_split_has_every_class_and_splits_share_no_example(
    counts: list[int], validation: float, seed: int, limit: int | None
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    train = Examples(len(y), y, lambda indices: iter([(indices, None)]))
    source = Source("classification", tuple(map(str, range(len(counts)))), {"train": train}, (), y.dtype)
    parts = {name: indices for name, (_, indices) in split_examples(source, validation, seed, limit).items()}
    all_indices = np.concatenate(list(parts.values()))
    assert len(all_indices) == len(set(all_indices.tolist()))
    for indices in parts.values():
        assert set(y[indices].tolist()) == set(range(len(counts)))
    if limit is None:
        assert len(all_indices) == len(y)
    else:
        assert len(parts["train"]) <= max(limit, len(counts))
        available = len(y) - len(parts["test"]) - len(parts["validation"])
        assert len(parts["train"]) == min(limit, available)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), split_seed=st.integers(0, 5), classes=st.integers(2, 6))
def test_every_split_has_the_rarest_of_several_labels_and_splits_share_no_example(
    seed: int, split_seed: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random((60, classes)) < rng.uniform(0.05, 0.9, classes)).astype(np.int32)
    y[:3] = 1
    train = Examples(len(y), y, lambda indices: iter([(indices, None)]))
    source = Source("multi_label", tuple(map(str, range(classes))), {"train": train}, (), y.dtype)
    parts = {name: indices for name, (_, indices) in split_examples(source, 0.2, split_seed, None).items()}
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    rarest = y.sum(axis=0).argmin()
    for indices in parts.values():
        assert y[indices, rarest].any()


def test_labels_are_as_frequent_in_each_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.1, 0.02])
    y = (rng.random((1000, 3)) < shares).astype(int)
    data = load_dataset(save_npz(tmp_path, x_train=some_pixels(1000, 2, 2), y_train=y))
    assert data.test is not None
    for split in (data.train, data.validation, data.test):
        np.testing.assert_allclose(split.y.mean(axis=0)[1:], y.mean(axis=0)[1:], rtol=0.25)
    y[:, 2] = 0
    y[:2, 2] = 1
    with pytest.raises(DataError, match=r"at least 3 examples of each class.*got 2 of class '2'"):
        load_dataset(save_npz(tmp_path, x_train=some_pixels(1000, 2, 2), y_train=y))


def test_train_limit_is_exact_and_validation_keeps_its_share() -> None:
    options = DataOptions(validation=1 / 3, train_limit=10_000, image_size=14)
    fashion = load_dataset(shared_data("fashion_mnist.npz"), options)
    assert (len(fashion.train), len(fashion.validation)) == (10_000, 5_000)
    assert fashion.test is not None
    assert len(fashion.test) == 10_000
    assert fashion.shape == (14, 14, 1)
    np.testing.assert_array_equal(np.bincount(fashion.train.y), 1000)
    np.testing.assert_array_equal(np.bincount(fashion.validation.y), 500)


def test_a_seed_determines_the_splits_but_not_the_test_split(tmp_path: Path) -> None:
    source = save_npz(tmp_path, x_train=some_pixels(100, 4, 4), y_train=some_labels(100, 3))
    first, again, other = (
        load_dataset(source),
        load_dataset(source),
        load_dataset(source, DataOptions(split_seed=1)),
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert examples(first.validation) != examples(other.validation)
    assert first.test is not None
    assert other.test is not None
    assert examples(first.test) == examples(other.test)
    assert not examples(first.test) & (examples(other.train) | examples(other.validation))
    assert len(first.test) == 20


def test_an_existing_validation_split_is_kept(tmp_path: Path) -> None:
    source = save_npz(
        tmp_path,
        x_train=some_pixels(9, 4, 4), y_train=some_labels(9),
        x_val=some_pixels(5, 4, 4, seed=1), y_val=some_labels(5),
        x_test=some_pixels(4, 4, 4, seed=2), y_test=some_labels(4),
    )  # fmt: skip
    some = load_dataset(source, DataOptions(train_limit=4))
    assert some.test is not None
    assert [len(some.train), len(some.validation), len(some.test)] == [4, 5, 4]
    np.testing.assert_array_equal(some.validation.x[..., 0], some_pixels(5, 4, 4, seed=1))
