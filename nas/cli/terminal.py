"""Values, tables and a running search in a terminal."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import select
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from nas.architecture import Design
from nas.searching import Status
from nas.text import printable
from nas.trials import Criteria, Objective, Trial, label, number, pareto_front, with_error

__all__ = [
    "SearchView",
    "class_table",
    "duration",
    "errors",
    "label",
    "name_values",
    "number",
    "output",
    "print_files",
    "print_json",
    "print_keras_notes",
    "table",
    "with_error",
]

NUMBER = re.compile(r"-|([-+0-9.,e]+( ?(ms|kB|M|%))?( ± [0-9.e-]+)?)?")


class PlainConsole(Console):
    """A console for which no text is markup: names and reasons come from files, records and servers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Convert a text, also of a cell of a table; control characters are escaped."""
        return super().render_str(printable(text), **settings)


output = PlainConsole(width=None if sys.stdout.isatty() else 160)
"""For data."""

errors = PlainConsole(stderr=True)
"""For progress and messages."""


def name_values(objectives: Sequence[Objective], trial: Trial) -> str:
    """Format a trial's values of these objectives with their names."""
    return ", ".join(
        f"{label(objective.name)} {number(objective.name, trial.values.get(objective.name))}"
        for objective in objectives
    )


def duration(seconds: float) -> str:
    """Format a duration: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table whose columns of numbers are aligned to the right."""
    created = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        is_numeric = all(NUMBER.fullmatch(row[index]) for row in rows)
        created.add_column(column, justify="right" if is_numeric and rows else "left", no_wrap=index == 0)
    for row in rows:
        created.add_row(*row)
    return created


def class_table(title: str, path: Path) -> Table:
    """Return the table of figures by class in a `classes.csv`, or by number in a `numbers.csv`."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    shown = [
        [
            name,
            *(number(column, float(part)) for column, part in zip(columns[1:], parts, strict=True)),
        ]
        for name, *parts in rows
    ]
    return table(title, columns, shown)


def print_files(files: Mapping[str, Path], design: Design) -> None:
    """Print the paths of exported files, and how to train the Keras file."""
    for path in files.values():
        output.print(f"  {path}")
    print_keras_notes(files, design)


def print_keras_notes(files: Mapping[str, Path], design: Design) -> None:
    """Print which augmentation an exported Keras file lacks, and which labels its `fit` takes."""
    from nas.export import missing_augmentation

    if "keras" in files and (missing := missing_augmentation(design)):
        output.print(
            f"The Keras file trains without {', '.join(missing)}, which no layer can do; the Python source "
            "has batches for fit that do it."
        )
    if "keras" in files and design.training.softens_labels and design.architecture.task == "classification":
        output.print("fit of the Keras file takes one-hot labels, as of keras.utils.to_categorical.")


def print_json(data: Any) -> None:
    """Print data as JSON, and nothing else, on standard output."""
    print(json.dumps(data, indent=2))


def _has_lost_its_reader(stream: TextIO) -> bool:
    """Return whether a stream is a pipe whose reader has ended, which a write would find out too late."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, ValueError, OSError):  # Windows; or no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


