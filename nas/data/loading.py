"""Load a `Dataset` of training, validation and test examples by its name or path.

    digits                                    scikit-learn's digits, included; 16x16 unless a size is given
    mnist fashion_mnist cifar10 cifar100      Keras' loaders, which download to Keras' cache
    FILE.npz                                  x_train y_train [x_val y_val] [x_test y_test], or x y
    FOLDER, FILE.zip                          one sub-folder per class, or images/ and masks/ (PNG of labels);
                                              either may be split by train/ [val/] [test/]; or labels.csv
                                              beside images, or images whose names hold the label
    FILE.csv                                  columns file, label and, where present, split
    FILE.parquet, FILE.tfrecord, FOLDER       images of a Hugging Face data set; records with features.yaml

Names take precedence over paths: write ./mnist for a folder with that name.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np

from nas.data.dataset import Dataset, Split
from nas.data.named_datasets import CLASS_NAMES, read_digits, read_keras
from nas.data.options import DataOptions
from nas.data.path_reader import read_path
from nas.data.source import Array, Examples, Source, compact_masks
from nas.data.splits import number_mask_labels, split_examples
from nas.errors import DataError, nearest

__all__ = ["load_dataset"]

_DEFAULTS = DataOptions()


def load_dataset(source: str = "digits", options: DataOptions = _DEFAULTS) -> Dataset:
    """Read a data set by its name or path, and split it.

    Splits that the source has are kept. A missing validation split is taken from the training examples,
    stratified by class with the seed of the options; a missing test split is a fifth of the training
    examples, the same for every seed. A search never uses the test split. Labels may be any integers or text:
    classes are numbered from 0 in ascending order of the labels and named by them. What is inferred is in
    `notes`, what is doubtful in `warnings`. Raises DataError.
    """
    raw = _read_source(source, options)
    if raw.task != "segmentation" and options.ignore_label is not None:
        raise DataError(f"ignore_label must be for masks, got {options.ignore_label} for {raw.task}; omit it")
    parts = split_examples(raw, options.validation, options.split_seed, options.train_limit)
    read = {name: _read_examples(raw, raw.splits[part], indices) for name, (part, indices) in parts.items()}
    classes, ignored = raw.classes, options.ignore_label
    if raw.task == "segmentation":
        targets, classes, ignored = number_mask_labels({name: y for name, (_, y) in read.items()}, ignored)
    else:
        targets = {name: y for name, (_, y) in read.items()}
    splits = {name: Split(x, targets[name]) for name, (x, _) in read.items()}
    return Dataset(
        name=source if source in CLASS_NAMES else Path(source).stem,
        source=source,
        task=raw.task,
        shape=raw.shape,
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        ignore_label=ignored,
        feeding=raw.feeding,
        notes=raw.notes,
        warnings=raw.warnings,
    )


def _read_examples(source: Source, examples: Examples, indices: Array) -> tuple[Array, Array]:
    """Return x and the labels or masks of some examples."""
    x, masks, done = np.empty((len(indices), *source.shape), source.dtype), [], 0
    for chunk, chunk_masks in examples.read(indices):
        x[done : done + len(chunk)] = chunk
        done += len(chunk)
        if chunk_masks is not None:
            masks.append(chunk_masks)
    if examples.labels is None:
        return x, compact_masks(np.concatenate(masks))
    y = examples.labels[indices]
    return x, y.astype(np.float32 if source.task == "regression" else np.int32)


def _read_source(source: str, options: DataOptions) -> Source:
    """Read a name or path with the function for its kind; raises DataError if there is none."""
    if source == "digits":
        return read_digits(options)
    if source in CLASS_NAMES:
        return read_keras(source, options)
    path = Path(source).expanduser()
    if not (source and os.path.exists(path)):  # unlike pathlib's, False without a permission
        if path.suffix or len(path.parts) > 1:
            parent = path.parent
            names = os.listdir(parent) if os.access(parent, os.R_OK | os.X_OK) and parent.is_dir() else []
            close = difflib.get_close_matches(path.name, names, n=1)
            fix = f"did you mean {parent / close[0]}?" if close else "check the path"
            raise DataError(f"a data set's file must exist, got {source}; {fix}")
        raise DataError(
            f"a data set must be a name, a file or a folder, got '{source}'; "
            f"{nearest(source.lower(), CLASS_NAMES)}"
        )
    return read_path(path, options)
