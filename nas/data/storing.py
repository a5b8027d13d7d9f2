"""Write a source to a folder, chunk by chunk, as the arrays of a `Dataset`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from nas.architecture import Shape
from nas.data.dataset import Dataset, open_arrays
from nas.data.masks import MaskCounts, Numbering, number_labels
from nas.data.options import DataOptions
from nas.data.source import Array, Examples, Source
from nas.data.splits import split_examples
from nas.errors import DataError

__all__ = ["Progress", "store_source"]

Progress = Callable[[str], None]
"""Receives a line about what is being done, every few seconds."""

PROGRESS_SECONDS = 5.0
MASKS_FILE = "masks.tmp"  # unnumbered masks, until all of them are known

SAMPLE = 256  # training images whose contrast is checked
CONTRAST = 0.01  # standard deviation of an image, as a share of the range of its type
FLAT_SHARE = 0.9  # of the sample without contrast, from which on a warning is given


def store_source(
    raw: Source, options: DataOptions, name: str, source: str, folder: Path, progress: Progress | None = None
) -> None:
    """Split a source and write the examples of each split to an existing empty folder.

    name, source: of the data set. Memory is bounded by the chunks of the source. Raises DataError, and
    OSError if the folder cannot be written.
    """
    for key, value in (("ignore_label", options.ignore_label), ("mask_colors", options.mask_colors or None)):
        if raw.task != "segmentation" and value is not None:
            raise DataError(f"{key} must be for masks, got {value} for {raw.task}; omit it")
    parts = split_examples(raw, options.validation, options.split_seed, options.train_limit)
    counter = _Counter(name, sum(len(indices) for _, indices in parts.values()), progress)
    classes, ignored = raw.classes, options.ignore_label
    notes, warnings = list(raw.notes), list(raw.warnings)
    if raw.task == "segmentation":
        counts, chunks = MaskCounts(), {}
        for split, (part, indices) in parts.items():
            chunks[split] = _write_masked(raw, raw.splits[part], indices, folder, split, counts, counter)
        numbering = number_labels(counts, ignored, raw.colour_masks, options.mask_colors, options.labels)
        for split, written in chunks.items():
            _number_masks(folder, split, written, numbering)
        classes, ignored = numbering.classes, numbering.ignore_label
        notes += numbering.notes
        warnings += numbering.warnings
    else:
        for split, (part, indices) in parts.items():
            _write_labelled(raw, raw.splits[part], indices, folder, split, counter)
    splits = {split: open_arrays(folder, split) for split in parts}
    feeding = raw.feeding
    if feeding.channels != "other":
        warnings += _contrast_warnings(splits["train"].x)
        if feeding.rescale and raw.dtype == np.uint8 and _is_binary(split.x for split in splits.values()):
            feeding = feeding.model_copy(update={"rescale": False, "value_range": (0.0, 1.0)})
            notes.append("Values 0 and 1 are fed as they are, not divided by 255.")
    Dataset(
        name=name,
        source=source,
        task=raw.task,
        shape=raw.shape,
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        ignore_label=ignored,
        feeding=feeding,
        notes=tuple(notes),
        warnings=tuple(warnings),
    ).write_record(folder)


@dataclass
class _Counter:
    """Count the examples that are read, and tell the user."""

    name: str
    total: int
    progress: Progress | None
    done: int = 0
    start: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if self.progress is None or now - self.told < PROGRESS_SECONDS:
            return
        self.told = now
        rate = self.done / (now - self.start)
        self.progress(
            f"Reading {self.name}: {self.done:,} of {self.total:,} examples, {rate:,.0f} a second, "
            f"{(self.total - self.done) / rate:,.0f} s left"
        )


class _ArrayFile:
    """An .npy file that is written in chunks.

    Written, not memory-mapped: the memory of a process counts mapped pages, and a full disk ends a process
    that writes to them.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[np.generic]) -> None:
        self._dtype = dtype
        self._file: IO[bytes] = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> _ArrayFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: Array) -> None:
        self._file.write(np.ascontiguousarray(chunk, self._dtype).data)

    def flush(self) -> None:
        """Write to the disk: a file in the cache must be complete even if the machine stops."""
        self._file.flush()
        os.fsync(self._file.fileno())


