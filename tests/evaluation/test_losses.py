"""Losses of soft labels, compared with Keras' losses."""

from __future__ import annotations

import numpy as np
import pytest

from nas.evaluation.losses import Mixture, Truth, answer_losses
from nas.tensorflow_imports import import_keras

pytestmark = pytest.mark.trains  # needs TensorFlow


def drawn(classes, count=40):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, classes)).astype(np.float32)
    labels, others = rng.integers(0, max(2, classes), (2, count)).astype(np.int32)
    return logits, labels, Mixture(others, rng.beta(0.5, 0.5, count).astype(np.float32))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("mixed", [False, True])
def test_losses_of_classes_equal_categorical_crossentropy(smoothing, mixed):
    keras = import_keras()
    logits, labels, mixture = drawn(5)
    truth = Truth("classification", 5, labels, smoothing=smoothing, mixture=mixture if mixed else None)
    losses, correct, counted = answer_losses(logits, truth)
    shares = mixture.shares[:, None] if mixed else 1.0
    soft = shares * np.eye(5)[labels] + (1 - shares) * np.eye(5)[mixture.labels]
    options = {"from_logits": True, "label_smoothing": smoothing, "reduction": None}
    expected = keras.losses.CategoricalCrossentropy(**options)(soft.astype(np.float32), logits)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(correct, keras.metrics.categorical_accuracy(soft, logits))
    np.testing.assert_array_equal(counted, np.ones(40))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("mixed", [False, True])
def test_losses_of_two_classes_equal_binary_crossentropy(smoothing, mixed):
    keras = import_keras()
    logits, labels, mixture = drawn(1)
    truth = Truth("binary", 2, labels, smoothing=smoothing, mixture=mixture if mixed else None)
    losses, correct, _ = answer_losses(logits, truth)
    soft = mixture.shares * labels + (1 - mixture.shares) * mixture.labels if mixed else labels
    options = {"from_logits": True, "label_smoothing": smoothing, "reduction": None}
    expected = keras.losses.BinaryCrossentropy(**options)(soft[:, None].astype(np.float32), logits)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(correct, (logits[:, 0] > 0) == (soft > 0.5))


def test_smoothed_losses_of_pixels_leave_out_ignored_ones():
    keras = import_keras()
    logits, labels, _ = drawn(4, 24)
    labels[::3] = 255
    truth = Truth("segmentation", 4, labels.reshape(2, 3, 4), 255, smoothing=0.2)
    losses, correct, counted = answer_losses(logits.reshape(2, 3, 4, 4), truth)
    kept = labels < 255
    options = {"from_logits": True, "label_smoothing": 0.2, "reduction": None}
    expected = keras.losses.CategoricalCrossentropy(**options)(np.eye(4)[labels[kept]], logits[kept])
    np.testing.assert_allclose(np.array(losses)[kept], expected, rtol=1e-5)
    np.testing.assert_array_equal(counted, kept)
    assert not np.any(np.array(losses)[~kept])
    assert not np.any(np.array(correct)[~kept])
