"""Random changes of training batches: mixup, and for images moved pixels, brightness, contrast and cutout.

NumPy changes a few images at a time, so that they stay in the processor's cache, and moves pixels by one
transform per image. TensorFlow's operation for the same transform takes three times as long
(benchmarks/augmentation.py). The Keras model has Keras' layers instead, which draw from the same ranges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nas.architecture import Design, Training
from nas.evaluation.losses import Mixture

__all__ = ["Changes", "apply_changes", "augment", "move_masks", "sample_changes"]

PIXELS = 16_384
"""Pixels that are changed at a time."""


class Changes(NamedTuple):
    """What is changed in a batch of n examples; None for what stays as it is."""

    partners: np.ndarray | None = None  # (n,) int, the example that each one is mixed with
    shares: np.ndarray | None = None  # (n,) float32, the share of the example itself in the mixture
    transforms: np.ndarray | None = None  # (n, 6) float32, from positions in the result to ones in the image
    interpolate: bool = True  # False: transforms map pixels to pixels
    brightness: np.ndarray | None = None  # (n,) float32, added to each value
    contrast: np.ndarray | None = None  # (n,) float32, factor of the distance to the mean of the channel
    boxes: np.ndarray | None = None  # (n, 4) int, rectangles to fill: top, bottom, left, right


def augment(
    design: Design, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Mixture | None]:
    """Return a batch of training examples with random changes, as float32, and with what labels are mixed.

    `x`: (n, height, width, channels) or (n, length, channels). `y`: classes, or masks, which move with their
    images.
    """
    changes = sample_changes(design, x.shape, rng)
    x = apply_changes(x, changes, design.value_range)
    if changes.partners is not None:
        return x, y, Mixture(y[changes.partners], changes.shares)
    if y.ndim == 3 and changes.transforms is not None:
        y = move_masks(y, changes.transforms)
    return x, y, None


def sample_changes(design: Design, shape: tuple[int, ...], rng: np.random.Generator) -> Changes:
    """Draw changes for a batch of a shape (n, height, width, channels) or (n, length, channels).

    The ranges are those of Keras' MixUp, RandomFlip, RandomTranslation, RandomRotation, RandomZoom,
    RandomBrightness, RandomContrast and RandomErasing.
    """
    training, count = design.training, shape[0]
    found = Changes()
    if training.moves_pixels:
        moved = _sample_transforms(training, count, (shape[1], shape[2]), rng)
        interpolate = bool(training.translation or training.rotation or training.zoom)
        found = found._replace(transforms=moved, interpolate=interpolate)
    if training.mixup:
        shares = rng.beta(training.mixup, training.mixup, count).astype(np.float32)
        found = found._replace(partners=rng.permutation(count), shares=shares)
    if limit := training.brightness:
        low, high = design.value_range
        added = rng.uniform(-limit, limit, count) * (high - low)
        found = found._replace(brightness=added.astype(np.float32))
    if limit := training.contrast:
        found = found._replace(contrast=rng.uniform(1 - limit, 1 + limit, count).astype(np.float32))
    if share := training.cutout:
        # As in RandomErasing: a pixel is filled if its position is in [start, end).
        sides = share * np.array(shape[1:3])
        starts = rng.random((count, 2)) * (np.array(shape[1:3]) - sides)
        ends = starts + sides
        boxes = np.ceil(np.stack([starts[:, 0], ends[:, 0], starts[:, 1], ends[:, 1]], axis=1))
        found = found._replace(boxes=boxes.astype(int))
    return found


def _sample_transforms(
    training: Training, count: int, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw `count` transforms for images of a size (height, width): float32 (count, 6).

    (a0, a1, a2, b0, b1, b2) maps a position (x, y) in the result to (a0 x + a1 y + a2, b0 x + b1 y + b2) in
    the image. The transforms are those of Keras' layers one after another: flip, crop, translation, rotation,
    zoom. As one transform they interpolate an image only once.
    """
    height, width = size
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0) if training.flip else np.ones(count)
    angle = rng.uniform(-training.rotation, training.rotation, count) * 2 * np.pi
    zoom = rng.uniform(1 - training.zoom, 1 + training.zoom, count)
    shift = np.zeros((2, count))
    if training.crop:
        shift += rng.integers(-training.crop, training.crop, (2, count), endpoint=True)
    if training.translation:
        shift += rng.uniform(-training.translation, training.translation, (2, count)) * [[width], [height]]
    a0, a1 = flip * zoom * np.cos(angle), -flip * zoom * np.sin(angle)
    b0, b1 = zoom * np.sin(angle), zoom * np.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    a2, b2 = x - a0 * x - a1 * y - flip * shift[0], y - b0 * x - b1 * y - shift[1]
    return np.stack([a0, a1, a2, b0, b1, b2], axis=1).astype(np.float32)


