"""Load a `Dataset` of training, validation and test examples by its name or path.

    digits                                    scikit-learn's digits, included; 16x16 unless a size is given
    mnist fashion_mnist cifar10 cifar100      Keras' loaders, which download to Keras' cache
    FILE.npz                                  x_train y_train [x_val y_val] [x_test y_test]
    FOLDER, FILE.zip                          one sub-folder per class, or images/ and masks/ (PNG of labels);
                                              either may be split by train/ [val/] [test/]

Names take precedence over paths: write ./mnist for a folder with that name.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Shape
from nas.data.arrays import read_npz
from nas.data.image_folders import read_folder, read_zip
from nas.data.named_datasets import CLASS_NAMES, read_digits, read_keras
from nas.data.source import Array, Source, compact_masks
from nas.data.splits import number_mask_labels, split_examples
from nas.errors import DataError, RunError, nearest

__all__ = ["RECORD_FILE", "DataOptions", "Dataset", "Split", "load_dataset"]

RECORD_FILE = "dataset.json"  # in the folder of a saved data set, next to its arrays
IMBALANCE = 3.0  # examples of the largest class per example of the smallest, from which on accuracy misleads


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in the order in which they are read; training examples are shuffled."""

    x: Array  # (n, height, width, channels) uint8 or float32, or (n, length, channels) float32 signals
    y: Array  # (n,) int32 classes, or (n, height, width) uint8 or int32 masks

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class DataOptions:
    """How to read and split a data set; raises DataError for an impossible value."""

    image_size: int | None = None  # images are resized to squares of this side; None: not resized
    validation: float = 0.2  # share of the training examples, if the source has no validation split
    seed: int = 0  # of the validation split, the subset for train_limit and the training order
    train_limit: int | None = None  # maximum of training examples, stratified; validation keeps its share
    ignore_label: int | None = None  # of masks: the label to ignore; None: 255 if masks contain it

    def __post_init__(self) -> None:
        for name in ("image_size", "train_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, got {value}; omit it for the default")
        if not 0.0 < self.validation < 1.0:
            raise DataError(
                f"validation must be a share between 0 and 1, got {self.validation}; use for example 0.2"
            )
        if self.seed < 0:
            raise DataError(f"seed must be 0 or more, got {self.seed}; use for example 0")


