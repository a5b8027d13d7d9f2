import json
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import nas.evaluation.job as module
from nas.architecture import NORM_MOMENTUM, Architecture, Design, Training
from nas.architecture.layers import Kind
from nas.backends import (
    ForwardMode,
    build_compiled_model,
    build_model,
    forward,
    initial_weights,
    weight_specs,
)
from nas.backends import tensorflow_ops as _forward
from nas.data import DataOptions, Dataset, Split, load_dataset
from nas.errors import EvaluationError, RunError, SpaceError
from nas.evaluation import (
    Job,
    State,
    evaluate,
    load_tensorflow,
    load_weights,
    predict,
    read_state,
    write_state,
)
from nas.evaluation import score_test_split as values_on_test
from nas.evaluation.augmentation import augmented, transforms


@pytest.fixture(scope="module")
def keras():
    load_tensorflow()
    import keras

    return keras


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_dataset("digits", DataOptions(image_size=8, train_limit=150)).save(
        tmp_path_factory.mktemp("digits") / "data"
    )


def design(training=None, **changes):
    data = {
        "input_shape": [8, 8, 1],
        "classes": 10,
        "stem": {"width": 6, "normalization": "between", "bias": False},
        "stages": [
            {"width": 8, "conv": "separable", "convs": 2, "normalization": "before", "residual": "projection",
             "shrink": "max_pool", "pool_size": 3},
            {"width": 10, "conv": "standard", "normalization": "after", "activation": "silu"},
        ],
        "training": {"batch_size": 64, **(training or {})},
    }  # fmt: skip
    return Design.from_dict({**data, **changes})


def job(folder, dataset, chosen, **options):
    options = {"epochs": 2, "full_epochs": 4, "seed": 3, **options}
    return Job(chosen, dataset, folder=folder, **options)


# ---- the network: the same as Keras'


def _stage(pick):
    return {
        "width": pick(4, 6, 8),
        "convs": pick(1, 1, 2),
        "conv": pick("standard", "separable", "depthwise_pointwise", "inverted_bottleneck"),
        "kernel_size": pick(1, 3, 5),
        "dilation": pick(1, 1, 2),
        "groups": pick(1, 1, 1, 2),
        "depth_multiplier": pick(1, 2),
        "expansion": pick(1, 2),
        "padding": pick("same", "valid"),
        "bias": pick(True, False),
        "normalization": pick("none", "before", "between", "after"),
        "activation": pick("none", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_silu",
                           "tanh"),
        "residual": pick("none", "identity", "projection"),
        "shortcut_bias": pick(True, False),
        "squeeze_excitation": pick(0.0, 0.0, 0.5),
        "shrink": pick("none", "max_pool", "average_pool", "strided"),
        "pool_size": pick(2, 3),
        "dropout": pick(0.0, 0.2),
    }  # fmt: skip


def _drawn(rng, kind):
    def pick(*values):
        return values[int(rng.integers(len(values)))]

    data = {
        "task": "classification" if kind == "signal" else kind,
        "classes": 2 if kind == "binary" else 3,
        "input_shape": [pick(16, 19), 2] if kind == "signal" else [pick(11, 12), pick(10, 13), pick(1, 3)],
        "rescale": pick(True, False),
        "stages": [_stage(pick) for _ in range(pick(1, 2))],
        "head": {"pooling": pick("global_average", "global_max", "flatten"), "dense": pick([], [5])},
    }
    if pick(True, False):
        data["stem"] = {"width": 5, "stride": pick(1, 2), "normalization": pick("none", "between", "after")}
    if kind == "segmentation":
        for part in data["stages"]:
            part |= {"padding": "same", "shrink": pick("max_pool", "strided")}
        data["head"] = {"kernel_size": pick(1, 3)}
        data["decoder"] = {
            "upsample": pick("transposed", "interpolated"),
            "conv": pick("standard", "separable"),
            "convs": pick(1, 2),
            "normalization": pick("none", "between", "after"),
            "skip": pick("none", "add", "concat"),
        }
    return Architecture.from_dict(data)


