"""The shared small cases of folders that were read silently wrong."""

from __future__ import annotations

import pytest
from data_files import shared_case

from nas.data import DataOptions, Dataset, load_dataset

SHAPES = ("columns", "disc", "rows", "square")


def load(name: str) -> tuple[Dataset, int]:
    """Return a case and its number of examples."""
    data = load_dataset(shared_case(name), DataOptions(image_size=24))
    assert data.test is not None
    return data, len(data.train) + len(data.validation) + len(data.test)


@pytest.mark.parametrize("name", ["split_names_Training_Testing", "split_names_capital_Train_Test"])
def test_capital_names_of_splits(name: str) -> None:
    data, count = load(name)
    assert (data.task, data.classes, count) == ("classification", SHAPES, 84)
    assert data.test is not None
    assert data.count_classes(data.test).tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("name", ["masks_folder_named_labels", "masks_folder_named_annotations"])
def test_other_names_of_masks(name: str) -> None:
    data, count = load(name)
    assert (data.task, count) == ("segmentation", 30)


def test_suffixes_that_are_not_those_of_the_content() -> None:
    data, count = load("unread_suffixes")
    assert (data.classes, count) == (("disc", "square"), 60)


def test_a_truncated_file_is_skipped_with_a_count() -> None:
    data, count = load("corrupt")
    assert (data.classes, count) == (("disc", "square"), 29)
    assert any("1 of 30 images" in text and "disc/3.png" in text for text in data.warnings)