_DEFAULTS = DataOptions()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples in three splits; a search never uses `test`."""

    name: str  # 'digits', or the file's stem
    source: str  # the name or path that the user passed
    task: str  # 'classification' | 'segmentation'
    shape: Shape  # of one example, channels last
    classes: tuple[str, ...]  # names; label i is classes[i]
    train: Split
    validation: Split
    test: Split | None
    ignore_label: int | None = None  # segmentation: the label in y to ignore

    @property
    def rescale(self) -> bool:
        """Whether x is uint8, which the network divides by 255."""
        return self.train.x.dtype == np.uint8

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content, 16 hexadecimal digits; equal if all splits have equal examples."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for name, split in self._splits().items():
            for axis, array in (("x", split.x), ("y", split.y)):
                digest.update(f"{name}.{axis} {array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def count_classes(self, split: Split) -> Array:
        """Return the number of labels of each class in a split, ignored pixels left out: (classes,)."""
        labels = np.asarray(split.y).ravel()
        return np.bincount(labels[labels != self.ignore_label], minlength=len(self.classes))

    @property
    def is_imbalanced(self) -> bool:
        """Whether accuracy misleads: a class has over 3 times the training examples of another."""
        if self.task == "segmentation":
            return False
        counts = self.count_classes(self.train)
        return bool(counts.max() > IMBALANCE * counts.min())

    def _splits(self) -> dict[str, Split]:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def _description(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "ignore_label": self.ignore_label,
        }

    def save(self, folder: Path) -> Path:
        """Write the data set to a folder as .npy files, atomically, and return the folder.

        Replaces a data set that was saved there before. Raises RunError if the folder has other content or
        cannot be written.
        """
        folder = Path(folder)
        temporary: Path | None = None
        try:
            if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_saved(folder)):
                raise RunError(
                    f"a data set must be saved in a folder of its own, got {folder} with other content; "
                    "use a new folder"
                )
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            self._write(temporary / "new")
            if folder.exists():
                os.rename(folder, temporary / "old")
            os.rename(temporary / "new", folder)
        except OSError as error:
            raise RunError(
                f"the data set must be saved for the workers, got '{error.strerror or error}' at {folder}; "
                "free some space or use another folder"
            ) from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _write(self, folder: Path) -> None:
        folder.mkdir()
        for name, split in self._splits().items():
            np.save(folder / f"{name}_x.npy", split.x, allow_pickle=False)
            np.save(folder / f"{name}_y.npy", split.y, allow_pickle=False)
        record = {"name": self.name, "source": self.source, **self._description()}
        (folder / RECORD_FILE).write_text(json.dumps(record | {"splits": list(self._splits())}, indent=1))

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Open a saved data set; its arrays are memory-mapped, so that processes share them.

        Raises RunError if the folder does not hold a complete data set.
        """
        folder = Path(folder)
        try:
            record = json.loads((folder / RECORD_FILE).read_text())
            splits = {name: _open_split(folder, name) for name in record["splits"]}
            return cls(
                name=record["name"],
                source=record["source"],
                task=record["task"],
                shape=tuple(record["shape"]),
                classes=tuple(record["classes"]),
                train=splits["train"],
                validation=splits["validation"],
                test=splits.get("test"),
                ignore_label=record["ignore_label"],
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise RunError(
                f"a saved data set must be complete, got {folder}, which is not ({error}); save it again"
            ) from error


def _is_saved(folder: Path) -> bool:
    return (folder / RECORD_FILE).is_file()


def _open_split(folder: Path, name: str) -> Split:
    x, y = (np.load(folder / f"{name}_{axis}.npy", mmap_mode="r", allow_pickle=False) for axis in "xy")
    return Split(x, y)


def load_dataset(source: str = "digits", options: DataOptions = _DEFAULTS) -> Dataset:
    """Read a data set by its name or path, and split it.

    Splits that the source has are kept. A missing validation split is taken from the training examples,
    stratified by class with the seed of the options; a missing test split is a fifth of the training
    examples, the same for every seed. A search never uses the test split. Labels may be any integers:
    classes are numbered from 0 in ascending order of the labels and named by them. Arrays with three axes are
    grey images if they hold integers, have masks or are square; otherwise they are signals. Raises DataError.
    """
    raw = _read_source(source, options.image_size)
    parts = split_examples(raw, options.validation, options.seed, options.train_limit)
    read = {name: raw.splits[part].read(indices) for name, (part, indices) in parts.items()}
    inputs = _unify_shapes({name: x for name, (x, _) in read.items()})
    classes, ignored = raw.classes, options.ignore_label
    if classes:
        if ignored is not None:
            raise DataError(f"ignore_label must be for masks, got {ignored} for classes; omit it")
        targets = {name: raw.class_labels(part, indices) for name, (part, indices) in parts.items()}
    else:
        masks = {name: compact_masks(mask) for name, (_, mask) in read.items() if mask is not None}
        targets, classes, ignored = number_mask_labels(masks, ignored)
    splits = {name: Split(inputs[name], targets[name]) for name in parts}
    return Dataset(
        name=source if source in CLASS_NAMES else Path(source).stem,
        source=source,
        task="classification" if raw.classes else "segmentation",
        shape=splits["train"].x.shape[1:],
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        ignore_label=ignored,
    )


def _read_source(source: str, image_size: int | None) -> Source:
    """Read a name or path with the function for its kind; raises DataError if there is none."""
    if source == "digits":
        return read_digits(image_size)
    if source in CLASS_NAMES:
        return read_keras(source, image_size)
    path = Path(source).expanduser()
    if source and os.path.isdir(path):  # unlike pathlib's, False without a permission
        return read_folder(path, image_size)
    suffix = path.suffix.lower()
    if not (source and os.path.exists(path)):
        if suffix or len(path.parts) > 1:
            parent = path.parent
            names = os.listdir(parent) if os.access(parent, os.R_OK | os.X_OK) and parent.is_dir() else []
            close = difflib.get_close_matches(path.name, names, n=1)
            fix = f"did you mean {parent / close[0]}?" if close else "check the path"
            raise DataError(f"a data set's file must exist, got {source}; {fix}")
        raise DataError(
            f"a data set must be a name, an .npz, a folder or a .zip, got '{source}'; "
            f"{nearest(source.lower(), CLASS_NAMES)}"
        )
    if suffix == ".npz":
        return read_npz(path, image_size)
    if suffix == ".zip":
        return read_zip(path, image_size)
    raise DataError(f"a data set's file must be an .npz or a .zip, got {source}; save it with numpy.savez")


def _unify_shapes(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Convert grey images to RGB if another split has colour; raises DataError for other differences."""
    if {(x.shape[-1], x.dtype) for x in inputs.values()} == {(1, np.dtype("u1")), (3, np.dtype("u1"))}:
        inputs = {name: np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for name, x in inputs.items()}
    shape, dtype = inputs["train"].shape[1:], inputs["train"].dtype
    for name, x in inputs.items():
        if x.shape[1:] != shape or x.dtype != dtype:
            raise DataError(
                f"all splits must have examples of one shape and type, got {shape} {dtype} for training and "
                f"{x.shape[1:]} {x.dtype} for {name}; convert one, images with --image-size 64"
            )
    return dict(inputs)
