"""Training, compared with `fit` of the Keras model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from digit_jobs import digit_design, digit_job
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from nas.architecture import Design
from nas.backends import build_compiled_model, build_model, predict
from nas.data import Dataset, Split
from nas.evaluation import load_weights, read_state
from nas.evaluation.augmentation import augment
from nas.tensorflow_imports import import_keras

pytestmark = pytest.mark.trains


def fit(design, dataset, weights, *, epochs, schedule=None, eager=True, **options):
    """Train with `fit` on the batches of a job with seed 3; return the model and its metrics by epoch.

    After the last epoch, as in a job, the model gets the average of the weights after each of its steps, the
    statistics of the whole training data, and is validated.
    """
    model = build_compiled_model(design.architecture, design.training)
    model.set_weights(weights)
    if schedule is not None:
        model.optimizer.learning_rate = schedule
    model.run_eagerly = eager
    rows, steps = [], []
    train, validation = dataset.train, dataset.validation
    keep = import_keras().callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(model.get_weights())
    )
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([3, epoch]).permutation(len(train))
        history = model.fit(
            train.x[order],
            train.y[order],
            batch_size=design.training.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[keep] if epoch == epochs else [],
            **options,
        )
        rows.append({name: value[0] for name, value in history.history.items()})
    model.set_weights([np.mean(values, axis=0) for values in zip(*steps, strict=True)])
    assert len(train) <= 256  # all examples are used for the statistics, in one batch
    for layer in model.layers:
        layer.momentum = 0.0  # moving statistics become those of the batch
    model(train.x.astype(np.float32), training=True)
    loss, accuracy = model.evaluate(validation.x, validation.y, verbose=0)
    rows[-1] |= {"val_loss": loss, "val_accuracy": accuracy}
    return model, rows


def assert_curves_equal(curve, rows, rtol=2e-4):
    assert len(curve) == len(rows) > 0
    for row, expected in zip(curve, rows, strict=True):
        assert ("val_loss" in expected) == ("val_loss" in row)
        for name, value in expected.items():
            tolerance = {"abs": 0.03} if "accuracy" in name else {"rel": rtol}
            assert row[name] == pytest.approx(value, **tolerance)


@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.05, "learning_rate": 0.005},
        {"optimizer": "sgd", "learning_rate": 0.02},
        {"optimizer": "sgd", "weight_decay": 0.1, "learning_rate": 0.02},
        {"optimizer": "rmsprop", "learning_rate": 0.001},
        {"optimizer": "adam", "schedule": "cosine"},
    ],
    ids=lambda training: "-".join(str(value) for value in training.values()),
)
def test_the_loss_curve_equals_that_of_fit(evaluator, digits, tmp_path, training):
    design, dataset = digit_design(training), Dataset.open(digits)
    start = evaluator.evaluate(digit_job(tmp_path / "start", digits, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, digits, design, epochs=2, full_epochs=4))
    schedule = None
    if training.get("schedule") == "cosine":
        steps = 4 * -(-len(dataset.train) // 64)
        schedules = import_keras().optimizers.schedules
        schedule = schedules.CosineDecay(design.training.learning_rate, steps)
    weights = read_state(start.checkpoint).weights
    model, rows = fit(design, dataset, weights, epochs=2, schedule=schedule)
    assert_curves_equal(evaluation.curve, rows)
    for expected, found in zip(model.get_weights(), read_state(evaluation.checkpoint).weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max() + 2e-4)


def test_the_loss_curve_of_a_binary_network_equals_that_of_a_traced_fit(evaluator, tmp_path):
    rng = np.random.default_rng(0)
    y = (np.arange(96) % 2).astype(np.int32)
    x = (rng.integers(0, 120, (96, 6, 6, 3)) + 90 * y[:, None, None, None]).astype(np.uint8)
    split = Split(x, y)
    dataset = Dataset("two", "two", "classification", (6, 6, 3), ("0", "1"), split, split, None)
    saved = dataset.save(tmp_path / "data")
    design = digit_design(task="binary", input_shape=[6, 6, 3], classes=2)
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    _, rows = fit(design, dataset, read_state(start.checkpoint).weights, epochs=2, eager=False)
    assert_curves_equal(evaluation.curve, rows)
    assert evaluation.values["accuracy"] == evaluation.curve[-1]["val_accuracy"]


@pytest.mark.parametrize("task", ["classification", "binary"])
def test_balanced_class_weights_equal_those_of_fit(evaluator, tmp_path, task):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [80, 16]).astype(np.int32)
    x = (rng.integers(0, 120, (96, 6, 6, 3)) + 90 * y[:, None, None, None]).astype(np.uint8)
    split = Split(x, y)
    dataset = Dataset("two", "two", "classification", (6, 6, 3), ("0", "1"), split, split, None)
    saved = dataset.save(tmp_path / "data")
    options = {"task": task, "input_shape": [6, 6, 3], "classes": 2}
    plain, design = digit_design(**options), digit_design({"class_weight": "balanced"}, **options)
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    balanced = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    weights = read_state(start.checkpoint).weights
    _, rows = fit(design, dataset, weights, epochs=2, eager=False, class_weight=dict(enumerate(balanced)))
    assert_curves_equal(evaluation.curve, rows)
    unweighted = evaluator.evaluate(digit_job(tmp_path / "plain", saved, plain, epochs=2))
    assert unweighted.curve[1]["loss"] != pytest.approx(rows[1]["loss"], rel=0.02)
    assert plain.architecture.id == design.architecture.id
    assert plain.key != design.key


@pytest.mark.parametrize("task", ["classification", "binary"])
def test_the_qualities_of_two_classes_are_those_of_keras_outputs(evaluator, tmp_path, task):
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [150, 50]).astype(np.int32)
    x = (rng.integers(0, 200, (200, 6, 6, 1)) + 8 * y[:, None, None, None]).astype(np.uint8)
    split = Split(x, y)
    dataset = Dataset("two", "two", "classification", (6, 6, 1), ("a", "b"), split, split, split)
    design = digit_design(task=task, input_shape=[6, 6, 1], classes=2)
    job = digit_job(tmp_path, dataset.save(tmp_path / "data"), design, epochs=1)
    evaluation = evaluator.evaluate(job)
    model = build_model(design.architecture)
    load_weights(model, evaluation.checkpoint)
    probability = predict(model, x)[:, -1].astype(float)
    predicted = (probability > 0.5).astype(int)
    values = evaluation.values
    assert values["auc"] == pytest.approx(metrics.roc_auc_score(y, probability), abs=1e-4)
    assert values["val_loss"] == pytest.approx(metrics.log_loss(y, probability), rel=1e-4)
    assert values["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, predicted))
    assert values["macro_f1"] == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    share = (200 * values["accuracy"] + 1) / 202  # 100 % of few examples is not exact
    assert values["accuracy_se"] == pytest.approx(np.sqrt(share * (1 - share) / 200))
    assert 0 < values["auc_se"] < 0.1
    assert evaluation.curve[-1]["val_macro_f1"] == values["macro_f1"]
    answers = evaluator.answer_split(design, evaluation.checkpoint, dataset, dataset.validation)
    assert np.array_equal(answers.predicted, predicted)


def two_classes(folder):
    """Return a data set of images of two classes, and its saved folder."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [80, 16]).astype(np.int32)
    x = (rng.integers(0, 120, (96, 6, 6, 3)) + 90 * y[:, None, None, None]).astype(np.uint8)
    dataset = Dataset("two", "two", "classification", (6, 6, 3), ("0", "1"), Split(x, y), Split(x, y), None)
    return dataset, dataset.save(folder / "data")


