"""Channels first or last, images or signals: recognized, said, and refused where doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_refused, save_npz, shared_case, some_labels, some_pixels

from nas.data import DataOptions, Dataset, load_dataset


def loaded(folder: Path, x: np.ndarray, y: np.ndarray | None = None, **options: Any) -> Dataset:
    y = some_labels(len(x)) if y is None else y
    return load_dataset(save_npz(folder, x_train=x, y_train=y, x_test=x, y_test=y), DataOptions(**options))


@pytest.mark.parametrize(
    "shape", [(2, 24, 24), (4, 24, 24), (1, 24, 24), (3, 32, 48), (13, 24, 24), (13, 24, 30)]
)
def test_images_with_the_channels_first_are_recognized(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = some_pixels(10, *shape)
    data = loaded(tmp_path, x)
    assert data.shape == (*shape[1:], shape[0])
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x, np.moveaxis(x, 1, -1))
    assert any("channels first" in note and str(x.shape) in note for note in data.notes)


def test_the_shared_case_has_its_channels_moved() -> None:
    data = load_dataset(shared_case("npz_channels_first_2"))
    assert data.shape == (24, 24, 2)
    assert any("channels first" in note for note in data.notes)


@pytest.mark.parametrize(
    "shape", [(24, 24, 2), (24, 24, 13), (32, 48, 3), (24, 30, 13), (24, 24, 24), (4, 4, 3)]
)
def test_channels_that_are_last_stay(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = loaded(tmp_path, some_pixels(10, *shape))
    assert data.shape == shape
    assert not any("channels first" in note for note in data.notes)


@pytest.mark.parametrize("shape", [(3, 32, 3), (1, 28, 1), (2, 30, 8), (24, 30, 24), (5, 3, 3)])
def test_doubtful_images_are_refused_unless_an_option_says_what_they_are(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    x = some_pixels(10, *shape)
    assert_refused(
        save_npz(tmp_path, x_train=x, y_train=some_labels(10)), "--axes channels_last .*channels_first"
    )
    assert loaded(tmp_path, x, axes="channels_last").shape == shape
    assert loaded(tmp_path, x, axes="channels_first").shape == (*shape[1:], shape[0])


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_signals_with_the_channels_first_are_recognized(tmp_path: Path, dtype: type) -> None:
    x = np.random.default_rng(0).normal(0, 20, (10, 3, 128)).astype(dtype)
    data = loaded(tmp_path, x)
    assert data.shape == (128, 3)
    assert data.test is not None
    low, high = data.feeding.value_range
    expected = np.moveaxis(x, 1, -1)
    if data.rescale:
        expected = (expected - low) * (255 / (high - low))
    np.testing.assert_allclose(data.test.x, expected, atol=1e-3)
    assert any("signals of length 128 with 3 channels first" in note for note in data.notes)
    assert loaded(tmp_path, np.moveaxis(x, 1, -1)).shape == (128, 3)
    assert loaded(tmp_path, x, axes="channels_last").shape == (3, 128)


def test_three_axes_that_may_be_images_or_signals_are_refused(tmp_path: Path) -> None:
    x = some_pixels(10, 24, 32) / 255
    assert_refused(
        save_npz(tmp_path, x_train=x, y_train=some_labels(10)), "signals, or .* grey images.*--axes"
    )
    assert loaded(tmp_path, x, axes="channels_last").shape == (24, 32)
    assert loaded(tmp_path, x[..., None]).shape == (24, 32, 1)


@pytest.mark.parametrize("shape", [(12, 1000), (6, 64), (3, 20)])
def test_integers_with_a_sign_are_signals_as_floating_point_numbers_are(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    x = (np.random.default_rng(0).normal(size=(10, *shape)) * 1000).astype(np.int16)
    assert loaded(tmp_path, x).shape == shape[::-1]
    assert loaded(tmp_path, np.moveaxis(x, 1, -1)).shape == shape[::-1]


def test_integers_of_very_different_axes_are_not_taken_for_images(tmp_path: Path) -> None:
    x = some_pixels(10, 12, 1000).astype(np.uint16)
    assert_refused(save_npz(tmp_path, x_train=x, y_train=some_labels(10)), "may be either.*--axes")
    assert loaded(tmp_path, x, axes="channels_first").shape == (1000, 12)
    signed = some_pixels(10, 24, 32).astype(np.int16) - 100
    assert_refused(save_npz(tmp_path, x_train=signed, y_train=some_labels(10)), "may be either.*--axes")
    assert loaded(tmp_path, some_pixels(10, 24, 32).astype(np.int64)).shape == (24, 32, 1)


def test_masks_say_where_the_channels_are(tmp_path: Path) -> None:
    masks = some_pixels(10, 6, 3) % 2
    data = loaded(tmp_path, some_pixels(10, 3, 6, 3), masks)
    assert data.shape == (6, 3, 3)
    assert data.task == "segmentation"
    assert loaded(tmp_path, some_pixels(10, 3, 24, 24), some_pixels(10, 1, 24, 24) % 2).shape == (24, 24, 3)


def test_splits_may_differ_in_colour_as_images_in_folders(tmp_path: Path) -> None:
    grey, colour = some_pixels(10, 24, 24), some_pixels(10, 24, 24, 3)
    y = some_labels(10)
    data = load_dataset(save_npz(tmp_path, x_train=grey, y_train=y, x_test=colour, y_test=y))
    assert data.shape == (24, 24, 3)
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x, colour)
    assert (data.train.x[..., 0] == data.train.x[..., 2]).all()
