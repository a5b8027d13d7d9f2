"""Recognize what the axes of arrays are: images or signals, with the channels first or last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nas.data.options import Axes
from nas.data.source import Array
from nas.errors import DataError

__all__ = ["Layout", "find_layout"]

FEW_CHANNELS = 4  # grey, grey with alpha, RGB, RGBA
LONG = 4  # a signal is at least this many times longer than it has channels
VERY_LONG = 8  # from here on, even integers that may be pixels are a signal, or doubtful


@dataclass(frozen=True)
class Layout:
    """The meaning of the axes after the first one, which counts the examples."""

    kind: Literal["grey", "images", "signals"]  # grey images have no axis of channels
    channels_first: bool = False
    note: str = ""

    def apply(self, x: Array) -> Array:
        """Return a view with the channels last."""
        if self.kind == "grey":
            return x[..., np.newaxis]
        return np.moveaxis(x, 1, -1) if self.channels_first else x


def find_layout(x: Array, key: str, axes: Axes, mask_size: tuple[int, ...] | None) -> Layout:
    """Infer the layout of examples from their shape.

    `mask_size`: (height, width) of the masks. Raises DataError for a shape that may be read in two ways,
    unless `axes` says which.
    """
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise DataError(
            f"{key} must be (n, height, width), (n, height, width, channels), or (n, length, channels) for "
            f"signals, got {x.shape}; reshape it"
        )
    if x.ndim == 4:
        first = _channels_first(x.shape, key, axes, mask_size)
        note = (
            f"{key} {x.shape} is read as images with the channels first; they are moved last."
            if first
            else ""
        )
        return Layout("images", first, note)
    first_axis, second_axis = x.shape[1:]
    if mask_size is not None or first_axis == second_axis:
        return Layout("grey", note=f"{key} {x.shape} is read as grey images.")
    channels, length = sorted((first_axis, second_axis))
    may_be_pixels = x.dtype.kind in "ub" or (x.dtype.kind == "i" and x.min() >= 0)
    if axes == "auto" and may_be_pixels and length < VERY_LONG * channels:
        return Layout("grey", note=f"{key} {x.shape} is read as grey images.")
    if axes == "auto" and channels > FEW_CHANNELS and (may_be_pixels or length < LONG * channels):
        raise DataError(
            f"{key} must be (n, length, channels) for signals, or (n, height, width, 1) for grey images, got "
            f"{x.shape}, which may be either; reshape images, or pass --axes channels_last for signals"
        )
    first = axes == "channels_first" or (axes == "auto" and first_axis < second_axis)
    length, channels = (second_axis, first_axis) if first else (first_axis, second_axis)
    note = f"{key} {x.shape} is read as signals of length {length} with {channels} channels" + (
        " first; they are moved last." if first else "."
    )
    return Layout("signals", first, note)


def _channels_first(shape: tuple[int, ...], key: str, axes: Axes, mask_size: tuple[int, ...] | None) -> bool:
    """Whether the channels of images are first; raises DataError for a doubtful shape."""
    if axes != "auto":
        return axes == "channels_first"
    _, first, second, third = shape
    fits_last, fits_first = first == second, second == third  # square images
    if mask_size is not None:
        fits_last, fits_first = mask_size == (first, second), mask_size == (second, third)
        if not (fits_last or fits_first):
            return False  # the masks do not fit, which is refused elsewhere
    if fits_last != fits_first:
        few_last, few_first = third <= FEW_CHANNELS, first <= FEW_CHANNELS
        if mask_size is not None or (few_last, few_first) != ((False, True) if fits_last else (True, False)):
            return fits_first
    elif (third <= FEW_CHANNELS) != (first <= FEW_CHANNELS):
        if third <= FEW_CHANNELS or third >= LONG * FEW_CHANNELS:
            return first <= FEW_CHANNELS
    elif third > FEW_CHANNELS and third != first:  # many channels: the axis that is shorter than both others
        if third < min(first, second):
            return False
        if first < min(second, third):
            return True
    elif fits_last and fits_first and third > FEW_CHANNELS:  # a cube
        return False
    raise DataError(
        f"the channels of {key} must be recognizable, got {shape}; pass --axes channels_last for "
        f"{first}x{second} images of {third} channels, or --axes channels_first for {second}x{third} of "
        f"{first}"
    )