@pytest.mark.parametrize("task", ["classification", "binary"])
def test_label_smoothing_equals_that_of_fit_and_not_in_validation(evaluator, tmp_path, task):
    dataset, saved = two_classes(tmp_path)
    training = {"label_smoothing": 0.2, "class_weight": "balanced"}
    design = digit_design(training, task=task, input_shape=[6, 6, 3], classes=2)
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    train = Split(dataset.train.x, dataset.train.y if task == "binary" else np.eye(2)[dataset.train.y])
    soft = replace(dataset, train=train, validation=train)
    weights = dict(enumerate(compute_class_weight("balanced", classes=np.array([0, 1]), y=dataset.train.y)))
    first = read_state(start.checkpoint).weights
    model, rows = fit(design, soft, first, epochs=2, eager=False, class_weight=weights)
    truth = dataset.train.y[:, None] == np.arange(2)[None, :]
    probabilities = predict(model, dataset.train.x).astype(float)
    if task == "binary":
        probabilities = np.hstack([1 - probabilities, probabilities])
    smoothed, rows[-1]["val_loss"] = rows[-1]["val_loss"], -np.log(probabilities[truth]).mean()
    assert_curves_equal(evaluation.curve, rows)
    assert evaluation.values["val_loss"] != pytest.approx(smoothed, rel=0.01)