def _write_labelled(
    raw: Source, examples: Examples, indices: Array, folder: Path, split: str, counter: _Counter
) -> None:
    """Write x and the labels of some examples."""
    if examples.labels is None:
        raise TypeError("examples without masks must have labels")
    labels = examples.labels[indices].astype(np.float32 if raw.task == "regression" else np.int32)
    with _ArrayFile(folder / f"{split}_x.npy", (len(indices), *raw.shape), raw.dtype) as x:
        for chunk, _ in examples.read(indices):
            x.write(chunk)
            counter.add(len(chunk))
        x.flush()
    with _ArrayFile(folder / f"{split}_y.npy", labels.shape, labels.dtype) as y:
        y.write(labels)
        y.flush()


Written = list[tuple[Shape, np.dtype[np.generic]]]
"""Shape and type of each chunk of unnumbered masks in a file."""


def _write_masked(
    raw: Source,
    examples: Examples,
    indices: Array,
    folder: Path,
    split: str,
    counts: MaskCounts,
    counter: _Counter,
) -> Written:
    """Write x and the unnumbered masks of some examples, and count the labels."""
    written: Written = []
    with ExitStack() as stack:
        x = stack.enter_context(_ArrayFile(folder / f"{split}_x.npy", (len(indices), *raw.shape), raw.dtype))
        file = stack.enter_context((folder / f"{split}_{MASKS_FILE}").open("wb"))
        for chunk, masks in examples.read(indices):
            if masks is None:
                raise TypeError("examples without labels must have masks")
            x.write(chunk)
            counts.add(masks)
            file.write(np.ascontiguousarray(masks).data)
            written.append((masks.shape, masks.dtype))
            counter.add(len(chunk))
        x.flush()
    return written


def _number_masks(folder: Path, split: str, written: Written, numbering: Numbering) -> None:
    """Write the numbered masks of a split, and remove the file of the unnumbered ones."""
    path = folder / f"{split}_{MASKS_FILE}"
    shape = (sum(shape[0] for shape, _ in written), *written[0][0][1:])
    with path.open("rb") as file, _ArrayFile(folder / f"{split}_y.npy", shape, numbering.dtype) as y:
        for chunk_shape, dtype in written:
            masks = np.fromfile(file, dtype, int(np.prod(chunk_shape))).reshape(chunk_shape)
            y.write(numbering.apply(masks))
        y.flush()
    path.unlink()


def _is_binary(arrays: Iterable[Array]) -> bool:
    """Check whether no value is over 1; stops at the first chunk with one that is."""
    chunks = (x[start : start + SAMPLE] for x in arrays for start in range(0, len(x), SAMPLE))
    return not any((chunk > 1).any() for chunk in chunks)


def _contrast_warnings(x: Array) -> list[str]:
    """Return a warning if nearly all of a sample of training images are one plain colour, or all are dark."""
    indices = range(0, len(x), -(-len(x) // SAMPLE))
    lows, highs, deviations = np.array(
        [(image.min(), image.max(), image.std(dtype=np.float32)) for image in (x[index] for index in indices)]
    ).T
    low, high = lows.min(), highs.max()
    span = 255.0 if x.dtype == np.uint8 and high > 1 else high - low
    flat = deviations <= CONTRAST * span
    if flat.mean() > FLAT_SHARE:
        return [
            f"{flat.mean():.0%} of {len(indices)} sampled images have almost no contrast (each is nearly one "
            "colour): are they read right?"
        ]
    if x.dtype == np.uint8 and 1 < high - low < 64:
        return [
            f"{len(indices)} sampled images have values of {low:.0f} to {high:.0f} only, of 0 to 255: are "
            "they read right?"
        ]
    return []
