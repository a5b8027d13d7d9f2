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

from nas.data.cache import content_key, locked_entry, new_entry, refuse_cache_within
from nas.data.dataset import Dataset
from nas.data.named_datasets import CLASS_NAMES, read_digits, read_keras
from nas.data.options import DataOptions
from nas.data.path_reader import read_path
from nas.data.source import Source
from nas.data.storing import Progress, store_source
from nas.errors import DataError, RunError, nearest

__all__ = ["load_dataset"]

_DEFAULTS = DataOptions()


def load_dataset(
    source: str = "digits", options: DataOptions = _DEFAULTS, progress: Progress | None = None
) -> Dataset:
    """Read a data set by its name or path, and split it; its arrays are memory-mapped files in the cache.

    Splits that the source has are kept. A missing validation split is taken from the training examples,
    stratified by class with the seed of the options; a missing test split is a fifth of the training
    examples, the same for every seed. A search never uses the test split. Labels may be any integers or text:
    classes are numbered from 0 in ascending order of the labels and named by them. What is inferred is in
    `notes`, what is doubtful in `warnings`.

    progress: receives a line every few seconds while examples are read. The next load of the same content
    with the same options reads nothing. Raises DataError, InputError if the cache cannot be written or is
    among the data, RunError if its disk is full.
    """
    path = None if source in CLASS_NAMES else _existing_path(source)
    name = source if path is None else path.resolve().stem
    if path is not None:
        refuse_cache_within(path)
    key = content_key(path, source if path is None else path.name, options)
    with locked_entry(key) as folder:
        dataset = _open_entry(folder, name, source)
        if dataset is None:
            with new_entry(folder) as new:
                raw = read_path(path, options) if path else _read_name(source, options)
                store_source(raw, options, name, source, new, progress)
                if path and content_key(path, path.name, options) != key:
                    raise DataError(
                        f"data must not change while they are read, but files of {source} have; try again"
                    )
            dataset = Dataset.open(folder, name, source)
    return dataset


def _open_entry(folder: Path, name: str, source: str) -> Dataset | None:
    """Open a data set in the cache; None if it is not there, or damaged, so that it must be read."""
    try:
        return Dataset.open(folder, name, source)  # the same content may have had another path
    except RunError:
        return None


def _read_name(name: str, options: DataOptions) -> Source:
    return read_digits(options) if name == "digits" else read_keras(name, options)


def _existing_path(source: str) -> Path:
    """Return the path of a data set; raises DataError if there is none."""
    path = Path(source).expanduser()
    if source and os.path.exists(path):  # unlike pathlib's, False without a permission
        return path
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