@pytest.mark.parametrize("task", ["classification", "binary"])
def test_training_with_all_augmentation_equals_fit_of_the_same_batches(evaluator, tmp_path, task):
    dataset, saved = two_classes(tmp_path)
    changes = {"flip": True, "crop": 1, "rotation": 0.1, "contrast": 0.3, "brightness": 0.2, "cutout": 0.3}
    soft = {"mixup": 0.5, "label_smoothing": 0.1, "class_weight": "balanced"}
    options = {"task": task, "input_shape": [6, 6, 3], "classes": 2}
    design, plain = digit_design({**changes, **soft}, **options), digit_design(soft, **options)
    start = evaluator.evaluate(digit_job(tmp_path / "start", saved, design, epochs=0))
    evaluation = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=2))
    model = build_compiled_model(plain.architecture, plain.training)
    model.set_weights(read_state(start.checkpoint).weights)
    by_class = compute_class_weight("balanced", classes=np.array([0, 1]), y=dataset.train.y)

    def batches(epoch):
        rng = np.random.default_rng([3, epoch])
        order = rng.permutation(96)
        for chosen in (order[:64], order[64:]):
            x, y, mixture = augment(design, dataset.train.x[chosen], dataset.train.y[chosen], rng)
            own, labels = mixture.shares[:, None], np.eye(2, dtype=np.float32)
            mixed = own * labels[y] + (1 - own) * labels[mixture.labels]
            yield x, mixed[:, 1:] if task == "binary" else mixed, mixed @ by_class

    for row, epoch in zip(evaluation.curve, (1, 2), strict=True):
        history = model.fit(batches(epoch), steps_per_epoch=2, shuffle=False, verbose=0).history
        assert row["loss"] == pytest.approx(history["loss"][0], rel=2e-4)
        if task == "classification":
            assert row["accuracy"] == pytest.approx(history["accuracy"][0], abs=0.03)


def test_a_resumed_training_draws_the_same_changes(evaluator, digits, tmp_path):
    training = {"flip": True, "zoom": 0.2, "cutout": 0.3, "contrast": 0.3, "mixup": 0.4}
    design = digit_design(training)
    whole = evaluator.evaluate(digit_job(tmp_path / "whole", digits, design, epochs=2))
    first = evaluator.evaluate(digit_job(tmp_path / "first", digits, design, epochs=1))
    rest = evaluator.evaluate(digit_job(tmp_path / "rest", digits, design, epochs=2, resume=first.checkpoint))
    assert rest.curve[0]["loss"] == pytest.approx(whole.curve[1]["loss"], rel=1e-5)


def test_dropout_and_augmentation_act_in_training(evaluator, digits, tmp_path):
    designs = [digit_design(), digit_design(head={"dropout": 0.5}), digit_design({"rotation": 0.1})]
    jobs = [
        digit_job(tmp_path / str(number), digits, design, epochs=1) for number, design in enumerate(designs)
    ]
    assert len({round(evaluator.evaluate(job).curve[0]["loss"], 3) for job in jobs}) == 3


