"""What MLflow has of one search, and how it is written there and read again."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import dump_yaml
from nas.errors import RecordError
from nas.files import temporary_folder
from nas.record import mlflow_runs as runs
from nas.record.artifacts import write_text
from nas.record.descriptions import DESCRIPTION_FILE, describe_run, list_searches
from nas.record.mlflow_store import RUN_STATUS, RunState, Store
from nas.record.spool import Entry, Point
from nas.record.trial_rows import TrialRow, read_trial_rows
from nas.trials import Objective, Trial, trial_label

if TYPE_CHECKING:
    from mlflow.entities import Run, RunInfo

__all__ = ["MlflowSearch"]

TABLES = "over_limit"
TABLE_ROWS = 1000
"""Rows per file of over-limit trials: only the last file is written again."""


class MlflowSearch:
    """One search's runs in MLflow. A write that failed can be repeated.

    Every method may raise any error of MLflow.
    """

    def __init__(self, store: Store, name: str, run: Run, quality: Objective | None) -> None:
        """Set the parts; quality: the one that the names of the trials' runs show."""
        self.run_id: str = run.info.run_id
        self._quality = quality
        self._store, self._name = store, name
        self._artifacts = store.artifacts(run.info)
        self._runs: dict[int, RunInfo | TrialRow] = {}  # by trial number
        self._epochs: dict[int, int] = {}  # epochs whose metrics are written, by number of a complete run
        self._folders: dict[int, str] = {}  # of the files, by trial number
        self._marked: frozenset[int] = frozenset()  # trials whose tag says that they are on the front
        self._rows: list[Trial] = []  # over-limit trials of the last table file, and those not written yet
        self._has_new_rows = False
        self._full_tables = 0
        self.damaged_runs: dict[str, str] = {}  # why a run cannot be read, by its id
        self.damaged_tables: dict[
            str, str
        ] = {}  # why a file of over-limit trials cannot be read, by its path

    def trial_run(self, number: int) -> str:
        """Return the run id of a trial, '' if MLflow does not have it."""
        return str(self._runs[number].run_id) if number in self._runs else ""

    def write_trial(self, entry: Entry, scratch: Path) -> None:
        """Write a trial. Its run ends last; a trial that was trained further changes its tags last."""
        trial, client = entry.trial, self._store.client
        label = trial_label(trial, self._quality)
        before = self._folders.get(trial.number)
        if trial.number not in self._runs:
            took_ms = int(1000 * sum(trial.seconds.values()))
            tags = {"mlflow.parentRunId": self.run_id, "on_front": "false", **runs.trial_tags(trial)}
            self._runs[trial.number] = client.create_run(
                self._store.experiment_id,
                start_time=entry.ended_ms - took_ms,
                tags=tags,
                run_name=label,
            ).info
        run_id = self._runs[trial.number].run_id
        closed: dict[str, Any] = {}
        if trial.architecture is not None and trial.number not in self._epochs:
            closed = trial.architecture.to_dict(trial.training)
        with tempfile.TemporaryDirectory(dir=scratch, suffix=".part") as staging:
            if closed:
                Path(staging, "architecture.yaml").write_text(dump_yaml(closed), encoding="utf-8")
            for name, path in entry.files.items():
                target = Path(staging, _folder_name(trial), name)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
            if any(Path(staging).iterdir()):
                artifacts = self._store.artifacts(self._runs[trial.number])
                artifacts.log_artifacts(staging)  # type: ignore[no-untyped-call]  # MLflow's has no types
        runs.write_trial_run(self._store, run_id, entry, self._epochs.get(trial.number), closed, label)
        client.set_terminated(run_id, "FAILED" if trial.state == "failed" else "FINISHED", entry.ended_ms)
        self._epochs[trial.number] = len(trial.curve)
        self._folders[trial.number] = _folder_name(trial)
        if entry.files and before not in (None, _folder_name(trial)):
            self._delete(trial.number, str(before))  # training continues from the files of this entry

    def set_aside(self, run_id: str) -> None:
        """Mark the run of a damaged trial, so that it is not read any more."""
        self._store.client.set_tag(run_id, "state", "damaged")
        self._store.client.set_terminated(run_id, "KILLED")

    def delete_table(self, path: str) -> None:
        """Delete a file of over-limit trials."""
        self._artifacts.delete_artifacts(path)  # type: ignore[no-untyped-call]  # MLflow's has no types

    def drop_files(self, numbers: Iterable[int]) -> None:
        """Delete the files of trials, their weights."""
        for number in numbers:
            if number in self._runs and number in self._folders:
                self._delete(number, self._folders[number])

    def _delete(self, number: int, folder: str) -> None:
        artifacts = self._store.artifacts(self._runs[number])
        if artifacts.list_artifacts(folder):
            artifacts.delete_artifacts(folder)  # type: ignore[no-untyped-call]  # MLflow's has no types

    def file_bytes(self, trial: Trial) -> int:
        """Return the size of a trial's files, 0 if it has none."""
        run = self._run_of(trial)
        if run is None:
            return 0
        items = self._store.artifacts(run).list_artifacts(_folder_name(trial))
        return sum(item.file_size or 0 for item in items)

    def _run_of(self, trial: Trial) -> RunInfo | TrialRow | None:
        if trial.number not in self._runs and trial.run_id:
            self._runs[trial.number] = self._store.client.get_run(trial.run_id).info
        return self._runs.get(trial.number)

    def add_over_limit(self, trials: Sequence[Trial]) -> None:
        """Add over-limit trials, which `write_tables` writes."""
        self._rows += trials
        self._has_new_rows = self._has_new_rows or bool(trials)

    def write_tables(self) -> None:
        """Write the over-limit trials that were added as tables on the search's run."""
        while self._has_new_rows:
            some = self._rows[:TABLE_ROWS]
            write_text(self._artifacts, runs.table_csv(some), f"{self._full_tables + 1:04d}.csv", TABLES)
            self._has_new_rows = len(self._rows) > TABLE_ROWS
            if len(some) == TABLE_ROWS:
                self._full_tables += 1
                del self._rows[:TABLE_ROWS]

    def write_points(self, points: Sequence[Point]) -> None:
        """Write points of the search's metrics."""
        for start in range(0, len(points), runs.MAX_METRICS):
            some = points[start : start + runs.MAX_METRICS]
            self._store.client.log_batch(self.run_id, [runs.to_metric(point) for point in some])

    def write_file(self, path: Path) -> None:
        """Put a file on the search's run, in place of an earlier one of its name; or set its description."""
        if path.name == DESCRIPTION_FILE:
            describe_run(self._store, self.run_id, path.read_text(encoding="utf-8"))
            return
        self._artifacts.log_artifact(str(path))  # type: ignore[no-untyped-call]

    def mark_front(self, numbers: frozenset[int]) -> None:
        """Set the tags that state which trials are on the front."""
        for number in self._marked ^ numbers:
            if number in self._runs:
                value = str(number in numbers).lower()
                self._store.client.set_tag(self._runs[number].run_id, "on_front", value)
                self._marked ^= {number}

    def end(self, state: RunState) -> None:
        """End the search's run."""
        self._store.client.set_terminated(self.run_id, RUN_STATUS[state])
        list_searches(self._store)

    def read(self, set_aside: bool) -> dict[int, Trial]:
        """Read all trials, by number, and what MLflow has of them.

        set_aside: mark runs that a killed process left incomplete.
        """
        trials: dict[int, Trial] = {}
        marked = set()
        unfinished = []
        for row in read_trial_rows(self._store, self.run_id):
            if row.status in ("FINISHED", "FAILED"):
                if (trial := self._read_trial(row, trials)) is None:
                    continue
                trials[trial.number] = trial
                self._runs[trial.number] = row
                self._epochs[trial.number] = len(trial.curve) if runs.has_present_names(row.tags) else 0
                self._folders[trial.number] = _folder_name(trial)
                if row.tags.get("on_front") == "true":
                    marked.add(trial.number)
            elif row.status != "KILLED":
                unfinished.append(row.run_id)
        for run_id in unfinished if set_aside else ():
            self._store.client.set_tag(run_id, "state", "unfinished")
            self._store.client.set_terminated(run_id, "KILLED")
        self._marked = frozenset(marked)
        trials.update((trial.number, trial) for trial in self._read_tables())
        return trials

    def _read_trial(self, row: TrialRow, trials: Mapping[int, Trial]) -> Trial | None:
        """Return the trial of a run; None for a run that is damaged or has the number of another trial."""
        try:
            trial = runs.trial_from_tags(row.tags, row.run_id, row.end_time)
        except (KeyError, ValueError) as error:
            self.damaged_runs[row.run_id] = str(error).partition("\n")[0]
            return None
        if trial.number in trials:
            first = trials[trial.number].run_id
            self.damaged_runs[row.run_id] = f"it has the number {trial.number} of run {first}"
            return None
        return trial

    @property
    def marked(self) -> frozenset[int]:
        """The numbers of the trials that are marked as front members."""
        return self._marked

    def file(self, trial: Trial, name: str) -> Path:
        """Return the path of a file of a trial, downloaded if needed; raises RecordError if there is none."""
        folder = _folder_name(trial)
        path = f"{folder}/{name}"
        if (run := self._run_of(trial)) is not None:
            artifacts = self._store.artifacts(run)
            if path in [item.path for item in artifacts.list_artifacts(folder)]:
                return Path(artifacts.download_artifacts(path))  # type: ignore[no-untyped-call]
        raise RecordError(
            f"trial {trial.number} of '{self._name}' has no file {path} in the record; "
            "train the network again"
        )

    def text(self, name: str) -> str:
        """Return the content of a text file on the search's run, '' if there is none."""
        if name not in [item.path for item in self._artifacts.list_artifacts()]:
            return ""
        with temporary_folder() as folder:
            path = self._artifacts.download_artifacts(name, str(folder))  # type: ignore[no-untyped-call]
            return Path(path).read_text(encoding="utf-8")

    def _read_tables(self) -> list[Trial]:
        """Read the over-limit trials; keep the rows of the last table, which is written again with more."""
        trials: list[Trial] = []
        for item in sorted(self._artifacts.list_artifacts(TABLES), key=lambda item: str(item.path)):
            with temporary_folder() as folder:
                path = self._artifacts.download_artifacts(  # type: ignore[no-untyped-call]
                    item.path, str(folder)
                )
                try:
                    with Path(path).open(encoding="utf-8", newline="") as lines:
                        some = runs.read_table(lines)
                except (KeyError, ValueError, csv.Error) as error:
                    self.damaged_tables[item.path] = str(error).partition("\n")[0]
                    self._full_tables += 1  # it is not written again
                    continue
            trials += some
            if len(some) == TABLE_ROWS:
                self._full_tables += 1
            else:
                self._rows = some
        return trials


def _folder_name(trial: Trial) -> str:
    """Return the folder of a trial's files: files of a longer training do not replace those of a shorter."""
    return f"epochs-{trial.epochs}"
