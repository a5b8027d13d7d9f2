"""What `nas data` and the start of a search say about a data set, and the picture of its examples."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import Dataset, Split
from nas.report import data_lines, describe_data, draw_contact_sheet
from nas.report.segmentation_pictures import class_colours


def dataset(task: str, x: np.ndarray, y: np.ndarray, classes: tuple[str, ...], **values: Any) -> Dataset:
    parts = [Split(x[start::3], y[start::3]) for start in range(3)]
    return Dataset("some", "some.npz", task, x.shape[1:], classes, *parts, **values)


def images(count: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 12, channels)).astype(np.uint8)


def of_two_classes(share: float, count: int = 600) -> Dataset:
    y = np.zeros(count, np.int32)
    y[: round(share * count)] = 1
    return dataset("classification", images(count), np.random.default_rng(0).permutation(y), ("no", "yes"))


def test_classes_are_described() -> None:
    data = of_two_classes(0.5)
    found = describe_data(data)
    assert found["task"] == "classification"
    assert found["classes"] == ["no", "yes"]
    assert found["examples"] == {"train": 200, "validation": 200, "test": 200}
    counts = found["counts"]["train"]
    assert (counts["no"], counts["yes"]) == ((data.train.y == 0).sum(), (data.train.y == 1).sum())
    assert (found["shape"], found["dtype"], found["range"]) == ([8, 12, 3], "uint8", [0.0, 255.0])
    validation = data.validation.y
    most = max(np.mean(validation == 0), np.mean(validation == 1))
    assert found["constant_answer"]["accuracy"] == pytest.approx(most)
    assert found["warnings"] == []
    lines = data_lines(data)
    assert lines[0] == "Data some: classification of 2 classes"
    assert "200 train, 200 validation, 200 test, each 8x12x3 of uint8, values 0 to 255" in lines[1]


def test_doubts_are_warnings() -> None:
    uneven = describe_data(of_two_classes(0.05))["warnings"]
    assert len(uneven) == 1
    start = "Class no has 187 training examples, class yes only 13: a constant prediction is 93.5% accurate"
    assert uneven[0].startswith(start)
    few = describe_data(of_two_classes(0.5, 90))["warnings"]
    assert few == [
        "The validation split has 30 examples: the standard error of an accuracy of 90% is 5.5%; "
        "cross-validation (--folds) validates each example once."
    ]
    told = dataset(
        "classification",
        images(600),
        np.arange(600, dtype=np.int32) % 2,
        ("no", "yes"),
        notes=("Folder Training is the training split.",),
        warnings=("3 files are no images.",),
    )
    assert describe_data(told)["notes"] == ["Folder Training is the training split."]
    assert "  inferred    Folder Training is the training split." in data_lines(told)
    assert "  warning     3 files are no images." in data_lines(told)


def test_numbers_labels_and_masks_are_described() -> None:
    rng = np.random.default_rng(0)
    numbers = dataset(
        "regression", images(600), rng.uniform(-1, 5, (600, 2)).astype(np.float32), ("age", "size")
    )
    found = describe_data(numbers)
    assert set(found["numbers"]["train"]) == {"age", "size"}
    assert -1 <= found["numbers"]["train"]["age"]["least"] < 0
    assert "counts" not in found
    assert found["constant_answer"]["r2"] == pytest.approx(0, abs=0.02)
    assert data_lines(numbers)[2].startswith("  numbers     age: -0.9")
    masks = np.zeros((600, 8, 12), np.uint8)
    masks[:, :2] = 1
    masks[:, 7] = 255
    segmented = dataset("segmentation", images(600), masks, ("sky", "road"), ignore_label=255)
    assert describe_data(segmented)["counts"]["train"] == {"sky": 200 * 5 * 12, "road": 200 * 2 * 12}
    assert data_lines(segmented)[2] == "  labels      sky: 71.4%, road: 28.6%, in the training split"


def test_many_classes_are_cut_in_text_but_not_in_data() -> None:
    names = tuple(f"c{n}" for n in range(40))
    data = dataset("classification", images(240), np.repeat(np.arange(40), 6).astype(np.int32), names)
    assert len(describe_data(data)["counts"]["train"]) == 40
    assert data_lines(data)[2].endswith("c9: 2, ..., c39: 2, in the training split")


def opened(data: Dataset, count: int = 48) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw_contact_sheet(data, count))).convert("RGB"))


def test_a_contact_sheet_shows_examples_of_each_class() -> None:
    x = np.zeros((600, 8, 8, 3), np.uint8)
    y = np.repeat([0, 1, 2], 200).astype(np.int32)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    x[:] = colours[y][:, None, None]
    sheet = opened(dataset("classification", x, y, ("red", "green", "blue")), 24)
    found, pixels = np.unique(sheet.reshape(-1, 3), axis=0, return_counts=True)
    shown = {tuple(colour): count for colour, count in zip(found.tolist(), pixels.tolist(), strict=True)}
    assert [shown[tuple(colour)] for colour in colours.tolist()] == [8 * 112 * 112] * 3


def test_a_contact_sheet_shows_masks_below_their_images() -> None:
    masks = np.zeros((90, 8, 8), np.uint8)
    masks[:, :4] = 1
    masks[:, 7] = 255
    x = np.full((90, 8, 8, 1), 200, np.uint8)
    sheet = opened(dataset("segmentation", x, masks, ("sky", "road"), ignore_label=255), 1)
    sky, road = class_colours(2).tolist()
    column = sheet[6 : 6 + 112, 6 + 20]  # 16 rows of 7 pixels
    assert column[10].tolist() == [200, 200, 200]
    assert [column[row].tolist() for row in (60, 90, 110)] == [road, sky, [0, 0, 0]]


@pytest.mark.parametrize(
    ("task", "x", "y", "classes"),
    [
        ("regression", images(90), np.linspace(0, 1, 90, dtype=np.float32)[:, None], ("age",)),
        ("multi_label", images(90), np.tile([[1, 0, 1]], (90, 1)), ("a", "b", "c")),
        ("classification", np.random.default_rng(0).normal(size=(90, 200, 3)).astype(np.float32),
         np.arange(90, dtype=np.int32) % 3, ("a", "b", "c")),
    ],
    ids=["numbers", "labels", "signals"],
)  # fmt: skip
def test_other_tasks_and_signals_are_drawn(
    task: str, x: np.ndarray, y: np.ndarray, classes: tuple[str, ...]
) -> None:
    from nas.data.feeding import Feeding

    sheet = opened(dataset(task, x, y, classes, feeding=Feeding(rescale=x.dtype == np.uint8)), 16)
    assert sheet.shape == (2 * (112 + 16 + 6) + 6, 8 * 118 + 6, 3)
    assert (sheet[6:118, 6:118] < 255).any(axis=-1).mean() > 0.002
