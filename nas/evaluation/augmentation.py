"""Random changes of training batches: mixup, and for images moved pixels, brightness, contrast and cutout.

NumPy changes a few images at a time, so that they stay in the processor's cache. Flip and crop copy rows and
columns; translation, rotation and zoom are one transform per image, for which TensorFlow's operation takes
longer (benchmarks/augmentation.py). The Keras model has Keras' layers instead, which draw from the same
ranges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nas.architecture import Design, Training
from nas.evaluation.losses import Mixture

__all__ = ["Changes", "apply_changes", "augment", "move_masks", "sample_changes"]

PIXELS = 8_192
"""Pixels that are changed at a time."""


class Changes(NamedTuple):
    """What is changed in a batch of n examples; None for what stays as it is."""

    partners: np.ndarray | None = None  # (n,) int, the example that each one is mixed with
    shares: np.ndarray | None = None  # (n,) float32, the share of the example itself in the mixture
    rows: np.ndarray | None = None  # (n, height) int, the row of the image that each row becomes
    columns: np.ndarray | None = None  # (n, width) int, likewise
    transforms: np.ndarray | None = None  # (n, 6) float32, from positions in the result to ones in the image
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
    return x, move_masks(y, changes) if y.ndim == 3 else y, None


def sample_changes(design: Design, shape: tuple[int, ...], rng: np.random.Generator) -> Changes:
    """Draw changes for a batch of a shape (n, height, width, channels) or (n, length, channels).

    The ranges are those of Keras' MixUp, RandomFlip, RandomTranslation, RandomRotation, RandomZoom,
    RandomBrightness, RandomContrast and RandomErasing.
    """
    training, count = design.training, shape[0]
    found = Changes()
    if training.flip or training.crop:
        shifts = rng.integers(-training.crop, training.crop, (2, count, 1), endpoint=True)
        rows, columns = (
            _mirrored(np.arange(size) - shift, size) for size, shift in zip(shape[1:3], shifts, strict=True)
        )
        flipped = (rng.random(count) < 0.5) & training.flip
        columns[flipped] = columns[flipped, ::-1]
        found = found._replace(rows=rows, columns=columns)
    if training.translation or training.rotation or training.zoom:
        found = found._replace(transforms=_sample_transforms(training, (count, shape[1], shape[2]), rng))
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
    training: Training, shape: tuple[int, int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw transforms for images of a shape (n, height, width): float32 (n, 6).

    (a0, a1, a2, b0, b1, b2) maps a position (x, y) in the result to (a0 x + a1 y + a2, b0 x + b1 y + b2) in
    the image. The transforms are those of Keras' layers one after another: translation, rotation, zoom. As
    one transform they interpolate an image only once.
    """
    count, height, width = shape
    angle = rng.uniform(-training.rotation, training.rotation, count) * 2 * np.pi
    zoom = rng.uniform(1 - training.zoom, 1 + training.zoom, count)
    shift = rng.uniform(-training.translation, training.translation, (2, count)) * [[width], [height]]
    a0, a1 = zoom * np.cos(angle), -zoom * np.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    a2, b2 = x - a0 * x - a1 * y - shift[0], y + a1 * x - a0 * y - shift[1]
    return np.stack([a0, a1, a2, -a1, a0, b2], axis=1).astype(np.float32)


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
        if changes.rows is not None and changes.columns is not None:
            _select(planes.swapaxes(0, 1), changes.rows[part], changes.columns[part])
        if changes.transforms is not None:
            planes = _transform(planes, changes.transforms[part])
        if changes.brightness is not None:
            planes += changes.brightness[part, None, None]
            np.clip(planes, low, high, out=planes)
        if changes.contrast is not None:
            means = planes.reshape(*planes.shape[:2], -1).mean(axis=2)[:, :, None, None]
            planes -= means
            planes *= changes.contrast[part, None, None]
            planes += means
            np.clip(planes, low, high, out=planes)
        if changes.boxes is not None:
            for number, (top, bottom, left, right) in enumerate(changes.boxes[part]):
                planes[:, number, top:bottom, left:right] = (low + high) / 2
        result[part] = planes.transpose(1, 2, 3, 0)
    return result.reshape(x.shape)


def move_masks(masks: np.ndarray, changes: Changes) -> np.ndarray:
    """Return masks (n, height, width) that moved with their images; a pixel takes the nearest label."""
    if changes.rows is not None and changes.columns is not None:
        masks = masks.copy()
        _select(masks, changes.rows, changes.columns)
    if changes.transforms is not None:
        (masks,) = _transform(masks[None], changes.transforms, nearest=True)
    return masks


def _planes(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, channels) as float32 (channels, n, height, width)."""
    return images.transpose(3, 0, 1, 2).astype(np.float32, order="C")


def _select(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """Replace each image of (n, ..., height, width) by rows and columns of itself."""
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        images[number] = images[number].take(row, axis=-2).take(column, axis=-1)


def _mirrored(positions: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels at whole positions, where mirror images continue an image of `size` pixels.

    d c b a | a b c d | d c b a
    """
    pixels = positions % (2 * size)
    mirrored: np.ndarray = np.minimum(pixels, 2 * size - 1 - pixels)
    return mirrored


def _transform(planes: np.ndarray, transforms: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Apply a transform to each image of planes (channels, n, height, width).

    Values are interpolated between the four nearest pixels, or are those of the nearest one. Mirror images
    continue an image.
    """
    _, count, height, width = planes.shape
    u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    a0, a1, a2, b0, b1, b2 = (column[:, None] for column in transforms.T)
    half = np.float32(0.5 if nearest else 0.0)
    x = (a0 * u + (a2 + half))[:, None, :] + (a1 * v)[:, :, None]
    y = (b0 * u)[:, None, :] + (b1 * v + (b2 + half))[:, :, None]
    left, top = np.floor(x), np.floor(y)
    first_row, first_column = int(top.min()), int(left.min())
    rows = _mirrored(np.arange(first_row, int(top.max()) + 2), height)
    columns = _mirrored(np.arange(first_column, int(left.max()) + 2), width)
    padding = (rows[:, None] * width + columns).ravel()
    stride = len(columns)
    index = top.astype(np.intp)  # float32 would be inexact above 2**24
    index *= stride
    index += left.astype(np.intp)
    index += (np.arange(count) * len(padding) - first_row * stride - first_column)[:, None, None]
    moved = np.empty_like(planes)
    # The images with the part of their mirror images that is read, so that neighbours are at fixed distances.
    padded = np.empty((count, len(padding)), planes.dtype)
    pixels = padded.ravel()
    if nearest:
        for plane, source in zip(moved, planes, strict=True):
            source.reshape(count, -1).take(padding, axis=1, out=padded, mode="clip")
            pixels.take(index, out=plane, mode="clip")
        return moved
    x -= left
    y -= top
    both = x * y
    x -= both
    y -= both
    corner = np.subtract(1, x, out=left)
    corner -= y
    corner -= both
    neighbour = top
    for plane, source in zip(moved, planes, strict=True):
        source.reshape(count, -1).take(padding, axis=1, out=padded, mode="clip")
        pixels.take(index, out=plane, mode="clip")
        plane *= corner
        for distance, weight in ((1, x), (stride, y), (stride + 1, both)):
            pixels[distance:].take(index, out=neighbour, mode="clip")
            neighbour *= weight
            plane += neighbour
    return moved
