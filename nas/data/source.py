"""A data set before it is split: a `Source` has labels, and reads examples only when they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from nas.architecture import Shape
from nas.data.feeding import Feeding

__all__ = ["Array", "Chunk", "Examples", "Source", "Task", "resize_masks"]

Array = np.ndarray[Any, np.dtype[Any]]

Task = Literal["classification", "multi_label", "regression", "segmentation"]

Chunk = tuple[Array, Array | None]
"""Consecutive examples x, and their masks or None."""


@dataclass(frozen=True)
class Examples:
    """The examples of one split, identified by their index and read on demand."""

    count: int
    labels: Array | None
    """(count,) classes from 0; (count, classes) 0 or 1 for several labels; (count, numbers) float32 for
    regression; None for masks, which `read` returns."""
    read: Callable[[Array], Iterator[Chunk]]
    """Indices -> x of `Source.shape` and `Source.dtype` in the order of the indices, in chunks of any
    size."""


@dataclass(frozen=True)
class Source:
    """All examples of a data set, in the splits that it comes with."""

    task: Task
    classes: tuple[str, ...]  # names of the classes or numbers; empty for masks, known after they are read
    splits: Mapping[str, Examples]  # 'train', and where present 'validation' and 'test'
    shape: Shape  # of one example, channels last
    dtype: np.dtype[Any]  # of x
    feeding: Feeding = field(default_factory=Feeding)
    may_be_numbers: bool = False  # whether classes are integers that may be meant as numbers to predict
    colour_masks: bool = False  # whether masks hold colours 0xRRGGBB
    notes: tuple[str, ...] = ()  # what was inferred, one sentence each
    warnings: tuple[str, ...] = ()  # what is doubtful, one sentence each


def resize_masks(masks: Array, image_size: int | None) -> Array:
    """Resize masks (n, height, width) to squares with the nearest pixel; None: do not resize."""
    if image_size is None or masks.shape[1:] == (image_size, image_size):
        return masks
    rows, columns = (
        ((np.arange(image_size) + 0.5) * (length / image_size)).astype(np.intp) for length in masks.shape[1:]
    )
    return masks[:, rows[:, None], columns]
