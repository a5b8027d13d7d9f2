"""Equal images, and rows of arrays, in several splits or classes are reported, and dropped on request."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    examples,
    save_class_folders,
    save_images_and_masks,
    save_npz,
    save_zip,
    some_labels,
    some_pixels,
)

from nas.data import DataOptions, Dataset, load_dataset
from nas.errors import DataError


def load(folder: Path, kind: str, drop: bool) -> Dataset:
    source = save_zip(folder, folder.with_suffix(".zip")) if kind == "zip" else str(folder)
    return load_dataset(source, DataOptions(drop_duplicates=drop))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_copies_in_two_splits_are_reported_and_kept_in_the_test_split(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    save_class_folders(folder / "train", ("cat", "dog"), count=8)
    for number in range(3):
        (folder / "test" / "cat").mkdir(parents=True, exist_ok=True)
        (folder / "test" / "dog").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "train" / "cat" / f"{number}.png", folder / "test" / "cat" / f"copy{number}.png")
    shutil.copy(folder / "train" / "dog" / "0.png", folder / "test" / "cat" / "wrong.png")
    (folder / "train" / "dog" / "0.png").rename(folder / "train" / "dog" / "00.png")
    data = load(folder, kind, drop=False)
    warnings = " ".join(data.warnings)
    assert "8 files hold 4 images in more than one split, such as" in warnings
    assert "2 files hold 1 image with different classes, such as" in warnings
    assert data.test is not None
    assert examples(data.test) <= examples(data.train) | examples(data.validation)
    dropped = load(folder, kind, drop=True)
    assert dropped.test is not None
    assert len(dropped.test) == 4
    assert len(dropped.train) + len(dropped.validation) == 16 - 4
    assert not examples(dropped.test) & (examples(dropped.train) | examples(dropped.validation))
    assert "the test split keeps them" in " ".join(dropped.warnings)


def test_repeated_images_are_a_warning_where_a_split_is_taken_from_them(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "some", count=6)
    for number in range(2):
        shutil.copy(tmp_path / "some" / "cat" / "0.png", tmp_path / "some" / "cat" / f"copy{number}.png")
    data = load(tmp_path / "some", "folder", drop=False)
    assert any(text.startswith("2 images repeat another one") for text in data.warnings)
    dropped = load(tmp_path / "some", "folder", drop=True)
    assert "2 images repeat another one of their split and class and are dropped." in dropped.notes
    assert dropped.test is not None
    assert len(dropped.train) + len(dropped.validation) + len(dropped.test) == 12


def test_equal_images_with_different_masks_are_reported(tmp_path: Path) -> None:
    folder = save_images_and_masks(tmp_path / "some")
    shutil.copy(folder / "images" / "0.png", folder / "images" / "1.png")
    shutil.copy(folder / "images" / "2.png", folder / "images" / "3.png")
    shutil.copy(folder / "masks" / "2.png", folder / "masks" / "3.png")
    warnings = load(folder, "folder", drop=False).warnings
    assert any("2 files hold 1 image with different masks" in text for text in warnings)
    assert any("1 images repeat another one" in text for text in warnings)


def test_images_of_equal_size_are_no_duplicates(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(6):
            values = np.full((5, 6), 40 * number + (7 if label == "cat" else 11), np.uint8)
            (tmp_path / label / f"{number}.pgm").write_bytes(b"P5 6 5 255\n" + values.tobytes())
    warnings = load_dataset(str(tmp_path), DataOptions(drop_duplicates=True)).warnings
    assert ["contrast" in warning for warning in warnings] == [True], "plain images, but no duplicates"


def test_equal_rows_in_two_splits_are_reported_and_kept_in_the_test_split(tmp_path: Path) -> None:
    x, y = some_pixels(20, 8, 8), some_labels(20)
    x_test = np.concatenate([some_pixels(4, 8, 8, seed=1), x[[3, 5]]]).astype(np.float32)
    y_test = np.array([0, 1, 0, 1, y[3], 1 - y[5]])
    source = save_npz(tmp_path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    warnings = " ".join(load_dataset(source).warnings)
    assert "4 rows hold 2 examples in more than one split, such as x_train[3] and x_test[4]" in warnings
    assert "2 rows hold 1 example with different labels, such as x_train[5] and x_test[5]" in warnings
    data = load_dataset(source, DataOptions(drop_duplicates=True))
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x[..., 0], x_test)
    np.testing.assert_array_equal(data.test.y, y_test)
    assert len(data.train) + len(data.validation) == 18
    assert not examples(data.test) & (examples(data.train) | examples(data.validation))
    label_of = {image.astype(np.float32).tobytes(): label for image, label in zip(x, y, strict=True)}
    for image, label in zip(data.train.x, data.train.y, strict=True):
        assert label_of[image.tobytes()] == label
    everything = save_npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="got none in x_train but duplicates; add some"):
        load_dataset(everything, DataOptions(drop_duplicates=True))


def test_repeated_rows_are_a_warning_where_a_split_is_taken_from_them(tmp_path: Path) -> None:
    x, masks = some_pixels(16, 6, 7, 3), some_pixels(16, 6, 7, seed=1) % 2
    x[10:12], masks[10] = x[:2], masks[0]
    source = save_npz(tmp_path, x=x, y=masks)
    warnings = " ".join(load_dataset(source).warnings)
    assert "1 examples repeat another one of their split and mask, such as x[10]" in warnings
    assert "2 rows hold 1 example with different masks, such as x[1] and x[11]" in warnings
    data = load_dataset(source, DataOptions(drop_duplicates=True))
    assert data.test is not None
    splits = (data.train, data.validation, data.test)
    assert sum(map(len, splits)) == 14
    mask_of = {image.tobytes(): mask for image, mask in zip(x[:10], masks[:10], strict=True)}
    for split in splits:
        for image, mask in zip(split.x, split.y, strict=True):
            np.testing.assert_array_equal(mask, mask_of.get(image.tobytes(), mask))


def test_large_arrays_are_compared_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.duplicates.MAX_ROWS", 19)
    x = some_pixels(20, 8, 8)
    x[7] = x[3]
    source = save_npz(tmp_path, x=x, y=some_labels(20))
    data = load_dataset(source)
    assert not any("repeat" in text for text in (*data.warnings, *data.notes))
    assert any("without --drop-duplicates" in note for note in data.notes)
    dropped = load_dataset(source, DataOptions(drop_duplicates=True))
    assert "1 examples repeat another one of their split and label and are dropped." in dropped.notes
