"""Qualities of the outputs of a file equal those of the answers from which an evaluation computes them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from nas.data import Dataset, Split
from nas.errors import InputError
from nas.evaluation import judge_outputs

RNG = np.random.default_rng(0)


def dataset(task: str, y: np.ndarray, classes: int, ignore_label: int | None = None) -> Dataset:
    split = Split(np.zeros((len(y), 4, 4, 1), np.uint8), y)
    names = tuple(f"c{n}" for n in range(classes))
    return Dataset("made", "made", task, (4, 4, 1), names, split, split, split, ignore_label)


def test_classes_by_the_greatest_output():
    y = RNG.integers(0, 3, 50)
    outputs = RNG.normal(size=(50, 3)).astype(np.float32)
    data = dataset("classification", y, 3)
    found = judge_outputs(outputs, data, data.test)
    assert found["accuracy"] == np.mean(outputs.argmax(axis=1) == y)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(y, outputs.argmax(axis=1), average="macro"))
    assert found["accuracy_se"] > 0
    assert "loss" not in found


@pytest.mark.parametrize("kind", ["two probabilities", "one probability", "one logit"])
def test_two_classes_by_one_or_two_outputs(kind):
    y = RNG.integers(0, 2, 60)
    probability = RNG.uniform(size=60)
    columns = {
        "two probabilities": np.stack([1 - probability, probability], axis=1),
        "one probability": probability[:, None],
        "one logit": np.log(probability / (1 - probability))[:, None],
    }
    data = dataset("classification", y, 2)
    found = judge_outputs(columns[kind].astype(np.float32), data, data.test)
    assert found["accuracy"] == np.mean((probability > 0.5) == y)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, probability))


@pytest.mark.parametrize("are_logits", [False, True])
def test_labels_by_probability_or_logit(are_logits):
    y = RNG.integers(0, 2, (40, 3)).astype(np.int32)
    probabilities = RNG.uniform(0.01, 0.99, (40, 3))
    outputs = np.log(probabilities / (1 - probabilities)) if are_logits else probabilities
    data = dataset("multi_label", y, 3)
    found = judge_outputs(outputs.astype(np.float32), data, data.test)
    assert found["label_accuracy"] == np.mean((probabilities > 0.5) == y)
    assert found["map"] == pytest.approx(metrics.average_precision_score(y, probabilities), abs=1e-6)


def test_numbers_as_they_are():
    y = RNG.normal(size=(30, 2)).astype(np.float32)
    data = dataset("regression", y, 2)
    assert judge_outputs(y + 0.5, data, data.test)["mae"] == pytest.approx(0.5, abs=1e-6)


def test_pixels_without_the_ignored_ones():
    y = RNG.integers(0, 3, (6, 4, 4)).astype(np.uint8)
    outputs = RNG.normal(size=(6, 4, 4, 3)).astype(np.float32)
    y[:, 0] = 255
    data = dataset("segmentation", y, 3, ignore_label=255)
    found = judge_outputs(outputs, data, data.test)
    counted = y != 255
    predicted = outputs.argmax(axis=-1)
    assert found["accuracy"] == pytest.approx(np.mean(predicted[counted] == y[counted]))
    expected = metrics.jaccard_score(y[counted], predicted[counted], average="macro")
    assert found["mean_iou"] == pytest.approx(expected)


def test_other_numbers_of_outputs_are_refused():
    data = dataset("classification", RNG.integers(0, 3, 9), 3)
    with pytest.raises(InputError, match="an output for each of the 3 classes, got 4"):
        judge_outputs(np.zeros((9, 4), np.float32), data, data.test)
    with pytest.raises(InputError, match=r"the shape \[3\] for this data, got \[2, 3\]"):
        judge_outputs(np.zeros((9, 2, 3), np.float32), data, data.test)