def apply_changes(x: np.ndarray, changes: Changes, value_range: tuple[float, float]) -> np.ndarray:
    """Return examples with changes, in the order of the fields of `Changes`: float32, the shape of `x`.

    Values that become brighter or of more contrast stay in `value_range`.
    """
    images = x if x.ndim == 4 else x[:, None]  # a signal is an image of height 1
    result = np.empty(images.shape, np.float32)
    low, high = value_range
    step = max(1, PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        planes = _planes(images[part])
        if changes.partners is not None and changes.shares is not None:
            shares = changes.shares[part, None, None]
            planes *= shares
            planes += (1 - shares) * _planes(images[changes.partners[part]])
        if changes.transforms is not None:
            planes = _move(planes, changes.transforms[part], changes.interpolate)
        if changes.brightness is not None:
            planes += changes.brightness[part, None, None]
            np.clip(planes, low, high, out=planes)
        if changes.contrast is not None:
            means = planes.mean(axis=(2, 3), keepdims=True)
            planes -= means
            planes *= changes.contrast[part, None, None]
            planes += means
            np.clip(planes, low, high, out=planes)
        if changes.boxes is not None:
            for number, (top, bottom, left, right) in enumerate(changes.boxes[part]):
                planes[:, number, top:bottom, left:right] = (low + high) / 2
        result[part] = planes.transpose(1, 2, 3, 0)
    return result.reshape(x.shape)


def move_masks(masks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Return masks (n, height, width) that moved with their images; a pixel takes the nearest label."""
    return _move(masks[None], transforms, interpolate=False)[0]


def _planes(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, channels) as float32 (channels, n, height, width)."""
    return images.transpose(3, 0, 1, 2).astype(np.float32, order="C")


def _move(planes: np.ndarray, transforms: np.ndarray, interpolate: bool) -> np.ndarray:
    """Apply a transform to each image of planes (channels, n, height, width).

    Values are interpolated between the four nearest pixels, or are those of the nearest one. The image is
    continued by its mirror image: d c b a | a b c d | d c b a.
    """
    channels, count, height, width = planes.shape
    u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    a0, a1, a2, b0, b1, b2 = (column[:, None] for column in transforms.T)
    x = (a0 * u + a2)[:, None, :] + (a1 * v)[:, :, None]
    y = (b0 * u)[:, None, :] + (b1 * v + b2)[:, :, None]
    if not interpolate:
        x += 0.5
        y += 0.5
    left, top = np.floor(x), np.floor(y)
    columns, rows = _mirrored(left, width), _mirrored(top, height)
    # The images with the part of their mirror images that is read, so that neighbours are at fixed distances.
    padded = planes.reshape(channels, count, height * width)
    padded = padded.take((rows.pixels[:, None] * width + columns.pixels).ravel(), axis=2, mode="clip")
    stride = len(columns.pixels)
    flat = padded.reshape(channels, -1)
    x -= left
    y -= top
    index = top.astype(np.intp)  # float32 would be inexact above 2**24
    index *= stride
    index += left.astype(np.intp)
    index += (np.arange(count) * padded.shape[2] - rows.first * stride - columns.first)[:, None, None]
    if not interpolate:
        return flat.take(index, axis=1, mode="clip")
    both = x * y
    weights = ((1, x - both), (stride, y - both), (stride + 1, both))
    first_weight = 1 - x - y + both
    moved = np.empty_like(planes)
    for plane, pixels in zip(moved, flat, strict=True):
        pixels.take(index, out=plane, mode="clip")
        plane *= first_weight
        for distance, weight in weights:
            plane += pixels[distance:].take(index, mode="clip") * weight
    return moved


class _Axis(NamedTuple):
    """The positions along one axis that are read, with the pixel of the image at each of them."""

    first: int
    pixels: np.ndarray


def _mirrored(positions: np.ndarray, size: int) -> _Axis:
    """Return the range of whole positions and their next ones, continued by mirror images of `size` pixels."""
    first, last = int(positions.min()), int(positions.max()) + 1
    pixels = np.arange(first, last + 1) % (2 * size)
    return _Axis(first, np.minimum(pixels, 2 * size - 1 - pixels))
