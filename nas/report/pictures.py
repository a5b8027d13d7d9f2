"""Pictures of the examples of a data set."""

from __future__ import annotations

import numpy as np

from nas.data import Dataset

__all__ = ["CELL", "example_pictures"]

CELL = 112
"""Greatest side of an example in pixels."""


def example_pictures(dataset: Dataset, x: np.ndarray) -> list[np.ndarray]:
    """Return examples (n, ...) of a data set as RGB pictures, uint8 (height, width, 3).

    Values are shown as the network takes them: from 0 to 255, else from the least to the greatest value.
    Signals are drawn as curves.
    """
    return [_picture(image) for image in _eight_bits(dataset, x)]


def _eight_bits(dataset: Dataset, x: np.ndarray) -> np.ndarray:
    low, high = (0.0, 255.0) if dataset.rescale else (float(x.min()), float(x.max()))
    scaled: np.ndarray = np.clip((x - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
    return scaled


def _picture(x: np.ndarray) -> np.ndarray:
    """Return an example (height, width, channels), or a signal (length, channels), as RGB pixels."""
    if x.ndim == 2:
        return _curves(x)
    pixels: np.ndarray = x[..., :3] if x.shape[-1] >= 3 else np.repeat(x[..., :1], 3, axis=-1)
    return np.ascontiguousarray(pixels)


def _curves(signal: np.ndarray) -> np.ndarray:
    """Draw the channels of a signal, 0..255, one below the other."""
    length, channels = signal.shape
    band = max(16, CELL // channels)
    pixels = np.full((band * channels, min(length, CELL), 3), 255, np.uint8)
    columns = np.linspace(0, length - 1, pixels.shape[1]).astype(int)
    for channel in range(channels):
        rows = (band - 1) * (255 - signal[columns, channel].astype(int)) // 255 + band * channel
        pixels[rows, np.arange(len(columns))] = (31, 119, 180)
    return pixels
