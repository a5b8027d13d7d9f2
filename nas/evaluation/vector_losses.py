"""The loss of several labels, and of numbers."""

from __future__ import annotations

from typing import Any

from nas.backends import TargetScale
from nas.tensorflow_imports import import_tensorflow

__all__ = ["vector_losses"]


def vector_losses(outputs: Any, y: Any, scale: TargetScale | None) -> tuple[Any, Any]:
    """Return for each example, as vectors, the mean loss and a second value for the learning curve.

    Without a scale, of several labels `y` (n, labels) by their logits: the cross-entropy of each, as Keras'
    `binary_crossentropy`, and the share of the labels that are right. With a scale, of numbers `y` (n,
    numbers) by standardized outputs: the squared error of standardized numbers, and the absolute error.
    """
    tf = import_tensorflow()
    raw = tf.raw_ops
    if scale is None:
        truth = raw.Cast(x=y, DstT=tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=outputs)
        seconds = raw.Cast(x=raw.Equal(x=outputs > 0, y=truth > 0), DstT=tf.float32)
    else:
        means, deviations = (tf.constant(part, tf.float32) for part in (scale.means, scale.deviations))
        differences = outputs - (y - means) / deviations
        losses, seconds = raw.Square(x=differences), raw.Abs(x=differences) * deviations
    return raw.Mean(input=losses, axis=[1]), raw.Mean(input=seconds, axis=[1])
