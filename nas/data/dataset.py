"""A data set: labelled examples in three splits, saved as arrays that processes share."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
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

__all__ = ["RECORD_FILE", "Dataset", "Split"]

RECORD_FILE = "dataset.json"  # in the folder of a saved data set, next to its arrays
IMBALANCE = 3.0  # examples of the largest class per example of the smallest, from which on accuracy misleads


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in the order in which they are read; training examples are shuffled."""

    x: Array  # (n, height, width, channels) uint8 or float32, or (n, length, channels) float32 signals
    y: Array  # (n,) int32 classes, or (n, height, width) uint8 or int32 masks

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples in three splits; a search never uses `test`."""

    name: str  # 'digits', or the file's stem
    source: str  # the name or path that the user passed
    task: str  # a `Task` of the source
    shape: Shape  # of one example, channels last
    classes: tuple[str, ...]  # names; label i is classes[i]
    train: Split
    validation: Split
    test: Split | None
    ignore_label: int | None = None  # segmentation: the label in y to ignore
    feeding: Feeding = field(default_factory=Feeding)
    notes: tuple[str, ...] = ()  # what was inferred, one sentence each
    warnings: tuple[str, ...] = ()  # what is doubtful, one sentence each

    @property
    def rescale(self) -> bool:
        """Whether the values are 0..255, which the network divides by 255."""
        return self.feeding.rescale

    @property
    def signature(self) -> Signature:
        """What goes into a network of this data, and what comes out."""
        return Signature(task=self.task, input_shape=self.shape, classes=self.classes, feeding=self.feeding)

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
            "rescale": self.rescale,
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
        record = {
            "name": self.name,
            "source": self.source,
            **self._description(),
            "feeding": self.feeding.model_dump(mode="json"),
            "notes": self.notes,
            "warnings": self.warnings,
        }
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
                feeding=Feeding(**record["feeding"]),
                notes=tuple(record["notes"]),
                warnings=tuple(record["warnings"]),
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
