"""What a report shows of answers, for each task."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reported_search import dataset

from nas.data import Split
from nas.report import ExampleImages, answers_data
from nas.report.answers_data import MAX_IMAGES


@pytest.fixture
def images():
    return ExampleImages(dataset(), dataset().validation)


def test_the_worst_errors_come_first_with_their_images(images):
    truth = np.asarray(dataset().validation.y)
    predicted, losses = truth.copy(), np.zeros(len(truth))
    predicted[[5, 9]] = (truth[[5, 9]] + 1) % 10
    losses[[5, 9]] = 1.0, 7.0
    data = answers_data({"predicted": predicted, "losses": losses}, dataset(), dataset().validation, images)
    assert np.trace(data["confusion"]) == len(truth) - 2
    assert np.sum(data["confusion"]) == len(truth)
    assert [error[1:] for error in data["errors"]] == [
        [str(truth[i]), str((truth[i] + 1) % 10)] for i in (9, 5)
    ]
    kind, _, encoded = images.sources[data["errors"][0][0]].partition(",")
    assert kind == "data:image/webp;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"), float)
    assert np.abs(picture - np.asarray(dataset().validation.x[9])[..., 0]).mean() < 25


def test_an_image_is_encoded_once_and_their_number_is_bounded(images):
    assert images.place(3) == images.place(3) == 0
    for index in range(MAX_IMAGES + 20):
        images.place(index)
    assert len(images.sources) == MAX_IMAGES
    assert images.place(3) == 0
    assert images.place(MAX_IMAGES + 10) is None


def test_answers_to_other_examples_are_left_out(images):
    few = {"predicted": np.zeros(3, int), "losses": np.zeros(3)}
    assert answers_data(few, dataset(), dataset().validation, images) == {}
    assert answers_data({}, dataset(), dataset().validation, images) == {}


def test_the_other_tasks(images):
    x = np.asarray(dataset().validation.x[:4])
    losses = np.array([0.1, 3.0, 0.2, 0.3])
    y = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    several = replace(dataset(), task="multi_label", classes=("cat", "dog"))
    predicted = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], bool)
    data = answers_data({"predicted": predicted, "losses": losses}, several, Split(x, y), images)
    assert data["labels"]["rows"] == [["cat", 2, 1.0, 0.5], ["dog", 2, pytest.approx(2 / 3), 1.0]]
    assert [error[1:] for error in data["errors"]] == [["cat, dog", "dog"], ["none", "dog"]]
    numbers = replace(dataset(), task="regression", classes=("age",))
    ages = np.array([[1.0], [2.0], [3.0], [4.0]])
    data = answers_data({"predicted": ages + 0.5, "losses": losses}, numbers, Split(x, ages), images)
    assert data["numbers"] == [{"name": "age", "truth": [1, 2, 3, 4], "predicted": [1.5, 2.5, 3.5, 4.5]}]
    assert next(error[1:] for error in data["errors"]) == ["2", "2.5"]
    masks = replace(dataset(), task="segmentation", classes=("road", "sky"))
    sums = {"intersections": np.array([1, 3]), "unions": np.array([2, 4])}
    data = answers_data(sums, masks, Split(x, np.zeros((4, 16, 16))), images)
    assert data["labels"]["rows"] == [["road", 0.5], ["sky", 0.75]]
