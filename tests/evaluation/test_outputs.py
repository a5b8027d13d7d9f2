"""Qualities of the outputs of a file equal those of the answers from which an evaluation computes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from digit_jobs import digit_design, digit_job
from sklearn import metrics

from nas.architecture import Design
from nas.backends import compute_outputs, load_litert, trained_litert_bytes
from nas.data import Dataset, Split
from nas.errors import EvaluationError, InputError
from nas.evaluation import (
    Evaluator,
    answer_with,
    judge_outputs,
    quality_values,
    read_state,
    write_state,
)
from nas.evaluation.trainer import Trainer
from tests.exported_designs import GRAMMAR

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


def dataset_for(design: Design, task: str, count: int = 70) -> Dataset:
    rng = np.random.default_rng(1)
    architecture = design.architecture
    shape, classes = tuple(architecture.input_shape), architecture.classes
    ignored = {"ignore_label": 7} if task == "segmentation" else {}
    y = {
        "classification": rng.integers(0, classes, count),
        "multi_label": rng.integers(0, 2, (count, classes)),
        "regression": (rng.normal(size=(count, classes)) * 3 + 100).astype(np.float32),
        "segmentation": rng.choice([*range(classes), 7], (count, *shape[:2])),
    }[task]
    split = Split(rng.integers(0, 256, (count, *shape)).astype(np.uint8), y)
    names = tuple(map(str, range(classes)))
    return Dataset("noise", "noise", task, shape, names, split, split, None, **ignored)


@pytest.mark.parametrize("name", ["groups", "binary", "multi_label", "regression of a signal", "decoder"])
def test_answers_from_outputs_are_those_of_the_trainer(name, tmp_path):
    design = Design.from_dict(GRAMMAR[name])
    architecture = design.architecture
    task = "classification" if architecture.task == "binary" else architecture.task
    data = dataset_for(design, task)
    evaluator = Evaluator()
    trainer = evaluator._trainers.get(design, data)
    assert isinstance(trainer, Trainer)
    checkpoint = tmp_path / "checkpoint.npz"
    write_state(checkpoint, trainer.initial_state(seed=2))
    weights = list(read_state(checkpoint).weights)
    expected = evaluator.answer_split(design, checkpoint, data, data.validation)
    found = answer_with(
        lambda x: compute_outputs(architecture, weights, x), architecture.task, data, data.validation
    )
    assert type(found) is type(expected)
    values, others = quality_values(found), quality_values(expected)
    assert values == pytest.approx(others, rel=1e-3, abs=2e-3)  # an answer at the edge may differ
    assert values["val_loss"] == pytest.approx(others["val_loss"], rel=1e-4)


@pytest.mark.trains
def test_the_qualities_of_a_trial_are_those_of_its_file(evaluator, digits, tmp_path):
    design = digit_design()
    rung = evaluator.evaluate(digit_job(tmp_path / "rung", digits, design, epochs=1, precision="int8"))
    assert "float_accuracy" not in rung.values
    job = digit_job(tmp_path / "last", digits, design, epochs=4, is_last=True, precision="int8")
    found = evaluator.evaluate(job)
    plain = evaluator.evaluate(replace(job, folder=tmp_path / "plain", precision="float32"))
    assert found.values["float_accuracy"] == plain.values["accuracy"]
    assert found.values["val_loss"] != plain.values["val_loss"]
    assert found.seconds["file"] > 0 == plain.seconds["file"]
    data = Dataset.open(digits)
    weights = list(read_state(found.checkpoint).weights)
    content = trained_litert_bytes(design.architecture, weights, "int8", np.array(data.train.x[:200]))
    answers = answer_with(load_litert(content), "classification", data, data.validation)
    expected = quality_values(answers)
    assert {name: found.values[name] for name in expected} == expected
    assert np.array_equal(read_state(found.checkpoint).answers["predicted"], answers.predicted)


@pytest.mark.trains
def test_a_network_that_cannot_become_a_file_fails_by_its_own_fault(evaluator, digits, tmp_path, monkeypatch):
    import tensorflow as tf

    def refuse(*_):
        raise RuntimeError("error: no such operator")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", refuse, raising=False)
    job = digit_job(tmp_path, digits, digit_design(), epochs=1, is_last=True, precision="int8")
    with pytest.raises(EvaluationError, match="in int8: error: no such operator"):
        evaluator.evaluate(job)


def test_probabilities_that_integers_round_to_0_have_a_finite_loss():
    design = Design.from_dict(GRAMMAR["groups"])
    data = dataset_for(design, "classification", 4)
    answers = answer_with(lambda x: np.eye(4, dtype=np.float32)[: len(x)], "classification", data, data.train)
    assert np.isfinite(quality_values(answers)["val_loss"])
