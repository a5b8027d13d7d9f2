"""What MLflow could not be given yet, as files beside the record; and a trial as text, exact both ways.

mlruns/spool/NAME/
  lock                    held by the process that writes the record of the search NAME
  000007/                 one trial: trial.json and its files
  journal.jsonl           over-limit trials and points of the search's own metrics, one a line
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
from nas.trials import Trial

__all__ = ["Entry", "Point", "Spool", "decode", "encode"]

TRIAL_FILE = "trial.json"


def encode(trial: Trial) -> str:
    """Write a trial as one line of JSON from which `decode` gives it back exactly, but for its run_id."""
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
    return json.dumps(data, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into the Python number that equals it."""
    if not hasattr(value, "item"):
        raise TypeError(f"a trial must hold plain values, got {value!r}")
    return value.item()


def decode(text: str, run_id: str = "") -> Trial:
    """Read a trial that `encode` wrote; raises ValueError for any other text."""
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
    """One trial on its way to MLflow."""

    trial: Trial
    files: Mapping[str, Path]  # by the name each has in MLflow
    time_ms: int  # since 1970; the same at a second attempt, so that no metric is there twice
    folder: Path | None = None  # in the spool, if it is there


@dataclass(frozen=True)
class Point:
    """One value of a metric of the search's run."""

    name: str
    value: float
    step: int
    time_ms: int


class Spool:
    """The files of one search that wait for MLflow. All calls but the reading ones need the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attached = folder / "attached"
        self._journal = folder / "journal.jsonl"

    def entries(self) -> list[Entry]:
        """Read the trials that wait, in the order in which they were added."""
        found = []
        for folder in sorted(self.folder.glob("[0-9]*")):
            if folder.suffix == ".part":
                continue
            with contextlib.suppress(FileNotFoundError):  # delivered meanwhile by the process that writes
                content = json.loads((folder / TRIAL_FILE).read_text(encoding="utf-8"))
                files = {path.name: path for path in sorted(folder.iterdir()) if path.name != TRIAL_FILE}
                found.append(Entry(decode(content["trial"]), files, content["time_ms"], folder))
        return found

    def add(self, entry: Entry) -> None:
        """Keep a trial with copies of its files; it is there whole or not at all."""
        numbers = [int(folder.stem) for folder in self.folder.glob("[0-9]*")]
        final = self.folder / f"{max(numbers, default=0) + 1:06d}"
        part = final.with_suffix(".part")
        try:
            part.mkdir(parents=True)
            for name, path in entry.files.items():
                shutil.copyfile(path, part / name)
            content = {"time_ms": entry.time_ms, "trial": encode(entry.trial)}
            (part / TRIAL_FILE).write_text(json.dumps(content), encoding="utf-8")
            part.rename(final)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def remove(self, entry: Entry) -> None:
        """Forget a trial that MLflow has."""
        if entry.folder is not None:
            entry.folder.rename(entry.folder.with_suffix(".part"))
            shutil.rmtree(entry.folder.with_suffix(".part"))

    def note(self, items: Sequence[Trial | Point]) -> None:
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

    def noted(self) -> tuple[list[Trial], list[Point]]:
        """Read the journal; a last line that a killed process left unfinished is none."""
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

    def forget_noted(self) -> None:
        """Empty the journal."""
        self._journal.unlink(missing_ok=True)

    def attach(self, texts: Mapping[str, str]) -> None:
        """Keep files for the search's run; a later one of the same name replaces the earlier."""
        self.attached.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            part = self.folder / f"{name}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(self.attached / name)

    def waiting(self) -> int:
        """Count the trials that wait."""
        return sum(folder.suffix != ".part" for folder in self.folder.glob("[0-9]*"))

    def close(self) -> None:
        """Remove what is empty or unfinished."""
        for part in self.folder.glob("*.part"):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()
        if self.attached.is_dir() and not any(self.attached.iterdir()):
            self.attached.rmdir()
        if {path.name for path in self.folder.iterdir()} <= {"lock"}:
            shutil.rmtree(self.folder)
