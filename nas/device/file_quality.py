"""The quality of a model file on the test split, in its own runtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.backends import load_litert, load_onnx
from nas.data import Dataset, Feeding
from nas.device.input_values import RANGES
from nas.device.opened_model import OpenedModel
from nas.errors import InputError, nearest
from nas.evaluation import judge_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = ["INPUT_RANGES", "Feed", "FileQuality", "judge_file", "plan_feed"]

INPUT_RANGES = (*RANGES, "data")
"""Values of an input that a user can state; `data`: as they are in the data."""

EXAMPLES_AT_ONCE = 500
"""Examples that are converted to inputs at once, which bounds the memory."""


@dataclass(frozen=True)
class Feed:
    """How examples of a data set become inputs of a model."""

    apply: Callable[[NDArray[np.generic]], Images]
    text: str  # for people: 'values 0..1, as --input-range says'


@dataclass(frozen=True)
class FileQuality:
    """The quality of a model file on the test split."""

    values: Mapping[str, float]  # by name, with standard errors `<name>_se`
    examples: int
    fed: str  # how examples were fed


def plan_feed(model: OpenedModel, dataset: Dataset, input_range: str | None = None) -> Feed:
    """Return how a model is fed with a data set; raises InputError where that is doubtful.

    input_range: one of INPUT_RANGES, for a file that does not say which values it takes.
    """
    _check_outputs(model, dataset)
    to_shape, shape_text = _shape_change(model, dataset)
    to_range, range_text = _range_change(model, dataset, input_range)
    return Feed(lambda x: to_shape(to_range(np.asarray(x))), range_text + shape_text)


def _check_outputs(model: OpenedModel, dataset: Dataset) -> None:
    signature = model.signature
    if signature is None:
        return
    if signature.task != dataset.task or signature.classes != dataset.classes:
        raise InputError(
            f"data must have the outputs of the network, got {dataset.task} of {_names(dataset.classes)} for "
            f"'{model.name}' of {signature.task} of {_names(signature.classes)}; give other data"
        )


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _shape_change(model: OpenedModel, dataset: Dataset) -> tuple[Callable[[Images], Images], str]:
    expected, given = model.input_shape, dataset.shape
    if expected == given:
        return lambda x: x, ""
    if len(expected) == len(given) == 3:
        *sides, channels = given
        if expected == (*sides, 3) and channels == 1:
            return lambda x: np.repeat(x, 3, axis=-1), ", grey values as each of 3 channels"
        if model.runtime == "onnx" and expected == (channels, *sides):
            return lambda x: np.moveaxis(x, -1, 1), ", channels first"
        if model.runtime == "onnx" and expected == (3, *sides) and channels == 1:
            return lambda x: np.moveaxis(np.repeat(x, 3, axis=-1), -1, 1), ", grey, channels first"
    raise InputError(
        f"data must have the shape of the network's input, got {_shape(given)} for '{model.name}' of "
        f"{_shape(expected)}; give other data, or --image-size"
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(str(size or "?") for size in sizes)


def _range_change(
    model: OpenedModel, dataset: Dataset, input_range: str | None
) -> tuple[Callable[[NDArray[np.generic]], Images], str]:
    """Return the function that maps values of a data set to those of an input, and a text for it."""
    if input_range is not None and input_range not in INPUT_RANGES:
        raise InputError(f"unknown input range '{input_range}'; {nearest(input_range, INPUT_RANGES)}")
    feeding, signature = dataset.feeding, model.signature
    known = model.input_values
    if known is None and input_range is None:
        raise InputError(
            f"a file must say which values its input takes, but '{model.name}' does not; add --input-range "
            "0..255, 0..1 or -1..1, as in the training of the network (data: as they are in the data)"
        )
    if known is not None and input_range not in (None, known.name):
        raise InputError(
            f"the input range must be that of the network, got {input_range} for '{model.name}', which takes "
            f"{known.name}, {known.reason}; omit --input-range"
        )
    name = known.name if known is not None else str(input_range)
    reason = known.reason if known is not None else "as --input-range says"
    if (signature is not None and _maps_values(signature.feeding) and signature.feeding != feeding) or (
        name == "data" and signature is not None and feeding.rescale
    ):
        shown = ["{:g}..{:g}".format(*one.value_range) for one in (feeding, signature.feeding)]
        raise InputError(
            f"data must have the values of the network's training, got {shown[0]} for '{model.name}' of "
            f"{shown[1]}; scale the data in the same way"
        )
    if name == "data":
        low, high = dataset.value_range
        return lambda x: x.astype(np.float32), f"values {low:g}..{high:g} of the data, {reason}"
    given, wanted = dataset.value_range, RANGES[name]
    if given not in RANGES.values():
        raise InputError(
            f"data must have values of 0..255, 0..1 or -1..1 to be fed as {name}, got "
            f"{given[0]:g}..{given[1]:g}; scale the data, or use --input-range data"
        )
    factor = (wanted[1] - wanted[0]) / (given[1] - given[0])
    return (
        lambda x: ((x.astype(np.float32) - given[0]) * factor + wanted[0]).astype(np.float32),
        f"values {name}, {reason}",
    )


def _maps_values(feeding: Feeding) -> bool:
    """Whether values of another range than 0..255 and 0..1 are mapped to 0..255."""
    return feeding.rescale and feeding.value_range not in ((0.0, 255.0), (0.0, 1.0))


def judge_file(model: OpenedModel, content: bytes, dataset: Dataset, feed: Feed) -> FileQuality:
    """Run the content of a model's file on the test split and return its quality; raises InputError."""
    split = dataset.test
    if split is None:
        raise InputError(
            f"a data set must have a test split, got '{dataset.name}' without one; add x_test and y_test"
        )
    cores = os.cpu_count() or 1
    run = load_litert(content, cores) if model.runtime == "litert" else load_onnx(content)
    starts = range(0, len(split), EXAMPLES_AT_ONCE)
    parts = [run(feed.apply(split.x[start : start + EXAMPLES_AT_ONCE])) for start in starts]
    return FileQuality(judge_outputs(np.concatenate(parts), dataset, split), len(split), feed.text)
