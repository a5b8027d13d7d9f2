"""Random changes of training images: flip, rotation and zoom as one projective transform per image."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.architecture import Training
from nas.tensorflow_imports import import_tensorflow

__all__ = ["apply_transforms", "sample_transforms"]


def sample_transforms(
    training: Training, count: int, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw `count` transforms for images of a size (height, width): float32 (count, 8).

    A transform maps positions in the result to positions in the image. The ranges are those of Keras'
    RandomFlip, RandomRotation and RandomZoom, which the Keras model contains instead. As one transform they
    interpolate an image only once.
    """
    height, width = size
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0) if training.flip else np.ones(count)
    angle = rng.uniform(-training.rotation, training.rotation, count) * 2 * np.pi
    zoom = rng.uniform(1 - training.zoom, 1 + training.zoom, count)
    a0, a1 = flip * zoom * np.cos(angle), -flip * zoom * np.sin(angle)
    b0, b1 = zoom * np.sin(angle), zoom * np.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    zeros = np.zeros(count)
    rows = [a0, a1, x - a0 * x - a1 * y, b0, b1, y - b0 * x - b1 * y, zeros, zeros]
    return np.stack(rows, axis=1).astype(np.float32)


def apply_transforms(x: Any, transforms: Any) -> Any:
    """Apply a transform to each image of a batch, float (batch, height, width, channels)."""
    return import_tensorflow().raw_ops.ImageProjectiveTransformV3(
        images=x, transforms=transforms, output_shape=x.shape[1:3], fill_value=0.0,
        interpolation="BILINEAR", fill_mode="REFLECT",
    )  # fmt: skip
