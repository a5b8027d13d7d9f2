"""A data set before it is split: a `Source` has labels, and reads examples only when they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Array", "Examples", "Source", "compact_masks", "resize_masks"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Examples:
    """The examples of one split, identified by their index and read on demand."""

    count: int
    labels: Array | None  # (count,) classes from 0; None for masks, which `read` returns
    read: Callable[[Array], tuple[Array, Array | None]]  # indices -> x, and masks or None


@dataclass(frozen=True)
class Source:
    """All examples of a data set, in the splits that it comes with."""

    classes: tuple[str, ...]  # empty for masks, whose labels are known only after they are read
    splits: Mapping[str, Examples]  # 'train', and where present 'validation' and 'test'

    def class_labels(self, split: str, indices: Array) -> Array:
        """Return the classes (n,) int32 of some examples of a split; raises TypeError for masks."""
        labels = self.splits[split].labels
        if labels is None:
            raise TypeError(f"the split '{split}' has masks, not classes")
        return labels[indices].astype(np.int32)


def resize_masks(masks: Array, image_size: int | None) -> Array:
    """Resize masks (n, height, width) to squares with the nearest pixel; None: do not resize."""
    if image_size is None or masks.shape[1:] == (image_size, image_size):
        return masks
    rows, columns = (
        ((np.arange(image_size) + 0.5) * (length / image_size)).astype(np.intp) for length in masks.shape[1:]
    )
    return masks[:, rows[:, None], columns]


def compact_masks(masks: Array) -> Array:
    """Return masks as uint8 if all labels fit, else as int32."""
    fits = masks.dtype == np.uint8 or (masks.min() >= 0 and masks.max() <= 255)
    return masks.astype(np.uint8 if fits else np.int32, copy=False)
