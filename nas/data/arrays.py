"""Examples before they are split: a `Source` from arrays (`.npz`, Keras' loaders, scikit-learn's digits)."""

from __future__ import annotations

import contextlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import DataError

__all__ = [
    "NAMED",
    "Array",
    "Examples",
    "Source",
    "integer_masks",
    "read_digits",
    "read_keras",
    "read_npz",
    "resized_masks",
]

Array = np.ndarray[Any, np.dtype[Any]]

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo",
    "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree",
    "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit",
    "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe",
    "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
NAMED: Mapping[str, tuple[str, ...]] = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": CLOTHES,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
"""The names of the classes of each data set that is known by name."""

KEYS = {"train": "train", "val": "validation", "test": "test"}
"""The splits as an .npz names them, and as they are named here."""

READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What reading a damaged .npz raises; NotImplementedError: a compression that zipfile does not know."""


@dataclass(frozen=True)
class Examples:
    """The examples of one split, known by number and read when they are chosen."""

    count: int
    labels: Array | None  # (count,) classes from 0; None: masks, which `read` brings
    read: Callable[[Array], tuple[Array, Array | None]]  # numbers -> x, and masks or None


@dataclass(frozen=True)
class Source:
    """All that a source has, in the splits that it has."""

    classes: tuple[str, ...]  # empty for masks, whose labels are known when they are read
    splits: Mapping[str, Examples]  # 'train', and where given 'validation', 'test'

    def labels(self, split: str, numbers: Array) -> Array:
        """Give the classes (n,) int32 of some examples of a split; raises TypeError where it has masks."""
        labels = self.splits[split].labels
        if labels is None:
            raise TypeError(f"the split '{split}' has masks, not classes")
        return labels[numbers].astype(np.int32)


def read_digits(side: int | None) -> Source:
    """Read scikit-learn's 1,797 digits (8x8, 0..16) as uint8 images, 16x16 where no side is asked for."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images = np.rint(x * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return _from_arrays({"x_train": images, "y_train": y}, NAMED["digits"], side or 16)


def read_keras(name: str, side: int | None) -> Source:
    """Read a data set through its Keras loader, from Keras' cache or, the first time, the network."""
    from keras import datasets

    loaders = {
        "mnist": datasets.mnist,
        "fashion_mnist": datasets.fashion_mnist,
        "cifar10": datasets.cifar10,
        "cifar100": datasets.cifar100,
    }
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where progress belongs
            (x_train, y_train), (x_test, y_test) = loaders[name].load_data()
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"'{name}' must be in Keras' cache or be downloadable, got: {reason}; without a network "
            f"give a local file with x_train, y_train, x_test, y_test: --data path/to/{name}.npz"
        ) from error
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return _from_arrays(arrays, NAMED[name], side)


def read_npz(path: Path, side: int | None) -> Source:
    """Read an .npz in Keras' convention; nothing pickled is ever loaded."""
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise zipfile.BadZipFile("no archive of arrays, or cut off")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                keys = list(file.files)
                arrays = {key: file[key] for key in keys if key.startswith(("x_", "y_"))}
    except READ_ERRORS as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"the arrays of {path} must hold plain numbers, got pickled Python objects (dtype object); "
                "save them with one shape and a number type, for example x.astype('uint8')"
            ) from error
        raise DataError(
            f"an .npz must be readable by numpy.load, got {path} that is not ({error}); write it again"
        ) from error
    wanted = {"x_train", "y_train"} | {
        f"{axis}_{key}" for key in KEYS for axis in "xy" if f"x_{key}" in arrays or f"y_{key}" in arrays
    }
    if missing := sorted(wanted - set(arrays)):
        raise DataError(
            f"an .npz must hold {', '.join(missing)}, got {', '.join(keys) or 'nothing'} in {path}; save it "
            "with np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)"
        )
    return _from_arrays(arrays, (), side)


def _from_arrays(arrays: Mapping[str, Array], names: tuple[str, ...], side: int | None) -> Source:
    keys = [key for key in KEYS if f"x_{key}" in arrays]
    labels = {key: _labels(arrays[f"y_{key}"], f"y_{key}") for key in keys}
    for key, y in labels.items():
        if len(arrays[f"x_{key}"]) != len(y):
            raise DataError(
                f"x_{key} and y_{key} must be of one length, got {len(arrays[f'x_{key}'])} and {len(y)}; "
                "give each example one label"
            )
    inputs = {key: _inputs(arrays[f"x_{key}"], f"x_{key}", labels[key].ndim == 3, side) for key in keys}
    if labels["train"].ndim == 3:
        return Source((), {KEYS[key]: _masked(inputs[key], labels[key], key, side) for key in keys})
    values = np.unique(labels["train"])
    splits = {}
    for key, y in labels.items():
        if y.ndim != 1:
            raise DataError(
                f"all labels must be classes or all masks, got classes in y_train and masks in y_{key}; "
                "convert one"
            )
        if unknown := sorted(set(np.unique(y).tolist()) - set(values.tolist())):
            raise DataError(
                f"every label of y_{key} must occur in y_train, got {unknown[0]}; add examples of it to "
                f"x_train or leave it out of x_{key}"
            )
        splits[KEYS[key]] = _labelled(inputs[key], np.searchsorted(values, y), side)
    return Source(tuple(names[value] if names else str(value) for value in values.tolist()), splits)