class SearchView:
    """Displays a running search: live in a terminal, else one line per ended trial."""

    def __init__(self, criteria: Criteria) -> None:
        self._criteria, self._objectives = criteria, criteria.objectives
        self._shown: dict[
            int, tuple[int, int]
        ] = {}  # epochs and trainings at which each trial was last shown
        self._notice = ""  # about MLflow, as last shown
        self._noticed = 0  # notices of the status that were shown
        self._live: Live | None = None

    def __enter__(self) -> SearchView:
        if errors.is_terminal:
            self._live = Live(Text("starting the workers ..."), console=errors, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, status: Status) -> None:
        """Display the status of the search; raises BrokenPipeError if nobody reads it any more."""
        for stream in (sys.stdout, sys.stderr):
            if _has_lost_its_reader(stream):
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        for notice in status.notices[self._noticed :]:
            errors.print(notice, soft_wrap=True)  # above the live display
        self._noticed = len(status.notices)
        if self._live is not None:
            self._live.update(self._screen(status))
            return
        for trial in status.trials.values():
            reached = trial.epochs, trial.trainings
            is_recorded = trial.number not in self._shown and trial.run_id != ""  # by an earlier session
            if self._shown.get(trial.number) != reached:
                self._shown[trial.number] = reached
                if not is_recorded:
                    errors.print(self._line(trial), soft_wrap=True)
        if status.record_problem != self._notice:
            self._notice = status.record_problem
            waiting = "What waits is delivered as soon as MLflow takes it."
            text = (
                f"{status.delivery_notice} {waiting}"
                if status.record_problem
                else "MLflow takes trials again."
            )
            errors.print(text, soft_wrap=True)

    def _line(self, trial: Trial) -> str:
        if trial.state == "failed":
            return f"trial {trial.number} failed: {trial.reason}"
        values = name_values(self._objectives, trial)
        state = "paused" if trial.state == "stopped" else trial.state
        epochs = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
        if trial.trainings > 1:
            epochs += f", mean of {trial.trainings} training runs"
        return f"trial {trial.number} {state} at {epochs}: {values}"

    def _screen(self, status: Status) -> RenderableType:
        front = pareto_front(list(status.trials.values()), self._criteria)
        notice = [
            Text(printable(text), style="yellow") for text in (status.paused, status.delivery_notice) if text
        ]
        return Group(
            self._bar(status),
            self._counts(status, len(front)),
            *self._running(status),
            self._best(front),
            *notice,
        )

    def _bar(self, status: Status) -> RenderableType:
        ended = len(status.trials)
        most, seconds = status.budget.trials, status.budget.seconds
        share = max(
            ended / max(most, ended, 1) if most else 0.0,
            min(1.0, status.elapsed / seconds) if seconds else 0.0,
        )
        count = f"{ended} of {max(most, ended)} trials" if most else f"{ended} trials"
        bar = Progress(BarColumn(30), TextColumn("{task.description}"))
        left = self._left(status)
        description = f"{count}, {duration(status.elapsed)} elapsed{left and ', '}{left}"
        bar.add_task(description, total=1000, completed=round(1000 * share))
        return bar

    def _left(self, status: Status) -> str:
        if status.ended_by:
            return "the front is being trained in full and with another seed"
        done = len([trial for trial in status.trials.values() if trial.run_id == ""])
        left = None
        if done >= 2 and status.budget.trials is not None:
            left = max(0.0, (status.budget.trials - len(status.trials)) * status.elapsed / done)
        if status.budget.seconds is not None:
            remaining = max(0.0, status.budget.seconds - status.elapsed)
            left = remaining if left is None else min(left, remaining)
        return "" if left is None else f"about {duration(left)} left"

    def _counts(self, status: Status, on_front: int) -> Text:
        states = Counter[str](trial.state for trial in status.trials.values())
        parts = [f"{on_front} on the front"]
        for state, word in (
            ("complete", "trained in full"),
            ("stopped", "paused"),
            ("failed", "failed"),
        ):
            if states[state]:
                parts.append(f"{states[state]} {word}")
        if status.over_limit:
            parts.append(f"{status.over_limit} over a limit")
        if status.flatness is not None:
            parts.append(f"one more trial is expected to add {status.flatness:.2%}")
        return Text(", ".join(parts), style="dim")

    def _running(self, status: Status) -> list[Text]:
        now = time.monotonic()
        lines = []
        for trial, since in list(status.running.values())[:8]:
            costs = name_values([objective for objective in self._objectives if not objective.trained], trial)
            is_complete = status.trials.get(trial.number, trial).state == "complete"
            again = f"training {trial.trainings + 1}" if is_complete else f"from epoch {trial.epochs}"
            start = again if trial.epochs else "new"
            lines.append(Text(f"  trial {trial.number}, {start}, {duration(now - since)}: {costs}"))
        return lines

    def _best(self, front: Sequence[Trial]) -> RenderableType:
        if not front:
            return Text("no trial is trained in full yet", style="dim")
        best = min(front, key=self._criteria.error)
        return Text(f"best so far: trial {best.number}, {name_values(self._objectives, best)}", style="bold")
