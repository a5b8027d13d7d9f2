"""Brings a search's trials to MLflow; what cannot be delivered at the moment waits in the spool."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import dump_yaml
from nas.errors import RecordError
from nas.record import mlflow_runs as runs
from nas.record.mlflow_store import Store, telling, tracking_uri
from nas.record.spool import Entry, Point, Spool
from nas.trials import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Courier", "folder_of"]

FLUSH_SECONDS = 5.0
"""How often the search's own run is brought up to date while trials come in."""

PAUSE_SECONDS = (5.0, 60.0)
"""After a failed delivery the next is tried after the first, doubled at each failure up to the second."""

TABLES = "over_limit"
TABLE_ROWS = 1000
"""Rows of one file of over-limit trials: only the last file is written anew."""


@dataclass
class Courier:
    """What MLflow has of one search, and the way there. One thread at a time."""

    store: Store
    name: str
    run_id: str
    spool: Spool
    runs: dict[int, str] = field(default_factory=dict)  # the run of each trial
    homes: dict[int, str] = field(default_factory=dict)  # where its files go
    epochs: dict[int, int] = field(default_factory=dict)  # whose metrics are written, of trials written whole
    front: frozenset[int] = frozenset()  # whose tag says so
    wanted: frozenset[int] = frozenset()
    rows: list[Trial] = field(default_factory=list)  # over-limit trials of the table's last file
    rows_fresh: bool = False  # whether some of them are only in the journal yet
    full_tables: int = 0
    points: list[Point] = field(default_factory=list)  # of the search's metrics, only in the journal yet
    problem: str = ""  # why the last delivery failed, '' when it did not
    _flush_at: float = 0.0
    _retry_at: float = 0.0
    _pause: float = PAUSE_SECONDS[0]

    def give(self, entry: Entry) -> None:
        """Deliver a trial, or keep it in the spool; raises RecordError where neither can be done."""
        if self._may() and self._attempt(lambda: self._write_trials([entry])):
            return
        try:
            self.spool.add(entry)
        except OSError as error:
            raise RecordError(
                f"trial {entry.trial.number} must be recorded, but '{self.spool.folder}' cannot be written "
                f"({error.strerror}); {self.problem}"
            ) from error

    def note(self, trials: Sequence[Trial], points: Sequence[Point]) -> None:
        """Keep over-limit trials and points of metrics until the search's run is brought up to date."""
        with telling("written"):
            self.spool.note([*trials, *points])
        self.rows += trials
        self.rows_fresh = self.rows_fresh or bool(trials)
        self.points += points

    def attach(self, texts: Mapping[str, str]) -> None:
        """Keep files until the search's run is brought up to date."""
        with telling("written"):
            self.spool.attach(texts)

    def flush_when_due(self) -> None:
        """Deliver all that waits if the last time is long enough ago."""
        if time.monotonic() >= self._flush_at and self._may():
            self.flush()

    def flush(self) -> bool:
        """Deliver all that waits; say whether it went."""
        return self._attempt(lambda: self._write_trials([])) and self._attempt(self._write_search)

    def end(self, status: str) -> None:
        """End the search's run once all is delivered."""
        if self.flush():
            self._attempt(lambda: self.store.client.set_terminated(self.run_id, status))

    def _may(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do a piece of work; a failure is kept in `problem` and followed by a pause."""
        try:
            with telling("written"):
                work()
        except RecordError as error:
            self.problem = str(error)
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, PAUSE_SECONDS[1])
            return False
        self.problem, self._pause, self._retry_at = "", PAUSE_SECONDS[0], 0.0
        return True

    def _write_trials(self, entries: Sequence[Entry]) -> None:
        """Write the trials that wait, oldest first, then the entries."""
        for waiting in self.spool.entries():
            self._write_trial(waiting)
            self.spool.remove(waiting)
        for entry in entries:
            self._write_trial(entry)

    def _write_trial(self, entry: Entry) -> None:
        """Write a trial; its run ends last, and a trial that went further changes its tags last."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        trial, client = entry.trial, self.store.client
        if trial.number not in self.runs:
            took_ms = int(1000 * sum(trial.seconds.values()))
            tags = {"mlflow.parentRunId": self.run_id, "on_front": "false", **runs.tags(trial)}
            self._belongs(
                trial.number,
                client.create_run(
                    self.store.experiment_id,
                    start_time=entry.time_ms - took_ms,
                    tags=tags,
                    run_name=f"{self.name} {trial.number}",
                ),
            )
        run_id = self.runs[trial.number]
        closed: dict[str, Any] = {}
        if trial.architecture is not None and trial.number not in self.epochs:
            closed = trial.architecture.to_dict(trial.training)
        with tempfile.TemporaryDirectory(dir=self.spool.folder, suffix=".part") as staging:
            if closed:
                Path(staging, "architecture.yaml").write_text(dump_yaml(closed), encoding="utf-8")
            for name, path in entry.files.items():
                target = Path(staging, folder_of(trial), name)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
            if any(Path(staging).iterdir()):
                # The client's own call would ask for the run first, and keep something for each run.
                home = get_artifact_repository(self.homes[trial.number], tracking_uri=tracking_uri())
                home.log_artifacts(staging)  # type: ignore[no-untyped-call]  # MLflow's has no types
        runs.write(self.store, run_id, entry, self.epochs.get(trial.number), closed)
        client.set_terminated(run_id, "FAILED" if trial.state == "failed" else "FINISHED", entry.time_ms)
        self.epochs[trial.number] = len(trial.curve)

    def _belongs(self, number: int, run: Run) -> None:
        """Note the run of a trial."""
        self.runs[number], self.homes[number] = run.info.run_id, run.info.artifact_uri

    def _write_search(self) -> None:
        """Bring the search's run up to date: over-limit trials, metrics, files; and the trials' on_front."""
        client = self.store.client
        while self.rows_fresh:
            some = self.rows[:TABLE_ROWS]
            client.log_text(self.run_id, runs.table(some), f"{TABLES}/{self.full_tables + 1:04d}.csv")
            self.rows_fresh = len(self.rows) > TABLE_ROWS
            if len(some) == TABLE_ROWS:
                self.full_tables += 1
                del self.rows[:TABLE_ROWS]
        for start in range(0, len(self.points), runs.METRICS):
            some_points = self.points[start : start + runs.METRICS]
            client.log_batch(self.run_id, [runs.metric(point) for point in some_points])
        self.points.clear()
        self.spool.forget_noted()
        for path in sorted(self.spool.attached.glob("*")):
            client.log_artifact(self.run_id, str(path))
            path.unlink()
        for number in self.front ^ self.wanted:
            if number in self.runs:
                client.set_tag(self.runs[number], "on_front", str(number in self.wanted).lower())
                self.front ^= {number}
        self._flush_at = time.monotonic() + FLUSH_SECONDS

    def load(self, set_aside: bool) -> list[Trial]:
        """Read all trials, by number, from MLflow and from what waits; go on from there.

        With set_aside, runs that a killed process left unfinished are marked as such.
        """
        entries, (noted, self.points) = self.spool.entries(), self.spool.noted()
        found: dict[int, Trial] = {}
        marked = set()
        for run in runs.children(self.store, self.run_id):
            if run.info.status in ("FINISHED", "FAILED"):
                trial = runs.trial_of(run)
                found[trial.number] = trial
                self._belongs(trial.number, run)
                self.epochs[trial.number] = len(trial.curve)
                if run.data.tags.get("on_front") == "true":
                    marked.add(trial.number)
            elif set_aside and run.info.status != "KILLED":
                self.store.client.set_tag(run.info.run_id, "state", "unfinished")
                self.store.client.set_terminated(run.info.run_id, "KILLED")
        self.front = self.wanted = frozenset(marked)
        found.update((trial.number, trial) for trial in self._load_tables())
        fresh = [trial for trial in noted if trial.number not in found]
        self.rows += fresh
        self.rows_fresh = bool(fresh)
        found.update((trial.number, trial) for trial in fresh)
        for entry in entries:
            number = entry.trial.number
            if number not in found or (entry.folder and entry.folder.exists()):  # else delivered meanwhile
                found[number] = replace(entry.trial, run_id=self.runs.get(number, ""))
        return [found[number] for number in sorted(found)]

    def _load_tables(self) -> list[Trial]:
        """Read the tables of over-limit trials; the last file's rows are kept, to be written with more."""
        client = self.store.client
        found: list[Trial] = []
        for item in sorted(client.list_artifacts(self.run_id, TABLES), key=lambda item: str(item.path)):
            with tempfile.TemporaryDirectory() as folder:
                path = client.download_artifacts(self.run_id, item.path, folder)
                with Path(path).open(encoding="utf-8", newline="") as lines:
                    some = runs.read_table(lines)
            found += some
            if len(some) == TABLE_ROWS:
                self.full_tables += 1
            else:
                self.rows = some
        return found


def folder_of(trial: Trial) -> str:
    """Name the folder of a trial's files: those of a longer training never replace those of a shorter."""
    return f"epochs-{trial.epochs}"