def _labelled(x: Array, y: Array, side: int | None) -> Examples:
    return Examples(len(x), y, lambda numbers: (_resized(x[numbers], side), None))


def _masked(x: Array, y: Array, key: str, side: int | None) -> Examples:
    if y.ndim != 3 or x.shape[1:3] != y.shape[1:]:
        raise DataError(
            f"masks must have the size of their images, got x_{key} {x.shape} and y_{key} {y.shape}; give "
            "one label for each pixel, (n, height, width)"
        )
    return Examples(
        len(x), None, lambda numbers: (_resized(x[numbers], side), resized_masks(y[numbers], side))
    )


def _labels(y: Array, key: str) -> Array:
    """Give labels as (n,) or masks as (n, height, width) of integers."""
    y = y.reshape(-1) if y.ndim > 1 and y.shape[1:] == (1,) * (y.ndim - 1) else y
    y = y[..., 0] if y.ndim == 4 and y.shape[-1] == 1 else y
    if y.dtype.kind not in "iub":
        raise DataError(
            f"{key} must hold integers, got {y.dtype}; number the classes, with y.astype('int32')"
        )
    if y.ndim not in (1, 3):
        fix = (
            "undo a one-hot coding with y.argmax(axis=-1)"
            if y.ndim in (2, 4)
            else "give one label an example"
        )
        raise DataError(f"{key} must be (n,), or (n, height, width) for masks, got {y.shape}; {fix}")
    if len(y) == 0:
        raise DataError(f"{key} must hold examples, got none; add some or leave {key} and its images out")
    return y.astype(np.uint8) if y.dtype.kind == "b" else y


def _inputs(x: Array, key: str, masked: bool, side: int | None) -> Array:
    """Give uint8 or float32 images (n, height, width, channels), or float32 signals (n, length, channels).

    Three axes are grey images where x is of integers, has masks or is square; else they are signals.
    """
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise DataError(
            f"{key} must be (n, height, width), (n, height, width, channels), or (n, length, channels) for "
            f"signals, got {x.shape}; reshape it"
        )
    if x.dtype.kind not in "iuf":
        raise DataError(
            f"{key} must hold integers 0..255 or floating-point numbers, got {x.dtype}; convert it"
        )
    integers = x.dtype.kind in "iu"
    signal = x.ndim == 3 and not (integers or masked or x.shape[1] == x.shape[2])
    if signal and side is not None:
        raise DataError(f"an image size must be for images, got signals of shape {x.shape[1:]}; leave it out")
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(
            f"{key} must have its channels last, got {x.shape}; move them with np.moveaxis(x, 1, -1)"
        )
    x = x if signal or x.ndim == 4 else x[..., None]
    if integers:
        if x.dtype != np.uint8 and not (int(x.min()) >= 0 and int(x.max()) <= 255):
            raise DataError(
                f"the integers of {key} must be 0..255, got {x.min()}..{x.max()}; scale them, or give "
                "floating-point numbers with x.astype('float32')"
            )
        return x.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        place = int(np.argmin(finite))
        raise DataError(
            f"{key} must be finite, got NaN, infinity or more than float32 holds in example {place}; mend it "
            "with np.nan_to_num(x)"
        )
    return x


def _resized(x: Array, side: int | None) -> Array:
    """Resize images (n, height, width, channels) to squares, bilinear (anti-aliased where they shrink)."""
    from PIL import Image

    if side is None or x.shape[1:3] == (side, side):
        return x
    channels = x.shape[-1]
    joint = channels == 3 and x.dtype == np.uint8  # Pillow resizes these in one go, others by channel
    result = np.empty((len(x), side, side, channels), x.dtype)
    size, way = (side, side), Image.Resampling.BILINEAR
    for image, target in zip(x, result, strict=True):
        if joint:
            target[...] = Image.fromarray(np.ascontiguousarray(image)).resize(size, way)
            continue
        for channel in range(channels):
            plane = np.ascontiguousarray(image[..., channel])
            target[..., channel] = Image.fromarray(plane).resize(size, way)
    return result


def resized_masks(masks: Array, side: int | None) -> Array:
    """Resize masks (n, height, width) to squares by taking the nearest pixel."""
    if side is None or masks.shape[1:] == (side, side):
        return masks
    rows, columns = (
        ((np.arange(side) + 0.5) * (length / side)).astype(np.intp) for length in masks.shape[1:]
    )
    return masks[:, rows[:, None], columns]


def integer_masks(masks: Array) -> Array:
    """Give masks as uint8 where their labels fit, else as int32."""
    fits = masks.dtype == np.uint8 or (masks.min() >= 0 and masks.max() <= 255)
    return masks.astype(np.uint8 if fits else np.int32, copy=False)