def test_frozen_normalization_keeps_its_weights_and_uses_its_statistics(evaluator, digits, tmp_path):
    design = digit_design({"optimizer": "adamw", "weight_decay": 0.1})
    start = evaluator.evaluate(digit_job(tmp_path / "start", digits, design, epochs=1))
    tuned = evaluator.evaluate(
        digit_job(tmp_path / "tuned", digits, design, epochs=2, resume=start.checkpoint, freeze_norm=True)
    )
    before, after = read_state(start.checkpoint), read_state(tuned.checkpoint)
    for name, old, new in zip(before.names, before.weights, after.weights, strict=True):
        assert np.array_equal(old, new) == ("_norm/" in name), name
    model = build_compiled_model(design.architecture, design.training)
    for layer in model.layers:
        layer.trainable = "_norm" not in layer.name
    model.compile(model.optimizer, model.loss, run_eagerly=True)
    model.set_weights(before.weights)
    dataset = Dataset.open(digits)
    order = np.random.default_rng([3, 2]).permutation(len(dataset.train))
    history = model.fit(
        dataset.train.x[order], dataset.train.y[order], batch_size=64, shuffle=False, verbose=0
    )
    assert tuned.curve[0]["loss"] == pytest.approx(history.history["loss"][0], rel=2e-4)


@pytest.mark.parametrize(
    "augmentation",
    [
        {},
        {"flip": True, "crop": 1, "rotation": 0.05, "brightness": 0.2, "cutout": 0.2, "label_smoothing": 0.1},
    ],
    ids=["plain", "augmented"],
)
def test_segmentation_leaves_out_ignored_pixels_and_its_mean_iou_equals_keras(
    evaluator, tmp_path, augmentation
):
    keras_metrics = import_keras().metrics
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (20, 8, 12)).astype(np.uint8)
    x = (60 * y[..., None] + rng.integers(0, 60, (20, 8, 12, 1))).astype(np.uint8)
    y[rng.random(y.shape) < 0.3] = 255
    split = Split(x, y)
    dataset = Dataset("m", "m", "segmentation", (8, 12, 1), ("a", "b", "c", "d"), split, split, split, 255)
    design = Design.from_dict(
        {
            "task": "segmentation",
            "input_shape": [8, 12, 1],
            "classes": 4,
            "stages": [{"width": 8, "shrink": "strided", "normalization": "between"}],
            "training": {"batch_size": 8, "learning_rate": 0.02, **augmentation},
        }
    )
    job = digit_job(tmp_path, dataset.save(tmp_path / "data"), design, epochs=4, full_epochs=4)
    evaluation = evaluator.evaluate(job)
    model = build_model(design.architecture)
    load_weights(model, evaluation.checkpoint)
    outputs = predict(model, x, 6)
    accuracy = keras_metrics.SparseCategoricalAccuracy()
    accuracy.update_state(y[y < 255], outputs[y < 255])
    assert evaluation.curve[-1]["val_accuracy"] == pytest.approx(float(accuracy.result()), abs=1e-6)
    iou = keras_metrics.MeanIoU(4, ignore_class=255, sparse_y_pred=False)
    iou.update_state(y, outputs)
    assert evaluation.values["mean_iou"] == pytest.approx(float(iou.result()), abs=1e-6)
    losses = -np.log(np.take_along_axis(outputs[y < 255], y[y < 255][:, None].astype(int), 1))
    assert evaluation.values["val_loss"] == pytest.approx(float(losses.mean()), rel=1e-3)
    assert evaluation.curve[-1]["loss"] < evaluation.curve[0]["loss"]
    assert 0 < evaluation.values["mean_iou_se"] < 0.2
    scores = evaluator.score_test_split(design, evaluation.checkpoint, dataset)
    assert scores["test_mean_iou"] == pytest.approx(evaluation.values["mean_iou"])


def test_signals_train(evaluator, tmp_path):
    y = (np.arange(60) % 3).astype(np.int32)
    x = np.sin(np.arange(20)[None, :, None] * (y[:, None, None] + 1.0)).astype(np.float32)
    split = Split(x, y)
    dataset = Dataset("s", "s", "classification", (20, 1), ("0", "1", "2"), split, split, None)
    saved = dataset.save(tmp_path / "data")
    training = {"batch_size": 8, "learning_rate": 0.01}
    design = digit_design(training, input_shape=[20, 1], classes=3, rescale=False)
    curve = evaluator.evaluate(digit_job(tmp_path, saved, design, epochs=6)).curve
    assert curve[-1]["accuracy"] > 0.9
