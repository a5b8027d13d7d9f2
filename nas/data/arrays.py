"""Examples from NumPy arrays: an `.npz` file, or arrays that a loader returns."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from nas.data.feeding import Feeding
from nas.data.options import DataOptions
from nas.data.source import Array, Chunk, Examples, Source, resize_masks
from nas.errors import DataError

__all__ = ["read_npz", "source_from_arrays"]

SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
"""The name of each split, by its suffix in an .npz: x_train, x_val, x_test."""

CHUNK = 4096  # examples that are resized at once, which bounds the memory

READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""Errors from reading a damaged .npz; NotImplementedError: a compression that zipfile does not support."""


def read_npz(path: Path, options: DataOptions) -> Source:
    """Read an .npz with the array names of Keras; pickled objects are never loaded.

    Raises DataError if the file cannot be read or an array is missing or unsuitable.
    """
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise zipfile.BadZipFile("not an archive of arrays, or truncated")
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
            f"an .npz must be readable by numpy.load, got {path}, which is not ({error}); write it again"
        ) from error
    required = {"x_train", "y_train"} | {
        f"{axis}_{split}"
        for split in SPLIT_NAMES
        for axis in "xy"
        if f"x_{split}" in arrays or f"y_{split}" in arrays
    }
    if missing := sorted(required - set(arrays)):
        raise DataError(
            f"an .npz must hold {', '.join(missing)}, got {', '.join(keys) or 'nothing'} in {path}; save it "
            "with np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)"
        )
    return source_from_arrays(arrays, (), options.image_size)


def source_from_arrays(
    arrays: Mapping[str, Array], class_names: tuple[str, ...], image_size: int | None
) -> Source:
    """Create a source from arrays `x_train`, `y_train` and, where present, those of `val` and `test`.

    `class_names`: the name of each label from 0; empty: classes are named by their labels. Raises DataError.
    """
    present = [split for split in SPLIT_NAMES if f"x_{split}" in arrays]
    labels = {split: _validate_labels(arrays[f"y_{split}"], f"y_{split}") for split in present}
    for split, y in labels.items():
        if len(arrays[f"x_{split}"]) != len(y):
            raise DataError(
                f"x_{split} and y_{split} must be of one length, got {len(arrays[f'x_{split}'])} and "
                f"{len(y)}; add or remove examples so that each has one label"
            )
    inputs = {
        split: _validate_inputs(arrays[f"x_{split}"], f"x_{split}", labels[split].ndim == 3, image_size)
        for split in present
    }
    inputs = _unify_shapes(inputs, image_size)
    example = inputs["train"][0]
    is_image = example.ndim == 3
    shape = example.shape if image_size is None else (image_size, image_size, example.shape[-1])
    has_masks = labels["train"].ndim == 3
    classes: tuple[str, ...] = ()
    targets: Mapping[str, Array | None] = dict.fromkeys(present)
    if has_masks:
        for split in present:
            _check_masks(inputs[split], labels[split], split)
    else:
        classes, targets = _number_classes(labels, class_names)
    return Source(
        task="segmentation" if has_masks else "classification",
        classes=classes,
        splits={
            SPLIT_NAMES[split]: Examples(
                len(inputs[split]), targets[split], _reader(inputs[split], labels[split], image_size)
            )
            for split in present
        },
        shape=shape,
        dtype=example.dtype,
        feeding=Feeding(
            rescale=example.dtype == np.uint8,
            channels={1: "grey", 3: "RGB"}.get(shape[-1], "other") if is_image else "other",
            resize="" if image_size is None else "bilinear",
        ),
    )


def _number_classes(
    labels: Mapping[str, Array], class_names: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, Array]]:
    """Return the names of the classes and the labels of each split, numbered from 0."""
    values = np.unique(labels["train"])
    numbered = {}
    for split, y in labels.items():
        if y.ndim != 1:
            raise DataError(
                f"all labels must be classes or all masks, got classes in y_train and masks in y_{split}; "
                "convert one"
            )
        if unknown := sorted(set(np.unique(y).tolist()) - set(values.tolist())):
            raise DataError(
                f"every label of y_{split} must occur in y_train, got {unknown[0]}; add examples of it to "
                f"x_train or remove it from x_{split}"
            )
        numbered[split] = np.searchsorted(values, y)
    return tuple(class_names[value] if class_names else str(value) for value in values.tolist()), numbered


def _reader(x: Array, y: Array, image_size: int | None) -> Callable[[Array], Iterator[Chunk]]:
    """Return the function that yields resized examples in chunks, with masks if `y` holds masks."""

    def read(indices: Array) -> Iterator[Chunk]:
        for start in range(0, len(indices), CHUNK):
            some = indices[start : start + CHUNK]
            masks = resize_masks(y[some], image_size) if y.ndim == 3 else None
            yield _resize_images(x[some], image_size), masks

    return read


