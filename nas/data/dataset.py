"""A data set: labelled examples in three splits, saved as arrays that processes share."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Shape
from nas.data.feeding import Feeding
from nas.data.signature import Signature
from nas.data.source import Array
from nas.errors import RunError

__all__ = ["RECORD_FILE", "Dataset", "Split", "open_arrays"]

RECORD_FILE = "dataset.json"  # in the folder of a saved data set, next to its arrays
BLOCK_BYTES = 1 << 24  # that are read at once to count or hash an array
IMBALANCE = 3.0  # examples of the largest class per example of the smallest, from which on accuracy misleads


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in the order in which they are read; training examples are shuffled."""

    x: Array  # (n, height, width, channels) uint8 or float32, or (n, length, channels) float32 signals
    y: Array  # (n,) int32 classes, (n, height, width) uint8 or int32 masks, (n, classes) int32 0 or 1 for
    # several labels, or (n, numbers) float32 for regression

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples in three splits; a search never uses `test`."""

    name: str  # 'digits', or the file's stem
    source: str  # the name or path that the user passed
    task: str  # a `Task` of the source
    shape: Shape  # of one example, channels last
    classes: tuple[str, ...]  # names; label i is classes[i]; for regression, those of the numbers
    train: Split
    validation: Split
    test: Split | None
    ignore_label: int | None = None  # segmentation: the label in y to ignore
    feeding: Feeding = field(default_factory=Feeding)
    notes: tuple[str, ...] = ()  # what was inferred, one sentence each
    warnings: tuple[str, ...] = ()  # what is doubtful, one sentence each
    # Not part of a copy with `dataclasses.replace`, which may have other arrays:
    folder: Path | None = field(default=None, init=False)  # where it was opened
    saved_fingerprint: str = field(default="", init=False)  # in its record there

    @property
    def rescale(self) -> bool:
        """Whether the values are 0..255, which the network divides by 255."""
        return self.feeding.rescale

    @property
    def signature(self) -> Signature:
        """What goes into a network of this data, and what comes out."""
        return Signature(task=self.task, input_shape=self.shape, classes=self.classes, feeding=self.feeding)

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and greatest value that x may have: 0 to 255, 0 to 1, -1 to 1, or those of the data."""
        if self.rescale:
            return 0.0, 255.0
        low, high = self.feeding.value_range
        for least in (0.0, -1.0):
            if least <= low and high <= 1.0:
                return least, 1.0
        return low, high

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content, 16 hexadecimal digits; equal if all splits have equal examples."""
        if self.saved_fingerprint:
            return self.saved_fingerprint
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for name, split in self._splits().items():
            for axis, array in (("x", split.x), ("y", split.y)):
                digest.update(f"{name}.{axis} {array.dtype.str} {array.shape}".encode())
                for block in _blocks(array):
                    digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()[:16]

    def count_classes(self, split: Split) -> Array:
        """Return the number of labels of each class in a split, ignored pixels left out: (classes,).

        Not for regression.
        """
        counts = np.zeros(len(self.classes), np.intp)
        for block in _blocks(split.y):
            labels = block.nonzero()[1] if self.task == "multi_label" else block.ravel()
            counts += np.bincount(labels[labels != self.ignore_label], minlength=len(self.classes))
        return counts

    @property
    def is_imbalanced(self) -> bool:
        """Whether accuracy misleads: a class has over 3 times the training examples of another."""
        if self.task != "classification":
            return False
        counts = self.count_classes(self.train)
        return bool(counts.max() > IMBALANCE * counts.min())

    @property
    def outputs(self) -> str:
        """How many classes, labels or numbers a network predicts: '10 classes'."""
        one, several = {"multi_label": ("label", "labels"), "regression": ("number", "numbers")}.get(
            self.task, ("class", "classes")
        )
        return f"{len(self.classes)} {one if len(self.classes) == 1 else several}"

    def _splits(self) -> dict[str, Split]:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def _description(self) -> dict[str, Any]:
        description: dict[str, Any] = {
            "task": self.task,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "ignore_label": self.ignore_label,
        }
        if self.rescale != (self.train.x.dtype == np.uint8):  # as 0.1.0 inferred it from the type
            description["rescale"] = self.rescale
        return description

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
            for axis, array in (("x", split.x), ("y", split.y)):
                target = folder / f"{name}_{axis}.npy"
                if self.folder is None or not _link(self.folder / target.name, target):
                    np.save(target, array, allow_pickle=False)
        self.write_record(folder)

    def write_record(self, folder: Path) -> None:
        """Write what `open` needs besides the arrays, which are in the folder."""
        record = {
            "name": self.name,
            "source": self.source,
            **self._description(),
            "feeding": self.feeding.model_dump(mode="json"),
            "notes": self.notes,
            "warnings": self.warnings,
            "splits": list(self._splits()),
            "fingerprint": self.fingerprint,
        }
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=1))

    @classmethod
    def open(cls, folder: Path, name: str = "", source: str = "") -> Dataset:
        """Open a saved data set; its arrays are memory-mapped, so that processes share them.

        name, source: in place of those that were saved. Raises RunError if the folder does not hold a
        complete data set.
        """
        folder = Path(folder)
        try:
            record = json.loads((folder / RECORD_FILE).read_text())
            splits = {name: open_arrays(folder, name) for name in record["splits"]}
            dataset = cls(
                name=name or record["name"],
                source=source or record["source"],
                task=record["task"],
                shape=tuple(record["shape"]),
                classes=tuple(record["classes"]),
                train=splits["train"],
                validation=splits["validation"],
                test=splits.get("test"),
                ignore_label=record["ignore_label"],
                feeding=Feeding(**record["feeding"]),
                notes=tuple(record["notes"]),
                warnings=tuple(record["warnings"]),
            )
            object.__setattr__(dataset, "folder", folder)
            object.__setattr__(dataset, "saved_fingerprint", record["fingerprint"])
            return dataset
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise RunError(
                f"a saved data set must be complete, got {folder}, which is not ({error}); save it again"
            ) from error


def _is_saved(folder: Path) -> bool:
    return (folder / RECORD_FILE).is_file()


def open_arrays(folder: Path, name: str) -> Split:
    """Memory-map the arrays of a split in a folder; raises OSError, ValueError or EOFError."""
    x, y = (np.load(folder / f"{name}_{axis}.npy", mmap_mode="r", allow_pickle=False) for axis in "xy")
    return Split(x, y)


def _blocks(array: Array) -> Iterator[Array]:
    """Yield an array in parts along its first axis; pages of a memory-mapped one are released after use."""
    step = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield array[start : start + step]
        if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            array.base.madvise(mmap.MADV_DONTNEED)  # they would count as memory of this process


def _link(file: Path, target: Path) -> bool:
    """Link a file to another name on the same disk, and return whether that was possible."""
    try:
        os.link(file, target)
    except OSError:  # another disk, no links there, or removed from the cache meanwhile
        return False
    return True
