"""Examples from NumPy arrays: an `.npz` file, or arrays that a loader returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from nas.architecture import Shape
from nas.data.array_keys import CLASS_NAMES_KEY, find_keys, parse_key
from nas.data.axes import Layout, find_layout
from nas.data.duplicates import LabelledArray, find_equal_rows
from nas.data.feeding import Feeding
from nas.data.npz_file import read_npz_arrays
from nas.data.options import Axes, DataOptions
from nas.data.source import Array, Chunk, Examples, Source, resize_masks
from nas.data.targets import find_targets, squeeze_labels
from nas.data.value_range import ValueScaling, find_scaling
from nas.errors import DataError

__all__ = ["read_npz", "source_from_arrays"]

CHUNK = 4096  # examples that are resized at once, which bounds the memory

Pairs = Mapping[str, tuple[str, str]]
"""The names of the arrays of examples and labels, by split."""


def read_npz(path: Path, options: DataOptions) -> Source:
    """Read an .npz with the array names of Keras, of MedMNIST, or x and y.

    Pickled objects are never loaded. Raises DataError if the file cannot be read or an array is missing or
    unsuitable.
    """
    arrays, names = read_npz_arrays(path, lambda key: parse_key(key) is not None or key == CLASS_NAMES_KEY)
    pairs = find_keys(names, path)
    class_names: tuple[str, ...] = ()
    if CLASS_NAMES_KEY in arrays:
        class_names = tuple(map(str, squeeze_labels(arrays[CLASS_NAMES_KEY], CLASS_NAMES_KEY).tolist()))
    source = source_from_arrays(arrays, pairs, class_names, options)
    unused = sorted(set(names) - set(arrays))
    if not unused:
        return source
    return replace(source, notes=(*source.notes, f"Arrays that are not used: {', '.join(unused)}."))


def source_from_arrays(
    arrays: Mapping[str, Array], pairs: Pairs, class_names: Sequence[str], options: DataOptions
) -> Source:
    """Create a source from arrays of examples and labels.

    pairs: the names of both arrays by split, 'train' first. class_names: the name of each label from 0;
    empty: classes are named by their labels. Raises DataError.
    """
    for x_key, y_key in pairs.values():
        if len(arrays[x_key]) != len(arrays[y_key]):
            raise DataError(
                f"{x_key} and {y_key} must be of one length, got {len(arrays[x_key])} and "
                f"{len(arrays[y_key])}; add or remove examples so that each has one label"
            )
    if options.mask_colors:
        raise DataError(
            f"mask_colors must be for masks in image files, got {', '.join(options.mask_colors)} for arrays; "
            "omit it, and save masks as the numbers of their classes (n, height, width)"
        )
    labels = {y_key: arrays[y_key] for _, y_key in pairs.values()}
    targets = find_targets(labels, options.labels, class_names)
    has_masks = targets.task == "segmentation"
    raw = {x_key: _check_type(arrays[x_key], x_key) for x_key, _ in pairs.values()}
    mask_sizes = [targets.labels[key].shape[1:] if has_masks else None for key in labels]
    layouts = _find_layouts(raw, mask_sizes, options.axes)
    kind = layouts[0].kind
    if kind == "signals" and options.image_size is not None:
        raise DataError(
            f"an image size must be for images, got signals of shape {raw[next(iter(raw))].shape[1:]}; "
            "omit it"
        )
    inputs = {key: layout.apply(x) for (key, x), layout in zip(raw.items(), layouts, strict=True)}
    shape = _common_shape(inputs, options.image_size)
    if has_masks:
        for x_key, y_key in pairs.values():
            _check_masks(x_key, inputs[x_key], y_key, targets.labels[y_key])
    scaling = find_scaling(inputs, options.image_size is not None)
    rows, repeats, doubts = find_equal_rows(
        {
            split: LabelledArray(x_key, inputs[x_key], targets.labels[y_key])
            for split, (x_key, y_key) in pairs.items()
        },
        scaling.apply,
        options.drop_duplicates,
    )
    readers = {
        split: _Reader(
            inputs[x_key],
            rows[split],
            targets.labels[y_key] if has_masks else None,
            scaling,
            shape[-1],
            options.image_size,
        )
        for split, (x_key, y_key) in pairs.items()
    }
    return Source(
        task=targets.task,
        classes=targets.classes,
        splits={
            split: Examples(
                len(rows[split]), None if has_masks else targets.labels[y_key][rows[split]], readers[split]
            )
            for split, (_, y_key) in pairs.items()
        },
        shape=shape,
        dtype=np.dtype(scaling.dtype),
        feeding=Feeding(
            rescale=scaling.rescale,
            value_range=scaling.value_range,
            channels="other" if kind == "signals" else _CHANNELS.get(shape[-1], "other"),
            resize="" if options.image_size is None else "bilinear",
        ),
        may_be_numbers=targets.may_be_numbers,
        notes=(*(note for note in [layouts[0].note] if note), scaling.note, *targets.notes, *repeats),
        warnings=(*scaling.warnings, *targets.warnings, *doubts),
    )


_CHANNELS: Mapping[int, Literal["grey", "RGB"]] = {1: "grey", 3: "RGB"}


class _Reader:
    """Reads the rows that are the examples of one split in chunks: scaled, resized, with their masks."""

    def __init__(
        self,
        x: Array,
        rows: Array,
        masks: Array | None,
        scaling: ValueScaling,
        channels: int,
        image_size: int | None,
    ) -> None:
        self._x, self._rows, self._masks, self._scaling = x, rows, masks, scaling
        self._channels, self._image_size = channels, image_size

    def __call__(self, indices: Array) -> Iterator[Chunk]:
        for start in range(0, len(indices), CHUNK):
            some = self._rows[indices[start : start + CHUNK]]
            x = self._scaling.apply(self._x[some])
            if x.shape[-1] < self._channels:  # a grey split of a data set with colours
                x = np.repeat(x, self._channels, axis=-1)
            masks = None if self._masks is None else resize_masks(self._masks[some], self._image_size)
            yield _resize_images(x, self._image_size), masks


def _check_type(x: Array, key: str) -> Array:
    """Return numbers as they are and truth values as 0 and 1; raises DataError for other types."""
    if x.dtype.kind not in "iubf":
        raise DataError(f"{key} must hold integers or floating-point numbers, got {x.dtype}; convert it")
    return x.view(np.uint8) if x.dtype.kind == "b" else x


def _find_layouts(
    inputs: Mapping[str, Array], mask_sizes: Sequence[tuple[int, ...] | None], axes: Axes
) -> list[Layout]:
    """Return the layout of each split; one with as many axes as the first one has its layout."""
    (first_key, first), *others = inputs.items()
    layouts = [find_layout(first, first_key, axes, mask_sizes[0])]
    shape = layouts[0].apply(first).shape[1:]
    for (key, x), mask_size in zip(others, mask_sizes[1:], strict=True):
        if x.ndim == first.ndim:
            layouts.append(layouts[0])
        elif x.shape[1:] == shape:
            layouts.append(Layout("images"))
        else:
            layouts.append(find_layout(x, key, axes, mask_size))
    return layouts


def _common_shape(inputs: Mapping[str, Array], image_size: int | None) -> Shape:
    """Return the shape of an example of all splits, with colours if one has them; raises DataError."""
    (first_key, first), *others = inputs.items()
    channels = {x.shape[-1] for x in inputs.values()}
    for key, x in others:
        same_size = x.ndim == first.ndim and (image_size is not None or x.shape[1:-1] == first.shape[1:-1])
        if not same_size or (len(channels) > 1 and not (channels == {1, 3} and x.ndim == 4)):
            raise DataError(
                f"all splits must have examples of one shape, got {first.shape[1:]} in {first_key} and "
                f"{x.shape[1:]} in {key}; convert one, images with --image-size 64"
            )
    size = first.shape[1:-1] if image_size is None else (image_size, image_size)
    return (*size, max(channels))


def _check_masks(x_key: str, x: Array, y_key: str, y: Array) -> None:
    if x.ndim != 4 or x.shape[1:3] != y.shape[1:]:
        raise DataError(
            f"masks must have the size of their images, got {x_key} {x.shape} and {y_key} {y.shape}; "
            "use one label per pixel, (n, height, width)"
        )


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
