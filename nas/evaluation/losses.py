"""The loss of each answer of a network, from its logits, in TensorFlow operations."""

from __future__ import annotations

from typing import Any, NamedTuple

from nas.backends import TargetScale
from nas.tensorflow_imports import import_tensorflow

__all__ = ["Mixture", "Truth", "answer_losses"]


class Mixture(NamedTuple):
    """The other example of each mixed example."""

    labels: Any  # int32 (n,)
    shares: Any  # float32 (n,), of the example itself


class Truth(NamedTuple):
    """What the answers are compared with."""

    task: str
    classes: int
    labels: Any  # int32 (n,), (n, height, width) for segmentation, (n, labels); float32 (n, numbers)
    ignore_label: int | None = None  # of pixels that are not counted
    smoothing: float = 0.0  # share of each label that is spread evenly over the classes
    mixture: Mixture | None = None
    scale: TargetScale | None = None  # of the numbers of a regression


def answer_losses(logits: Any, truth: Truth) -> tuple[Any, Any, Any]:
    """Return for each answer, as flat vectors: its loss, whether it is correct, whether it is counted.

    The losses are those of Keras' BinaryCrossentropy and CategoricalCrossentropy with their label_smoothing.
    The correct class of a mixed example is that of its larger share. Several labels of an example are one
    answer, by their means; so are several numbers, with absolute errors in the place of whether they are
    correct.
    """
    if truth.task in ("multi_label", "regression"):
        losses, seconds = _of_vectors(logits, truth)
        return losses, seconds, import_tensorflow().raw_ops.OnesLike(x=losses)
    return _of_two(logits, truth) if truth.task == "binary" else _of_classes(logits, truth)


def _of_two(logits: Any, truth: Truth) -> tuple[Any, Any, Any]:
    tf = import_tensorflow()
    raw = tf.raw_ops
    logits = raw.Reshape(tensor=logits, shape=[-1])
    labels = raw.Cast(x=truth.labels, DstT=tf.float32)
    if truth.mixture is not None:
        others, shares = raw.Cast(x=truth.mixture.labels, DstT=tf.float32), truth.mixture.shares
        labels = shares * labels + (1.0 - shares) * others
    correct = raw.Cast(x=raw.Equal(x=logits > 0, y=labels > 0.5), DstT=tf.float32)
    if truth.smoothing:
        labels = (1.0 - truth.smoothing) * labels + 0.5 * truth.smoothing
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return losses, correct, raw.OnesLike(x=correct)


def _of_classes(logits: Any, truth: Truth) -> tuple[Any, Any, Any]:
    tf = import_tensorflow()
    raw = tf.raw_ops
    labels, counted = truth.labels, None
    if truth.task == "segmentation":
        logits = raw.Reshape(tensor=logits, shape=[-1, truth.classes])
        labels = raw.Reshape(tensor=labels, shape=[-1])
    if truth.ignore_label is not None:
        counted = raw.Cast(x=labels != truth.ignore_label, DstT=tf.float32)
        labels = tf.where(labels == truth.ignore_label, 0, labels)
    if truth.smoothing or truth.mixture is not None:
        shares = tf.one_hot(labels, truth.classes)
        if truth.mixture is not None:
            own, others = truth.mixture.shares[:, None], tf.one_hot(truth.mixture.labels, truth.classes)
            shares = own * shares + (1.0 - own) * others
            labels = raw.ArgMax(input=shares, dimension=-1, output_type=tf.int32)
        shares = (1.0 - truth.smoothing) * shares + truth.smoothing / truth.classes
        losses = raw.SoftmaxCrossEntropyWithLogits(features=logits, labels=shares).loss
    else:
        losses = raw.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels).loss
    predicted = raw.ArgMax(input=logits, dimension=-1, output_type=tf.int32)
    correct = raw.Cast(x=raw.Equal(x=predicted, y=labels), DstT=tf.float32)
    if counted is None:
        return losses, correct, raw.OnesLike(x=correct)
    return losses * counted, correct * counted, counted


def _of_vectors(outputs: Any, truth: Truth) -> tuple[Any, Any]:
    """Return for each example, as vectors, the mean loss and a second value for the learning curve.

    Several labels: the cross-entropy of each by its logit, as Keras' `binary_crossentropy`, and the share of
    the labels that are right. Numbers, by standardized outputs: the squared error of standardized numbers,
    and the absolute error.
    """
    tf = import_tensorflow()
    raw = tf.raw_ops
    if truth.scale is None:
        labels = raw.Cast(x=truth.labels, DstT=tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=outputs)
        seconds = raw.Cast(x=raw.Equal(x=outputs > 0, y=labels > 0), DstT=tf.float32)
    else:
        means, deviations = (
            tf.constant(part, tf.float32) for part in (truth.scale.means, truth.scale.deviations)
        )
        differences = outputs - (truth.labels - means) / deviations
        losses, seconds = raw.Square(x=differences), raw.Abs(x=differences) * deviations
    return raw.Mean(input=losses, axis=[1]), raw.Mean(input=seconds, axis=[1])
