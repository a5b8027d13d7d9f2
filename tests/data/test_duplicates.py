"""Byte-equal images in several splits or classes are reported, and dropped on request."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import examples, save_class_folders, save_images_and_masks, save_zip

from nas.data import DataOptions, Dataset, load_dataset


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