def _randomized(listed, rng):
    """Give weights of which none has the value that it starts with."""
    return [
        value + rng.uniform(0.0 if weight.is_statistic else -0.1, 0.2, value.shape).astype(np.float32)
        for weight, value in zip(listed, initial_weights(listed, 0), strict=True)
    ]


def _tensors(listed, values):
    import tensorflow as tf

    return {
        weight.name: tf.constant(value[None] if value.ndim == 3 else value)
        for weight, value in zip(listed, values, strict=True)
    }


def _outputs(architecture, logits):
    import tensorflow as tf

    return tf.sigmoid(logits) if architecture.task == "binary" else tf.nn.softmax(logits)


def test_a_hundred_networks_compute_what_their_keras_models_compute(keras):
    rng = np.random.default_rng(0)
    kinds, functions = Counter(), Counter()
    for number in range(100):
        kind = ("classification", "segmentation", "signal", "binary")[number % 4]
        architecture = _drawn(rng, kind)
        kinds.update(layer.kind for layer in architecture.layers)
        functions.update(layer.function for layer in architecture.layers)
        model = build_model(architecture)
        listed = weight_specs(architecture.layers)
        assert [weight.name for weight in listed] == [weight.path for weight in model.weights]
        assert [weight.shape for weight in listed] == [tuple(weight.shape) for weight in model.weights]
        assert [not weight.is_statistic for weight in listed] == [w.trainable for w in model.weights]
        values = _randomized(listed, rng)
        model.set_weights(values)
        scale = 255 if architecture.rescale else 1
        x = (rng.random((3, *architecture.input_shape)) * scale).astype(np.float32)
        logits, _ = forward(architecture.layers, _tensors(listed, values), x, ForwardMode(training=False))
        np.testing.assert_allclose(
            _outputs(architecture, logits),
            model(x, training=False),
            rtol=1e-3,
            atol=1e-4,
            err_msg=architecture.to_yaml(),
        )
    assert set(kinds) == set(get_args(Kind))
    assert {"relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_silu", "tanh"} <= set(
        functions
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("shape", "window", "stride", "multiplier"),
    [
        ((9, 8, 3), (5, 5), 1, 1), ((9, 8, 3), (5, 5), 2, 1), ((9, 8, 3), (7, 7), 1, 2),
        ((8, 9, 2), (4, 4), 1, 1), ((7, 7, 2), (6, 6), 2, 2),
        ((1, 12, 3), (1, 5), 1, 1), ((1, 12, 3), (1, 8), 2, 1),
    ],
)  # fmt: skip
def test_gradients_of_wide_depthwise_kernels_are_those_of_tensorflow(
    keras, shape, window, stride, multiplier, padding
):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, *shape)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(*window, shape[-1], multiplier)).astype(np.float32))
    found = []
    for convolve in (
        lambda: _forward._wide_depthwise(x, kernel, stride, padding),
        lambda: tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolve()
            loss = tf.reduce_sum(y * tf.sin(tf.range(tf.size(y), dtype=tf.float32)).numpy().reshape(y.shape))
        found.append([y, *tape.gradient(loss, [x, kernel])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gradients_and_moving_statistics_are_those_of_keras(keras):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    for number in range(12):
        drawn = _drawn(rng, ("classification", "segmentation", "signal", "binary")[number % 4])
        stages = tuple(part.model_copy(update={"dropout": 0.0}) for part in drawn.stages)
        architecture = drawn._with({"stages": stages})
        model = build_model(architecture)
        listed = weight_specs(architecture.layers)
        values = _randomized(listed, rng)
        model.set_weights(values)
        x = rng.random((3, *architecture.input_shape)).astype(np.float32)
        with tf.GradientTape() as tape:
            expected = model(x, training=True)
            weighing = rng.normal(size=expected.shape).astype(np.float32)
            loss = tf.reduce_sum(expected * weighing)
        wanted = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        named = _tensors(listed, values)
        with tf.GradientTape() as tape:
            tape.watch(named)
            logits, statistics = forward(architecture.layers, named, x, ForwardMode(training=True))
            loss = tf.reduce_sum(_outputs(architecture, logits) * weighing)
        found = tape.gradient(loss, named)
        largest = max(float(np.abs(gradient).max()) for gradient in wanted)
        for weight, gradient in zip(model.trainable_weights, wanted, strict=True):
            ours = np.reshape(found[weight.path], gradient.shape)
            np.testing.assert_allclose(
                ours, gradient, atol=1e-3 * largest, err_msg=f"{weight.path} of {architecture.to_yaml()}"
            )
        moved = dict(zip([weight.path for weight in model.weights], model.get_weights(), strict=True))
        for weight, value in zip(listed, values, strict=True):
            if weight.is_statistic:
                seen, pixels = statistics[weight.name]
                biased = np.array(seen) * (1 - 1 / (pixels * len(x)) if pixels else 1.0)
                keeps = NORM_MOMENTUM
                np.testing.assert_allclose(
                    value * keeps + biased * (1 - keeps), moved[weight.name], rtol=1e-4, atol=1e-5
                )


# ---- the training: the same as fit's


def _fit(keras, chosen, dataset, weights, *, epochs, schedule=None, eager=True):
    """Train with Keras' fit in the order in which a job with seed 3 trains; give its history."""
    model = build_compiled_model(chosen.architecture, chosen.training)
    model.set_weights(weights)
    if schedule is not None:
        model.optimizer.learning_rate = schedule
    model.run_eagerly = eager
    rows = []
    train, held = dataset.train, dataset.validation
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([3, epoch]).permutation(len(train))
        history = model.fit(
            train.x[order],
            train.y[order],
            batch_size=chosen.training.batch_size,
            shuffle=False,
            verbose=0,
            validation_data=(held.x, held.y),
        )
        rows.append({name: value[0] for name, value in history.history.items()})
    return model, rows


def _same_curves(curve, rows, rtol=2e-4):
    assert len(curve) == len(rows) > 0
    for ours, theirs in zip(curve, rows, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=rtol)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=rtol)
        assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.011)
        assert ours["val_accuracy"] == pytest.approx(theirs["val_accuracy"], abs=0.03)


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
def test_the_loss_curve_is_that_of_fit(keras, digits, tmp_path, training):
    chosen, dataset = design(training), Dataset.open(digits)
    start = evaluate(job(tmp_path / "start", digits, chosen, epochs=0))
    ours = evaluate(job(tmp_path, digits, chosen, epochs=2, full_epochs=4))
    schedule = None
    if training.get("schedule") == "cosine":
        steps = 4 * -(-len(dataset.train) // 64)
        schedule = keras.optimizers.schedules.CosineDecay(chosen.training.learning_rate, steps)
    weights = read_state(start.checkpoint).weights
    model, rows = _fit(keras, chosen, dataset, weights, epochs=2, schedule=schedule)
    _same_curves(ours.curve, rows)
    for theirs, found in zip(model.get_weights(), read_state(ours.checkpoint).weights, strict=True):
        np.testing.assert_allclose(found, theirs, atol=2e-3 * np.abs(theirs).max() + 2e-4)


def test_a_compiled_fit_of_a_binary_network_gives_the_same_curve(keras, tmp_path):
    rng = np.random.default_rng(0)
    y = (np.arange(96) % 2).astype(np.int32)
    x = (rng.integers(0, 120, (96, 6, 6, 3)) + 90 * y[:, None, None, None]).astype(np.uint8)
    split = Split(x, y)
    dataset = Dataset("two", "two", "classification", (6, 6, 3), ("0", "1"), split, split, None)
    saved = dataset.save(tmp_path / "data")
    chosen = design(task="binary", input_shape=[6, 6, 3], classes=2)
    start = evaluate(job(tmp_path / "start", saved, chosen, epochs=0))
    ours = evaluate(job(tmp_path, saved, chosen, epochs=3))
    _, rows = _fit(keras, chosen, dataset, read_state(start.checkpoint).weights, epochs=3, eager=False)
    _same_curves(ours.curve, rows)
    assert ours.values["accuracy"] == ours.curve[-1]["val_accuracy"]


# ---- going on, and equal seeds


NOISY = {"flip": True, "rotation": 0.05, "zoom": 0.1, "schedule": "cosine", "optimizer": "adamw"}


@pytest.mark.parametrize("held", [True, False], ids=["trainer held", "trainer gone"])
def test_going_on_from_a_checkpoint_is_as_if_never_interrupted(digits, tmp_path, held):
    chosen = design(NOISY, head={"dropout": 0.3})
    whole = evaluate(job(tmp_path / "whole", digits, chosen, epochs=3))
    first = evaluate(job(tmp_path / "first", digits, chosen, epochs=1))
    if not held:
        module._trainers.clear()
    rest = evaluate(job(tmp_path / "rest", digits, chosen, epochs=3, resume=first.checkpoint))
    assert (rest.seconds["trace"] == 0) == held
    assert [row["epoch"] for row in rest.curve] == [2, 3]
    losses = [row["val_loss"] for row in (*first.curve, *rest.curve)]
    assert losses == pytest.approx([row["val_loss"] for row in whole.curve], rel=1e-5)
    one, other = read_state(whole.checkpoint), read_state(rest.checkpoint)
    assert (one.steps, one.epochs, one.names) == (other.steps, other.epochs, other.names)
    for a, b in zip((*one.weights, *one.slots), (*other.weights, *other.slots), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_equal_seeds_give_equal_results_and_others_do_not(digits, tmp_path):
    chosen = design({**NOISY, "schedule": "constant"}, head={"dropout": 0.3})
    losses = [
        evaluate(job(tmp_path / str(number), digits, chosen, epochs=1, seed=seed)).values["loss"]
        for number, seed in enumerate((5, 5, 6))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_dropout_and_augmentation_act_in_training(digits, tmp_path):
    plain = evaluate(job(tmp_path / "a", digits, design(), epochs=1)).curve[0]
    dropped = evaluate(job(tmp_path / "b", digits, design(head={"dropout": 0.5}), epochs=1)).curve[0]
    changed = evaluate(job(tmp_path / "c", digits, design({"rotation": 0.1}), epochs=1)).curve[0]
    assert len({round(row["loss"], 3) for row in (plain, dropped, changed)}) == 3


def test_a_frozen_norm_keeps_its_weights_and_is_run_at_inference(keras, digits, tmp_path):
    chosen = design({"optimizer": "adamw", "weight_decay": 0.1})
    start = evaluate(job(tmp_path / "start", digits, chosen, epochs=1))
    tuned = evaluate(
        job(tmp_path / "tuned", digits, chosen, epochs=2, resume=start.checkpoint, freeze_norm=True)
    )
    before, after = read_state(start.checkpoint), read_state(tuned.checkpoint)
    for name, old, new in zip(before.names, before.weights, after.weights, strict=True):
        assert np.array_equal(old, new) == ("_norm/" in name), name
    model = build_compiled_model(chosen.architecture, chosen.training)
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


# ---- segmentation


def test_segmentation_counts_no_ignored_pixel_and_its_mean_iou_is_keras_own(keras, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (20, 8, 12)).astype(np.uint8)
    x = (60 * y[..., None] + rng.integers(0, 60, (20, 8, 12, 1))).astype(np.uint8)
    y[rng.random(y.shape) < 0.3] = 255
    split = Split(x, y)
    dataset = Dataset("m", "m", "segmentation", (8, 12, 1), ("a", "b", "c", "d"), split, split, split, 255)
    chosen = Design.from_dict(
        {
            "task": "segmentation",
            "input_shape": [8, 12, 1],
            "classes": 4,
            "stages": [{"width": 8, "shrink": "strided", "normalization": "between"}],
            "training": {"batch_size": 8, "learning_rate": 0.02},
        }
    )
    ours = evaluate(job(tmp_path, dataset.save(tmp_path / "data"), chosen, epochs=4, full_epochs=4))
    model = build_model(chosen.architecture)
    load_weights(model, ours.checkpoint)
    outputs = predict(model, x, 6)
    metric = keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(y[y < 255], outputs[y < 255])
    assert ours.curve[-1]["val_accuracy"] == pytest.approx(float(metric.result()), abs=1e-6)
    iou = keras.metrics.MeanIoU(4, ignore_class=255, sparse_y_pred=False)
    iou.update_state(y, outputs)
    assert ours.values["mean_iou"] == pytest.approx(float(iou.result()), abs=1e-6)
    losses = -np.log(np.take_along_axis(outputs[y < 255], y[y < 255][:, None].astype(int), 1))
    assert ours.values["val_loss"] == pytest.approx(float(losses.mean()), rel=1e-3)
    assert ours.curve[-1]["loss"] < ours.curve[0]["loss"]
    tested = values_on_test(chosen, ours.checkpoint, dataset)
    assert tested["test_mean_iou"] == pytest.approx(ours.values["mean_iou"])


# ---- augmentation


def test_a_flip_turns_about_half_of_the_images(keras):
    rng = np.random.default_rng(0)
    x = rng.random((40, 6, 5, 2)).astype(np.float32)
    images = np.array(augmented(x, transforms(Training(flip=True), 40, (6, 5), rng)))
    flipped = np.array([np.allclose(image, old[:, ::-1]) for image, old in zip(images, x, strict=True)])
    assert 8 < flipped.sum() < 32
    np.testing.assert_allclose(images[~flipped], x[~flipped], atol=1e-5)


def test_rotation_and_zoom_are_those_of_scipy(keras):
    from scipy.ndimage import affine_transform

    x = np.random.default_rng(0).random((30, 9, 12, 1)).astype(np.float32)
    change = transforms(Training(rotation=0.2, zoom=0.3), 30, (9, 12), np.random.default_rng(1))
    images = np.array(augmented(x, change))
    scales, turns = [], []
    for old, new, (a0, a1, a2, b0, b1, b2, *_) in zip(x, images, change, strict=True):
        wanted = affine_transform(
            old[..., 0], [[b1, b0], [a1, a0]], (b2, a2), order=1, mode="reflect", prefilter=False
        )
        inside = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(new[..., 0][inside], wanted[inside], atol=1e-3)
        scales.append(np.hypot(a0, b0))
        turns.append(np.arctan2(b0, a0) / (2 * np.pi))
    assert 0.7 <= min(scales) < 0.85
    assert 1.15 < max(scales) <= 1.3
    assert -0.2 <= min(turns) < -0.1
    assert 0.1 < max(turns) <= 0.2


# ---- checkpoints, errors, the process


def test_a_checkpoint_goes_into_the_keras_model_and_gives_the_same_accuracy(keras, digits, tmp_path):
    chosen, dataset = design(), Dataset.open(digits)
    ours = evaluate(job(tmp_path, digits, chosen))
    model = build_model(chosen.architecture)
    load_weights(model, ours.checkpoint)
    right = predict(model, dataset.validation.x).argmax(-1) == dataset.validation.y
    assert ours.values["accuracy"] == pytest.approx(right.mean())
    tested = values_on_test(chosen, ours.checkpoint, dataset)
    assert tested["test_accuracy"] == pytest.approx(
        (predict(model, dataset.test.x).argmax(-1) == dataset.test.y).mean()
    )
    with pytest.raises(EvaluationError, match="of the same network"):
        load_weights(build_model(design(stem={"width": 7}).architecture), ours.checkpoint)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from nas._checkpoint import State, write_state
epochs = 0
while True:
    epochs += 1
    values = np.full((500, 500), epochs, np.float32)
    write_state(Path(sys.argv[1]), State(("a/kernel",), (values,), (), 0, epochs))
    print(epochs, flush=True)
"""


def test_a_checkpoint_of_a_killed_process_is_whole(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for delay in (0.0, 0.013, 0.04):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline().strip() == "1"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        state = read_state(path)
        assert (state.weights[0] == state.epochs).all()


def test_what_is_no_checkpoint_is_refused(digits, tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and no more")
    for path in (broken, tmp_path / "missing.npz"):
        with pytest.raises(EvaluationError, match=r"a checkpoint must be an \.npz file"):
            evaluate(job(tmp_path, digits, design(), resume=path))
    write_state(tmp_path / "other.npz", State(("a/kernel",), (np.zeros((2, 2), np.float32),)))
    with pytest.raises(EvaluationError, match="of the same network"):
        evaluate(job(tmp_path, digits, design(), resume=tmp_path / "other.npz"))


def test_a_loss_that_is_not_finite_ends_the_trial(digits, tmp_path):
    wild = design(
        {"optimizer": "sgd", "learning_rate": 10.0},
        stages=[{"width": 16, "convs": 4, "activation": "none"}],
        rescale=False,
    )
    with pytest.raises(
        EvaluationError, match=r"the loss must stay finite, got .* lower learning_rate \(10.0\)"
    ):
        evaluate(job(tmp_path, digits, wild, epochs=5))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"head": None}, "needs a head"),
        ({"classes": 3}, "must be made for its data"),
        ({"input_shape": [9, 8, 1]}, "must be made for its data"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(digits, tmp_path, changes, rule):
    with pytest.raises(SpaceError, match=rule):
        evaluate(job(tmp_path, digits, design(**changes)))


def test_signals_train(tmp_path):
    y = (np.arange(60) % 3).astype(np.int32)
    x = np.sin(np.arange(20)[None, :, None] * (y[:, None, None] + 1.0)).astype(np.float32)
    split = Split(x, y)
    saved = Dataset("s", "s", "classification", (20, 1), ("0", "1", "2"), split, split, None).save(
        tmp_path / "d"
    )
    chosen = design({"batch_size": 8, "learning_rate": 0.01}, input_shape=[20, 1], classes=3, rescale=False)
    curve = evaluate(job(tmp_path, saved, chosen, epochs=6)).curve
    assert curve[-1]["accuracy"] > 0.9


def test_trainers_are_kept_within_bounds_and_given_back(digits, tmp_path, monkeypatch):
    module._trainers.clear()
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * module.TRACED_BYTES + 2**20)
    gone, widths = [], range(4, 9)
    for width in widths:
        evaluate(job(tmp_path, digits, design(stem={"width": width}), epochs=0))
        gone.append(weakref.ref(next(reversed(module._trainers.values()))[0]))
    assert len(module._trainers) == 3
    assert [reference() is None for reference in gone] == [True, True, False, False, False]


def test_a_data_set_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RunError, match="a saved data set must be complete"):
        evaluate(job(tmp_path, tmp_path / "nothing", design()))


CLEAN = """
import json, os, pickle, sys
from nas.evaluation import evaluate
assert "tensorflow" not in sys.modules
job = pickle.loads(bytes.fromhex(sys.argv[1]))
found = evaluate(job)
print(json.dumps({"values": dict(found.values), "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
                  "threads": os.environ["TF_NUM_INTRAOP_THREADS"], "bytes": found.memory_mb}))
"""


def test_a_dilated_network_is_trained_without_onednn(digits, tmp_path):
    chosen = job(tmp_path, digits, design(stages=[{"width": 8, "dilation": 2}]))
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, pickle.dumps(chosen).hex()],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["onednn"] == "0"


def test_a_clean_process_trains_a_pickled_job_without_a_word_on_stderr(digits, tmp_path):
    chosen = job(tmp_path, digits, design())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, pickle.dumps(chosen).hex()], env=kept, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["threads"] == "1"
    assert 100 < found["bytes"] < 4000
    here = evaluate(replace(chosen, folder=tmp_path / "here"))
    assert found["values"]["val_loss"] == pytest.approx(here.values["val_loss"], rel=1e-3)
    assert Path(chosen.folder / "checkpoint.npz").is_file()
