"""What could not be delivered to MLflow yet, as files next to the record; and trials as exact text.

mlruns/spool/NAME/
  lock                    held by the process that writes the record of the search NAME
  000007/                 one trial: trial.json and its files
  journal.jsonl           over-limit trials and points of the search's own metrics, one per line
  attached/               files for the search's run
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Architecture, Training
from nas.files import TEMPORARY_PREFIX, replace_file
from nas.trials import Trial

__all__ = ["Entry", "Point", "Spool", "decode", "encode"]

TRIAL_FILE = "trial.json"
PARTIAL = ".part"


def encode(trial: Trial) -> str:
    """Encode a trial as one line of JSON. `decode` restores it exactly, except for its run_id."""
    architecture = trial.architecture
    data = {
        "number": trial.number,
        "setting": dict(trial.setting),
        "id": trial.id,
        "state": trial.state,
        "values": dict(trial.values),
        "epochs": trial.epochs,
        "reason": trial.reason,
        "curve": [dict(epoch) for epoch in trial.curve],
        "seconds": dict(trial.seconds),
        "architecture": architecture and architecture.model_dump(mode="json", exclude_defaults=True),
        "training": trial.training.model_dump(mode="json", exclude_defaults=True),
    }
    return json.dumps(data, separators=(",", ":"), default=_python_number)


def _python_number(value: Any) -> Any:
    """Convert a NumPy scalar to the Python number that equals it."""
    if not hasattr(value, "item"):
        raise TypeError(f"a trial must contain plain values, got {value!r}")
    return value.item()


def decode(text: str, run_id: str = "") -> Trial:
    """Decode a trial that `encode` wrote; raises ValueError for any other text."""
    data = json.loads(text)
    architecture = data.pop("architecture")
    training = data.pop("training")
    return Trial(
        **{**data, "curve": tuple(data["curve"])},
        architecture=architecture and Architecture.model_validate(architecture),
        training=Training.model_validate(training),
        run_id=run_id,
    )


@dataclass(frozen=True)
class Entry:
    """One trial to be written to MLflow."""

    trial: Trial
    files: Mapping[str, Path]  # by their name in MLflow
    time_ms: int  # since 1970; the same at a second attempt, so that no metric is duplicated
    folder: Path | None = None  # in the spool, if it is there


@dataclass(frozen=True)
class Point:
    """One value of a metric of the search's run."""

    name: str
    value: float
    step: int
    time_ms: int


class Spool:
    """The undelivered files of one search. All methods that write need the lock of the search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attached = folder / "attached"
        self._journal = folder / "journal.jsonl"

    def entries(self) -> list[Entry]:
        """Return the trials that wait, in the order in which they were added."""
        entries = []
        for folder in sorted(self.folder.glob("[0-9]*")):
            if folder.suffix == PARTIAL:
                continue
            with contextlib.suppress(FileNotFoundError):  # delivered meanwhile by the process that writes
                content = json.loads((folder / TRIAL_FILE).read_text(encoding="utf-8"))
                files = {path.name: path for path in sorted(folder.iterdir()) if path.name != TRIAL_FILE}
                entries.append(Entry(decode(content["trial"]), files, content["time_ms"], folder))
        return entries

    def add(self, entry: Entry) -> None:
        """Store a trial with copies of its files, completely or not at all; raises OSError."""
        numbers = [int(folder.stem) for folder in self.folder.glob("[0-9]*")]
        final = self.folder / f"{max(numbers, default=0) + 1:06d}"
        partial = final.with_suffix(PARTIAL)
        try:
            partial.mkdir(parents=True)
            for name, path in entry.files.items():
                shutil.copyfile(path, partial / name)
            content = {"time_ms": entry.time_ms, "trial": encode(entry.trial)}
            (partial / TRIAL_FILE).write_text(json.dumps(content), encoding="utf-8")
            partial.rename(final)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def remove(self, entry: Entry) -> None:
        """Remove a trial that MLflow has."""
        if entry.folder is not None:
            partial = entry.folder.with_suffix(PARTIAL)
            entry.folder.rename(partial)
            shutil.rmtree(partial)

    def append_to_journal(self, items: Sequence[Trial | Point]) -> None:
        """Append over-limit trials or points of metrics to the journal."""
        lines = []
        for item in items:
            if isinstance(item, Point):
                lines.append(json.dumps(["point", item.name, float(item.value), item.step, item.time_ms]))
            else:
                lines.append(json.dumps(["trial", encode(item)]))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))

    def read_journal(self) -> tuple[list[Trial], list[Point]]:
        """Return the content of the journal, without a last line that a killed process left incomplete."""
        trials, points = [], []
        text = ""
        with contextlib.suppress(FileNotFoundError):
            text = self._journal.read_text(encoding="utf-8")
        for line in text.split("\n")[:-1]:
            kind, *content = json.loads(line)
            if kind == "point":
                points.append(Point(*content))
            else:
                trials.append(decode(content[0]))
        return trials, points

    def clear_journal(self) -> None:
        """Remove the journal."""
        self._journal.unlink(missing_ok=True)

    def attach(self, texts: Mapping[str, str]) -> None:
        """Store files for the search's run; a later file replaces an earlier one of the same name."""
        for name, text in texts.items():
            with replace_file(self._attached / name) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def attached(self) -> list[Path]:
        """Return the stored files for the search's run."""
        return sorted(p for p in self._attached.glob("*") if not p.name.startswith(TEMPORARY_PREFIX))

    def waiting(self) -> int:
        """Return the number of trials that wait."""
        return sum(folder.suffix != PARTIAL for folder in self.folder.glob("[0-9]*"))

    def close(self) -> None:
        """Remove incomplete files and empty folders."""
        for partial in (*self.folder.glob(f"*{PARTIAL}"), *self._attached.glob(f"{TEMPORARY_PREFIX}*")):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()
        if self._attached.is_dir() and not any(self._attached.iterdir()):
            self._attached.rmdir()
        if {path.name for path in self.folder.iterdir()} <= {"lock"}:
            shutil.rmtree(self.folder)
