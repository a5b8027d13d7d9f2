"""The folder of one training: what was asked, the curve, the last and the best weights; whole at any moment.

    training.json   what was asked for, the curve so far, the best epoch, what came of it
    last.npz        the network and its optimizer after the last epoch
    best.npz        the same after the best epoch
    next/           the epoch under way: `training.json` names it first, then its checkpoint moves up

A process that is killed between those two steps leaves `next/` behind; opening the folder finishes the move.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InputError
from nas.evaluation import read_state
from nas.files import lock_file, replace_file

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["TrainingFolder"]

Row = Mapping[str, float]

CHECKPOINT = "checkpoint.npz"  # what `nas.evaluation.job` calls it in `next/`
BUSY = "a training must have one process, got '{path}', where another one trains; wait until it ends"
FOREIGN = (
    "a training must have a folder of its own, got '{path}', which holds {what}; "
    "give another --out, or repeat the command that began it"
)


class TrainingFolder:
    """One training's folder, held by this process alone until `close`."""

    def __init__(self, path: Path, lock: BaseFileLock, content: dict[str, Any]) -> None:
        self.path = path
        self._lock = lock
        self._content = content

    @classmethod
    def open(cls, path: Path, asked: Mapping[str, Any]) -> TrainingFolder:
        """Make the folder of a new training, or open it to go on with the training that `asked` began.

        Raises InputError where it holds anything else, or where another process trains in it.
        """
        path = path.absolute()
        try:
            lock = lock_file(path / ".lock", BUSY.format(path=path))
        except OSError as error:
            raise InputError(
                f"a training's folder must be writable, got '{path}': {error.strerror}; give another --out"
            ) from None
        try:
            folder = cls(path, lock, _read(path, json.loads(json.dumps(asked))))
            folder._settle()
        except BaseException:
            lock.release()
            raise
        return folder

    @property
    def key(self) -> str:
        """A name for the training that no other has."""
        return str(self._content["key"])

    @property
    def started(self) -> bool:
        """Whether the starting weights are there."""
        return "start" in self._content

    @property
    def start(self) -> Row:
        """What the starting weights are worth: accuracy or mean_iou, val_loss."""
        found: Row = self._content["start"]
        return found

    @property
    def curve(self) -> list[Row]:
        """A row for each epoch trained so far."""
        rows: list[Row] = self._content["curve"]
        return rows

    @property
    def best(self) -> int:
        """The epoch with the best weights; 0: the starting weights."""
        return int(self._content["best"])

    @property
    def results(self) -> dict[str, Any]:
        """What `save_results` wrote, {} before the end."""
        found: dict[str, Any] = self._content.get("results", {})
        return found

    @property
    def last_weights(self) -> Path:
        """The checkpoint to go on from."""
        return self.path / "last.npz"

    @property
    def best_weights(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "best.npz"

    @property
    def scratch(self) -> Path:
        """Where the next checkpoint is to be written, and the data set is kept while training."""
        return self.path / "next"

    def begin(self, start: Row) -> None:
        """Take the checkpoint in `scratch` as the starting weights, the best so far."""
        self._save({**self._content, "start": dict(start)})
        self._promote(True)

    def add(self, row: Row, is_best: bool) -> None:
        """Take the checkpoint in `scratch` and its row of the curve: the epoch is over."""
        best = len(self.curve) + 1 if is_best else self.best
        self._save({**self._content, "curve": [*self.curve, dict(row)], "best": best})
        self._promote(is_best)

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Keep what came of the training."""
        self._save({**self._content, "results": dict(results)})

    def close(self) -> None:
        """Remove what only training needs, and let other processes in."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.release()

    def _settle(self) -> None:
        """Finish what a killed process began: move a checkpoint up that the curve knows, drop any other."""
        waiting = self.scratch / CHECKPOINT
        if self.started and waiting.exists() and read_state(waiting).epochs == len(self.curve):
            self._promote(self.best == len(self.curve))
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.started and not self.last_weights.exists():
            raise InputError(
                f"a training's folder must be whole, got '{self.path}' without last.npz; "
                "delete the folder and train from the start"
            )

    def _promote(self, is_best: bool) -> None:
        waiting = self.scratch / CHECKPOINT
        if is_best:
            copy = self.scratch / "best.npz"
            shutil.copyfile(waiting, copy)
            copy.replace(self.best_weights)
        waiting.replace(self.last_weights)

    def _save(self, content: dict[str, Any]) -> None:
        _write(self.path / "training.json", content)
        self._content = content


def _read(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    record = path / "training.json"
    new: dict[str, Any] = {"asked": asked, "key": uuid.uuid4().hex, "curve": [], "best": 0}
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
    now = _flat(asked)
    for name in (*now, *before):
        if before.get(name) != now.get(name):
            if not trained:  # nothing is lost
                _write(record, new)
                return new
            what = f"another training ({name} {before.get(name)}, not {now.get(name)})"
            if isinstance(before.get(name, now.get(name)), dict | list):
                what = f"another training (another {name})"
            raise InputError(FOREIGN.format(path=path, what=what))
    return content


def _flat(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Name what was asked for, the values of how it is trained one by one."""
    return {**{key: value for key, value in asked.items() if key != "training"}, **asked.get("training", {})}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that is either whole or not there, whenever the process is killed."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
