"""The thread that writes trials to the record."""

from __future__ import annotations

import threading

import pytest

from nas.searching import Plan, Status, record_writer
from nas.searching.record_writer import RecordWriter
from nas.searching.status import Budget
from nas.trials import Trial

PLAN = Plan.parse({"space": {}, "objectives": ("accuracy", "params")})


class BlockedRecord:
    """A record whose writes wait until they are released."""

    delivery_problem, undelivered = "", 0

    def __init__(self) -> None:
        self.release = threading.Semaphore(0)
        self.written = 0

    def log_over_limit(self, trials):
        assert self.release.acquire(timeout=30)
        self.written += 1


def test_a_search_waits_for_a_record_that_lags_far_behind(monkeypatch):
    """Otherwise pending writes would fill the memory."""
    monkeypatch.setattr(record_writer, "MAX_PENDING_WRITES", 3)
    record = BlockedRecord()
    writer = RecordWriter(record, PLAN, [], Status(Budget()))
    for _ in range(3):
        writer.over_limit(None)
    fourth = threading.Thread(target=writer.over_limit, args=(None,))
    fourth.start()
    fourth.join(timeout=0.2)
    assert fourth.is_alive()  # three writes are pending
    record.release.release()
    fourth.join(timeout=30)
    assert not fourth.is_alive()
    for _ in range(3):
        record.release.release()
    writer.close()
    assert record.written == 4


class AbsentRecord:
    """A record that keeps trials in its spool while MLflow does not answer."""

    def __init__(self) -> None:
        self.delivery_problem, self.undelivered = "", 0

    def log(self, trial, files):
        if self.delivery_problem:
            self.undelivered += 1
        return trial

    def mark_front(self, numbers, hypervolume, step):
        pass


@pytest.mark.parametrize("problem", ["", "nothing answers there"])
def test_the_status_shows_that_mlflow_is_away(problem):
    record, status = AbsentRecord(), Status(Budget())
    record.delivery_problem = problem
    writer = RecordWriter(record, PLAN, [], status)
    for number in range(2):
        writer.trial(Trial(number, {}, str(number), "complete", {"accuracy": 0.5, "params": 10}), {})
    assert [trial.number for trial in writer.close()] == [0, 1]
    assert status.record_problem == problem
    assert status.undelivered == (2 if problem else 0)


def test_a_complete_trial_below_the_quality_floor_is_written():
    marked = []

    class Record(AbsentRecord):
        def mark_front(self, numbers, hypervolume, step):
            marked.append((list(numbers), hypervolume))

    plan = PLAN.model_copy(update={"min_quality": 0.95})
    writer = RecordWriter(Record(), plan, [], Status(Budget()))
    for number, accuracy in enumerate((0.7, 0.99)):
        writer.trial(Trial(number, {}, str(number), "complete", {"accuracy": accuracy, "params": 10}, 9), {})
    assert len(writer.close()) == 2
    assert marked[0] == ([], 0.0)
    assert marked[1][0] == [1]
