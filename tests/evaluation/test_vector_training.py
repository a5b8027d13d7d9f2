"""Training for several labels and for numbers, compared with `fit` of the Keras model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from digit_jobs import digit_design, digit_job
from sklearn import metrics

from nas.backends import TargetScale, build_compiled_model, build_model, predict
from nas.data import Dataset, Split
from nas.errors import SpaceError
from nas.evaluation import constant_qualities, load_weights, read_state
from tests.evaluation.test_trainer import fit

pytestmark = pytest.mark.trains


def squares(count: int = 128, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, 6, 6, 1) and the brightness of their three pairs of rows, 0..1."""
    rng = np.random.default_rng(seed)
    levels = rng.random((count, 3))
    x = np.repeat(levels, 2, axis=1)[:, :, None, None] * 200 + rng.integers(0, 30, (count, 6, 6, 1))
    return x.astype(np.uint8), levels


def made(task: str, y: np.ndarray, x: np.ndarray) -> Dataset:
    names = tuple("abcdef"[: y.shape[1]])
    train, validation = Split(x[:96], y[:96]), Split(x[96:], y[96:])
    return Dataset("made", "made", task, (6, 6, 1), names, train, validation, validation)


@pytest.fixture
def labels() -> Dataset:
    x, levels = squares()
    return made("multi_label", (levels > [0.3, 0.5, 0.8]).astype(np.int32), x)


@pytest.fixture
def numbers() -> Dataset:
    x, levels = squares()
    return made("regression", (levels[:, :2] * [0.01, 3e4] + [0, 1e5]).astype(np.float32), x)


def design_for(dataset: Dataset, **training):
    return digit_design(training, task=dataset.task, input_shape=[6, 6, 1], classes=len(dataset.classes))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_curve_and_the_weights_of_several_labels_equal_those_of_fit(
    evaluator, labels, tmp_path, optimizer
):
    design, saved = design_for(labels, optimizer=optimizer), labels.save(tmp_path / "data")
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    model, rows = fit(design, labels, read_state(start.checkpoint).weights, epochs=2, eager=False)
    names = {"loss": "loss", "binary_accuracy": "label_accuracy", "val_loss": "val_loss"}
    for row, expected in zip(evaluation.curve, rows, strict=True):
        for name in names.keys() & expected.keys():
            tolerance = {"abs": 0.01} if "accuracy" in name else {"rel": 2e-4}
            assert row[names[name]] == pytest.approx(expected[name], **tolerance), name
    assert evaluation.curve[-1]["val_label_accuracy"] == pytest.approx(rows[-1]["val_accuracy"], abs=0.02)
    assert "accuracy" not in evaluation.curve[-1]
    for expected, found in zip(model.get_weights(), read_state(evaluation.checkpoint).weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max() + 2e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_curve_and_the_weights_of_regression_equal_those_of_fit_to_standardized_numbers(
    evaluator, numbers, tmp_path, optimizer
):
    design, saved = design_for(numbers, optimizer=optimizer), numbers.save(tmp_path / "data")
    scale = TargetScale.of(numbers.train.y)
    np.testing.assert_allclose(scale.means, numbers.train.y.mean(axis=0, dtype=float))
    np.testing.assert_allclose(scale.deviations, numbers.train.y.std(axis=0, dtype=float))
    parts = [
        Split(split.x, ((split.y - scale.means) / scale.deviations).astype(np.float32))
        for split in (numbers.train, numbers.validation)
    ]
    standardized = replace(numbers, train=parts[0], validation=parts[1])
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    assert 0.3 < start.values["val_loss"] < 30, "the first predictions are in the numbers' range"
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    weights = scale.unfold(read_state(start.checkpoint).weights)
    model, rows = fit(design, standardized, weights, epochs=2, eager=False)
    for row, expected in zip(evaluation.curve, rows, strict=True):
        for name in {"loss", "val_loss"} & expected.keys():
            assert row[name] == pytest.approx(expected[name], rel=5e-4), name
    folded = scale.fold(model.get_weights())
    for expected, found in zip(folded, read_state(evaluation.checkpoint).weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max() + 2e-4)


def test_qualities_of_several_labels_are_those_of_keras_outputs(evaluator, labels, tmp_path):
    design = design_for(labels, learning_rate=0.02, batch_size=8)
    job = digit_job(tmp_path, labels.save(tmp_path / "data"), design, epochs=8, full_epochs=8)
    evaluation = evaluator.evaluate(job)
    model = build_model(design.architecture)
    load_weights(model, evaluation.checkpoint)
    truth, outputs = labels.validation.y, predict(model, labels.validation.x)
    values = evaluation.values
    assert values["map"] == pytest.approx(metrics.average_precision_score(truth, outputs), abs=1e-4)
    assert values["macro_f1"] == pytest.approx(metrics.f1_score(truth, outputs > 0.5, average="macro"))
    assert values["label_accuracy"] == pytest.approx(np.mean((outputs > 0.5) == truth))
    guess = constant_qualities(labels)
    assert values["map"] > guess["map"] + 0.1
    assert values["val_loss"] < guess["val_loss"]
    compiled = build_compiled_model(design.architecture, design.training)
    compiled.set_weights(model.get_weights())
    loss, accuracy = compiled.evaluate(labels.validation.x, truth, verbose=0)
    assert values["val_loss"] == pytest.approx(loss, rel=1e-3)
    assert values["label_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    scores = evaluator.score_test_split(design, evaluation.checkpoint, labels)
    assert scores["test_map"] == values["map"]


def test_qualities_of_regression_are_those_of_keras_outputs_and_resuming_changes_nothing(
    evaluator, numbers, tmp_path
):
    design, saved = design_for(numbers, learning_rate=0.02, batch_size=8), numbers.save(tmp_path / "data")
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=8, full_epochs=8))
    model = build_model(design.architecture)
    load_weights(model, evaluation.checkpoint)
    truth, outputs = numbers.validation.y, predict(model, numbers.validation.x)
    values = evaluation.values
    assert values["r2"] == pytest.approx(metrics.r2_score(truth, outputs), abs=1e-3)
    assert values["mae"] == pytest.approx(metrics.mean_absolute_error(truth, outputs), rel=1e-3)
    assert values["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, outputs), rel=1e-3)
    assert values["r2"] > 0.5
    assert values["mae"] < constant_qualities(numbers)["mae"]
    assert "accuracy" not in evaluation.curve[-1]
    assert evaluation.curve[-1]["mae"] > 0
    first = evaluator.evaluate(digit_job(tmp_path / "first", saved, design, epochs=3, full_epochs=8))
    resumed = evaluator.evaluate(
        digit_job(tmp_path / "second", saved, design, epochs=8, full_epochs=8, resume=first.checkpoint)
    )
    assert resumed.values == evaluation.values


def test_a_network_of_another_task_is_refused(evaluator, labels, tmp_path):
    design = digit_design(input_shape=[6, 6, 1], classes=3)
    with pytest.raises(SpaceError, match="got task classification for data of multi_label"):
        evaluator.evaluate(digit_job(tmp_path, labels.save(tmp_path / "data"), design))
