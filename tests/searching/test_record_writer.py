"""What a search writes to its record, and what it does while it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import RecordError, StorageError
from nas.searching import Plan, Status, log
from nas.searching.log import PausingLog
from nas.searching.record_writer import RecordWriter
from nas.searching.status import Budget
from nas.trials import Trial

PLAN = Plan.parse({"space": {}, "objectives": ("accuracy", "params")})


class SimulatedRecord:
    """A record in memory."""

    def __init__(self, delivery_problem="", failures=0):
        self.delivery_problem, self.undelivered, self.failures = delivery_problem, 0, failures
        self.marked, self.logged = [], []
        self.is_lost = False

    def log(self, trial, files):
        if self.failures:
            self.failures -= 1
            raise StorageError("'mlruns/spool/x' cannot be written (No space left); free some space")
        self.logged.append(trial)
        self.undelivered += bool(self.delivery_problem)

    def log_over_limit(self, trials):
        for trial in trials:
            self.log(trial, {})

    def mark_front(self, numbers, hypervolume, step):
        self.marked.append((list(numbers), hypervolume))

    def trial_run(self, trial):
        return "run"

    def raise_if_lost(self):
        if self.is_lost:
            raise RecordError("another process writes it")


def trial(number, accuracy=0.5):
    return Trial(number, {}, str(number), "complete", {"accuracy": accuracy, "params": 10}, 9)


@pytest.mark.parametrize("problem", ["", "nothing answers there"])
def test_the_status_shows_that_mlflow_is_away(problem):
    status = Status(Budget())
    writer = RecordWriter(SimulatedRecord(problem), PLAN, [], Path("scratch"))
    for number in range(2):
        writer.trial(trial(number), {})
    writer.show_delivery(status)
    assert [(each.number, each.run_id) for each in writer.trials()] == [(0, "run"), (1, "run")]
    assert status.record_problem == problem
    assert status.undelivered == (2 if problem else 0)
    assert status.delivery_notice == (problem and f"{problem}; 2 results wait in mlruns/spool.")


def test_a_record_that_another_process_took_over_ends_the_search():
    record = SimulatedRecord()
    writer = RecordWriter(record, PLAN, [], Path("scratch"))
    writer.show_delivery(Status(Budget()))
    record.is_lost = True
    with pytest.raises(RecordError, match="another process"):
        writer.show_delivery(Status(Budget()))


def test_a_complete_trial_below_the_quality_floor_is_written():
    record = SimulatedRecord()
    writer = RecordWriter(record, PLAN.model_copy(update={"min_quality": 0.95}), [], Path("scratch"))
    for number, accuracy in enumerate((0.7, 0.99)):
        writer.trial(trial(number, accuracy), {})
    assert len(record.logged) == 2
    assert record.marked[0] == ([], 0.0)
    assert record.marked[1][0] == [1]


@pytest.mark.parametrize("kind", ["trial", "over_limit"])
def test_a_search_pauses_while_its_folder_cannot_be_written(kind, monkeypatch):
    monkeypatch.setattr(log, "PAUSE_SECONDS", 0.001)
    record, status = SimulatedRecord(failures=3), Status(Budget())
    pausing = PausingLog(RecordWriter(record, PLAN, [], Path("scratch")), status)
    shown = []
    pausing.show = lambda status: shown.append(status.paused)
    pausing.trial(trial(4), {}) if kind == "trial" else pausing.over_limit(trial(4))
    assert [each.number for each in record.logged] == [4]
    assert len(shown) == 3
    assert all("No space left" in reason for reason in shown)
    assert status.paused == ""
    assert len(status.notices) == 2  # one when it pauses, one when it continues
    assert "The search is paused: 'mlruns/spool/x' cannot be written" in status.notices[0]


def test_a_checkpoint_to_resume_outlives_its_delivery(tmp_path):
    """The file that waits is removed when MLflow has it, also while a worker reads it."""
    waiting, delivered = tmp_path / "waiting.npz", tmp_path / "delivered.npz"
    delivered.write_bytes(b"weights")

    class Record(SimulatedRecord):
        def file(self, trial, name):
            files.append(waiting if not files else delivered)
            return files[-1]

    files = []
    writer = RecordWriter(Record(), PLAN, [trial(3)], tmp_path / "scratch")
    path = writer.checkpoint(3, 0)  # the waiting file has been delivered between its look-up and its copy
    assert files == [waiting, delivered]
    delivered.unlink()
    assert path.read_bytes() == b"weights"
    assert path.is_relative_to(tmp_path / "scratch")
