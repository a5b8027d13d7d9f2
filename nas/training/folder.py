"""The folder of one training: its settings, curve, last and best weights; consistent at any moment.

    training.json   the settings, what describes the data, the curve so far, the best epoch, the results
    last.npz        the network and its optimizer after the last epoch
    best.npz        the same after the best epoch
    next/           the current epoch: `training.json` lists it first, then its checkpoint is moved up

A process that is killed between these two steps leaves `next/` behind; opening the folder completes the move.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Training
from nas.errors import InputError
from nas.evaluation import read_state
from nas.files import lock_file, replace_file

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["BEST", "RECORD", "TrainingFolder"]

Row = Mapping[str, float]

CHECKPOINT = "checkpoint.npz"  # the name that `nas.evaluation` writes
RECORD, BEST = "training.json", "best.npz"
BUSY = "a training runs in one process, but another one trains in '{path}'; wait until it ends"
FOREIGN = (
    "a training must have its own folder, got '{path}', which contains {what}; "
    "use another --out, or repeat the command that started it"
)


class TrainingFolder:
    """The folder of one training, locked by this process until `close`."""

    def __init__(self, path: Path, lock: BaseFileLock, content: dict[str, Any]) -> None:
        self.path = path
        self._lock = lock
        self._content = content

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> TrainingFolder:
        """Create the folder of a new training, or open it to resume the training with these settings.

        Raises InputError if it contains anything else, or if another process trains in it.
        """
        path = path.absolute()
        try:
            lock = lock_file(path / ".lock", BUSY.format(path=path))
        except OSError as error:
            raise InputError(
                f"a training's folder must be writable, got '{path}': {error.strerror}; use another --out"
            ) from None
        try:
            folder = cls(path, lock, _read(path, json.loads(json.dumps(settings))))
            folder._complete_move()
        except BaseException:
            lock.release()
            raise
        return folder

    @property
    def key(self) -> str:
        """A unique key of the training."""
        return str(self._content["key"])

    @property
    def started(self) -> bool:
        """Whether the starting weights are stored."""
        return "start" in self._content

    @property
    def start(self) -> Row:
        """The validation of the starting weights: accuracy or mean_iou, val_loss."""
        start: Row = self._content["start"]
        return start

    @property
    def curve(self) -> list[Row]:
        """One row per epoch trained so far."""
        rows: list[Row] = self._content["curve"]
        return rows

    @property
    def best(self) -> int:
        """The epoch with the best weights; 0: the starting weights."""
        return int(self._content["best"])

    @property
    def results(self) -> dict[str, Any]:
        """The results that `save_results` stored, {} before the end."""
        results: dict[str, Any] = self._content.get("results", {})
        return results

    @property
    def last_weights(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "last.npz"

    @property
    def best_weights(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / BEST

    @property
    def scratch(self) -> Path:
        """The folder for the next checkpoint, and for the data set while training."""
        return self.path / "next"

    def begin(self, start: Row, classes: Sequence[str]) -> None:
        """Store the checkpoint in `scratch` as the starting weights, the best so far, and the class names."""
        self._save({**self._content, "start": dict(start), "classes": list(classes)})
        self._promote(True)

    def describe(self, data: Mapping[str, Any]) -> None:
        """Store what describes the data, so that they can be read again: source, options, signature, ..."""
        written = json.loads(json.dumps(data))
        if self._content.get("data") != written:
            self._save({**self._content, "data": written})

    def add(self, row: Row, is_best: bool) -> None:
        """Store the checkpoint in `scratch` and its row of the curve at the end of an epoch."""
        best = len(self.curve) + 1 if is_best else self.best
        self._save({**self._content, "curve": [*self.curve, dict(row)], "best": best})
        self._promote(is_best)

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Store the results of the training."""
        self._save({**self._content, "results": dict(results)})

    def close(self) -> None:
        """Remove temporary files and release the lock."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.release()

    def _complete_move(self) -> None:
        """Move up a checkpoint that a killed process left and the curve lists; remove any other."""
        waiting = self.scratch / CHECKPOINT
        if self.started and waiting.exists() and read_state(waiting).epochs == len(self.curve):
            self._promote(self.best == len(self.curve))
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.started and not self.last_weights.exists():
            raise InputError(
                f"a training's folder must be complete, got '{self.path}' without last.npz; "
                "delete the folder and train from the start"
            )

    def _promote(self, is_best: bool) -> None:
        waiting = self.scratch / CHECKPOINT
        if is_best:
            copy = self.scratch / BEST
            shutil.copyfile(waiting, copy)
            copy.replace(self.best_weights)
        waiting.replace(self.last_weights)

    def _save(self, content: dict[str, Any]) -> None:
        _write(self.path / RECORD, content)
        self._content = content


def _read(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    record = path / RECORD
    new: dict[str, Any] = {"asked": settings, "key": uuid.uuid4().hex, "curve": [], "best": 0}
    if not record.exists():
        others = sorted(item.name for item in path.iterdir() if not item.name.startswith("."))
        if others:
            raise InputError(FOREIGN.format(path=path, what=f"other files ('{others[0]}')"))
        _write(record, new)
        return new
    try:
        content: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        before, trained = _flat(content["asked"]), bool(content["curve"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"training.json must be readable, got '{record}' ({type(error).__name__}); "
            "delete the folder and train from the start"
        ) from None
    now = _flat(settings)
    for name in (*now, *before):
        if before.get(name) != now.get(name):
            if not trained:  # nothing to lose
                _write(record, new)
                return new
            what = f"another training ({name} {before.get(name)}, not {now.get(name)})"
            if isinstance(before.get(name, now.get(name)), dict | list):
                what = f"another training (another {name})"
            raise InputError(FOREIGN.format(path=path, what=what))
    return content


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the values of `training` at the top level."""
    others = {key: value for key, value in settings.items() if key != "training"}
    # A value of the training that an older version did not know has its default.
    return {**others, **Training().model_dump(mode="json"), **settings.get("training", {})}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
