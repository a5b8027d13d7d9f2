"""How values are fed is inferred from the values, not from their type."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, save_npz, shared_case, some_labels, some_pixels
from PIL import Image

from nas.data import DataOptions, Dataset, load_dataset


def loaded(
    folder: Path, x: np.ndarray, x_test: np.ndarray | None = None, image_size: int | None = None
) -> Dataset:
    x_test = x if x_test is None else x_test
    arrays = {
        "x_train": x,
        "y_train": some_labels(len(x)),
        "x_test": x_test,
        "y_test": some_labels(len(x_test)),
    }
    return load_dataset(save_npz(folder, **arrays), DataOptions(image_size=image_size))


def doubts(data: Dataset) -> list[str]:
    """Return the warnings without those about examples that the test split repeats."""
    return [warning for warning in data.warnings if "drop-duplicates" not in warning]


def test_floating_point_images_from_0_to_255_are_divided_by_255(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8).astype(np.float32)
    for data in (loaded(tmp_path, x), load_dataset(shared_case("npz_float_0_255"))):
        assert data.rescale
        assert data.train.x.dtype == np.float32
        assert data.train.x.max() == 255
        assert data.feeding.value_range == (0, 255)
        assert any("divides by 255" in note for note in data.notes)
        assert not doubts(data)


def test_uint8_images_of_0_and_1_are_not_divided(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8) // 128
    for data in (loaded(tmp_path, x), load_dataset(shared_case("npz_uint8_0_1")), loaded(tmp_path, x == 1)):
        assert not data.rescale
        assert data.train.x.dtype == np.uint8
        assert data.feeding.value_range == (0, 1)
        assert any("fed as they are" in note for note in data.notes)
    resized = loaded(tmp_path, x, image_size=5)
    assert resized.train.x.dtype == np.float32, "0 and 1 have values between when they are resized"
    assert len(np.unique(resized.train.x)) > 2


@pytest.mark.parametrize(
    ("scale", "rescale"),
    [(lambda x: x / 255, False), (lambda x: (x - 128) / 64, False), (lambda x: x / 127.5 - 1, False)],
)
def test_scaled_values_are_fed_as_they_are(tmp_path: Path, scale: object, rescale: bool) -> None:
    x = scale(some_pixels(20, 8, 8).astype(np.float64))  # type: ignore[operator]
    data = loaded(tmp_path, x)
    assert data.rescale == rescale
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x[..., 0], x.astype(np.float32))
    assert not doubts(data)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
@pytest.mark.parametrize(("low", "high"), [(0, 4095), (0, 65535), (-1024, 3071)])
def test_other_ranges_are_mapped_to_0_to_255_without_loss(
    tmp_path: Path, dtype: type, low: int, high: int
) -> None:
    if low < 0 and dtype is np.uint16:
        pytest.skip("unsigned")
    x = np.linspace(low, high, 20 * 8 * 8).round().astype(dtype).reshape(20, 8, 8)
    data = loaded(tmp_path, x)
    assert data.rescale
    assert data.feeding.value_range == (low, high)
    assert data.test is not None
    assert (data.test.x.min(), data.test.x.max()) == (0, 255)
    restored = data.test.x[..., 0].astype(np.float64) / 255 * (high - low) + low
    np.testing.assert_allclose(restored, x, atol=(high - low) * 1e-6)
    assert len(np.unique(data.test.x)) == len(np.unique(x))
    assert any(f"mapped from {low}..{high} to 0..255" in note for note in data.notes)
    assert bool(doubts(data)) == (low < 0)


@pytest.mark.parametrize("high", [1.5, 16.0])
def test_doubtful_values_are_warned_of(tmp_path: Path, high: float) -> None:
    data = loaded(tmp_path, some_pixels(20, 8, 8) * (high / 255))
    assert not data.rescale
    assert any("neither 0..1 nor 0..255" in warning for warning in data.warnings)


def test_values_that_are_all_equal_are_warned_of(tmp_path: Path) -> None:
    data = loaded(tmp_path, np.zeros((20, 8, 8), np.uint8))
    assert any("nothing to learn" in warning for warning in data.warnings)


def test_splits_of_different_ranges_are_refused_or_warned_of(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8).astype(np.float32)
    for x_train, x_test in (
        (x / 255, x),
        (x, x / 255),
        ((x / 255).round().astype(np.uint8), x.astype(np.uint8)),
    ):
        source = save_npz(
            tmp_path, x_train=x_train, y_train=some_labels(20), x_test=x_test, y_test=some_labels(20)
        )
        assert_refused(source, "one range, got .* in x_train and .* in x_test; scale both")
    data = loaded(tmp_path, (x - 128) / 64, x / 255)
    assert any("ranges of splits differ" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(16, np.uint16), (4, np.uint16), (0.25, np.float32), (4, np.float32)]
)
def test_splits_of_other_depths_or_types_are_refused(tmp_path: Path, scale: float, dtype: type) -> None:
    x, y = some_pixels(20, 8, 8), some_labels(20)
    source = save_npz(tmp_path, x_train=x, y_train=y, x_test=(x * np.float64(scale)).astype(dtype), y_test=y)
    assert_refused(source, "one range, got .* in x_train and .* in x_test; scale both")


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_splits_of_one_type_and_different_ranges_are_warned_of(tmp_path: Path, scale: float) -> None:
    x = some_pixels(20, 8, 8).astype(np.float32)
    assert any("ranges of splits differ" in warning for warning in loaded(tmp_path, x, x * scale).warnings)
    assert not any("differ" in warning for warning in loaded(tmp_path, x, x * 0.6).warnings)
    signed = x - 128
    assert any("ranges of splits differ" in text for text in loaded(tmp_path, signed, signed * 4).warnings)


def test_images_of_two_scales_in_one_split_are_warned_of(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8).astype(np.float32)
    half, most, few = x.copy(), x.copy(), x.copy()
    half[:10] /= 255
    most[1:] /= 255
    few[:] *= np.linspace(0.1, 1, 20)[:, None, None]
    few[3] = 0
    for mixed, counts in (
        (half, "10 have values up to 1 and 10 up to 2"),
        (most, "19 have .* and 1 up to 2"),
    ):
        warnings = " ".join(loaded(tmp_path, mixed).warnings)
        assert re.search(f"images of x_train have different scales: {counts}", warnings)
    bits = x.astype(np.uint16)
    bits[::2] *= 257
    assert any("10 have values up to 25" in warning for warning in loaded(tmp_path, bits).warnings)
    assert not any("scales" in warning for warning in loaded(tmp_path, few).warnings), "dark images"


def test_one_split_may_hold_integers_and_another_floating_point_numbers(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8)
    data = loaded(tmp_path, x, x.astype(np.float64))
    assert data.rescale
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x[..., 0], x)


def save_deep(folder: Path, hot: int = 0, brightness: int = 1) -> str:
    """Save 20 images of 12 bits in two classes: the first ones have a pixel of 65535, one is brighter."""
    for number in range(20):
        values = some_pixels(20, 24, 24)[number].reshape(24, 24).astype(np.uint16) * 16
        values *= brightness if number == 3 else 1
        if number < hot:
            values[0, 0] = 65535
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    return str(folder)


def test_single_faulty_pixels_do_not_make_all_images_dark(tmp_path: Path) -> None:
    clean, data = (load_dataset(save_deep(tmp_path / str(hot), hot)) for hot in (0, 3))
    assert not clean.warnings
    assert data.feeding.value_range == pytest.approx(clean.feeding.value_range, rel=0.01)
    (warning,) = data.warnings
    assert "3 of 20 images have single pixels far outside" in warning
    assert "up to 0..65535, which are cut to the range of the others" in warning
    assert data.train.x.mean() == pytest.approx(clean.train.x.mean(), rel=0.02)


def test_extreme_values_in_most_images_are_kept_with_a_warning(tmp_path: Path) -> None:
    data = load_dataset(save_deep(tmp_path, hot=20))
    assert data.feeding.value_range[1] == 65535
    assert "20 of 20 images have a few pixels far outside" in data.warnings[0]


def test_one_image_of_a_larger_scale_is_a_doubt(tmp_path: Path) -> None:
    (warning,) = load_dataset(save_deep(tmp_path, brightness=16)).warnings
    assert warning.startswith("Half of the images have values up to 4080 only, of 0..65280")