def _check_masks(x: Array, y: Array, split: str) -> None:
    if y.ndim != 3 or x.shape[1:3] != y.shape[1:]:
        raise DataError(
            f"masks must have the size of their images, got x_{split} {x.shape} and y_{split} {y.shape}; "
            "use one label per pixel, (n, height, width)"
        )


def _validate_labels(y: Array, key: str) -> Array:
    """Return class labels (n,) or masks (n, height, width) of integers; raises DataError for others."""
    y = y.reshape(-1) if y.ndim > 1 and y.shape[1:] == (1,) * (y.ndim - 1) else y
    y = y[..., 0] if y.ndim == 4 and y.shape[-1] == 1 else y
    if y.dtype.kind not in "iub":
        raise DataError(
            f"{key} must hold integers, got {y.dtype}; number the classes, with y.astype('int32')"
        )
    if y.ndim not in (1, 3):
        fix = (
            "undo a one-hot encoding with y.argmax(axis=-1)"
            if y.ndim in (2, 4)
            else "use one label per example"
        )
        raise DataError(f"{key} must be (n,), or (n, height, width) for masks, got {y.shape}; {fix}")
    if len(y) == 0:
        raise DataError(f"{key} must hold examples, got none; add some or omit {key} and its images")
    return y.astype(np.uint8) if y.dtype.kind == "b" else y


def _validate_inputs(x: Array, key: str, has_masks: bool, image_size: int | None) -> Array:
    """Return uint8 or float32 images (n, height, width, channels), or float32 signals (n, length, channels).

    Three axes are grey images if x holds integers, has masks or is square; otherwise they are signals.
    Raises DataError for other shapes, types and values.
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
    is_integer = x.dtype.kind in "iu"
    is_signal = x.ndim == 3 and not (is_integer or has_masks or x.shape[1] == x.shape[2])
    if is_signal and image_size is not None:
        raise DataError(f"an image size must be for images, got signals of shape {x.shape[1:]}; omit it")
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(
            f"{key} must have its channels last, got {x.shape}; move them with np.moveaxis(x, 1, -1)"
        )
    x = x if is_signal or x.ndim == 4 else x[..., None]
    if is_integer:
        if x.dtype != np.uint8 and not (int(x.min()) >= 0 and int(x.max()) <= 255):
            raise DataError(
                f"the integers of {key} must be 0..255, got {x.min()}..{x.max()}; scale them, or use "
                "floating-point numbers with x.astype('float32')"
            )
        return x.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        index = int(np.argmin(finite))
        raise DataError(
            f"{key} must be finite, got NaN, infinity or more than float32 holds in example {index}; replace "
            "such values with np.nan_to_num(x)"
        )
    return x


def _unify_shapes(inputs: Mapping[str, Array], image_size: int | None) -> dict[str, Array]:
    """Convert grey images to RGB if another split has colour; raises DataError for other differences."""
    if {(x.shape[-1], x.dtype) for x in inputs.values()} == {(1, np.dtype("u1")), (3, np.dtype("u1"))}:
        inputs = {name: np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for name, x in inputs.items()}
    shape, dtype = inputs["train"].shape[1:], inputs["train"].dtype
    for name, x in inputs.items():
        fits = x.shape[1:] == shape if image_size is None else x.shape[-1] == shape[-1]
        if not fits or x.dtype != dtype:
            raise DataError(
                f"all splits must have examples of one shape and type, got {shape} {dtype} for training and "
                f"{x.shape[1:]} {x.dtype} for {SPLIT_NAMES[name]}; convert one, images with --image-size 64"
            )
    return dict(inputs)


def _resize_images(x: Array, image_size: int | None) -> Array:
    """Resize images (n, height, width, channels) to squares: bilinear, with anti-aliasing when shrinking."""
    from PIL import Image

    if image_size is None or x.shape[1:3] == (image_size, image_size):
        return x
    channels = x.shape[-1]
    all_channels = channels == 3 and x.dtype == np.uint8  # Pillow resizes RGB at once, others per channel
    resized = np.empty((len(x), image_size, image_size, channels), x.dtype)
    size, method = (image_size, image_size), Image.Resampling.BILINEAR
    for image, target in zip(x, resized, strict=True):
        if all_channels:
            target[...] = Image.fromarray(np.ascontiguousarray(image)).resize(size, method)
            continue
        for channel in range(channels):
            plane = np.ascontiguousarray(image[..., channel])
            target[..., channel] = Image.fromarray(plane).resize(size, method)
    return resized
