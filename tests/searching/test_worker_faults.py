"""Real searches whose workers are killed, stopped, or never start."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import numpy as np
import psutil
import pytest
from digit_jobs import digit_design, digit_job

import nas
from nas.architecture import network_cost
from nas.data import load_dataset
from nas.errors import RunError, WorkerError
from nas.evaluation import Evaluation, Job, State, write_state
from nas.executors import InProcess, LocalProcesses, WorkerQueue
from nas.executors.members import Patience
from nas.searching import SearchOptions, Status, prepare_search

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

SEARCH = {"objectives": ("accuracy", "params"), "train_limit": 100, "epochs": 3}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def worker_processes() -> list[psutil.Process]:
    """Return the workers of this process that have not ended."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, or is a zombie
            if "spawn_main" in "".join(child.cmdline()):
                found.append(child)
    return found


class Killer:
    """Kills a worker, whatever it does, whenever some more trials have ended."""

    def __init__(self, kills: int) -> None:
        self.left, self.ended, self.random = kills, 0, random.Random(0)

    def __call__(self, status: Status) -> None:
        workers = worker_processes()
        if self.left and workers and len(status.trials) >= self.ended:
            time.sleep(self.random.random() / 2)
            self.random.choice(workers).kill()
            self.left -= 1
            self.ended = len(status.trials) + 2


def test_a_search_loses_no_trial_to_workers_that_are_killed():
    killer = Killer(5)
    result = nas.search("xception_like", trials=10, workers=2, name="killed", show=killer, **SEARCH)
    assert killer.left == 0
    assert sorted(trial.number for trial in result.trials) == list(range(10))
    assert [trial.reason for trial in result.trials if trial.state == "failed"] == []
    assert sum("was killed by SIGKILL" in notice for notice in result.status.notices) >= 4  # one may be late
    assert nas.find("killed").front


class DyingEvaluator:
    def __init__(self) -> None:
        os._exit(7)


def test_a_search_without_workers_ends_with_an_error_and_can_be_resumed():
    options = SearchOptions.parse({**SEARCH, "trials": 2})
    session = prepare_search("xception_like", options, "no-workers")
    session.executor = WorkerQueue(LocalProcesses(DyingEvaluator), 1)
    with pytest.raises(WorkerError, match="the last ended with exit code 7"):
        session.run(lambda status: None)
    assert nas.find("no-workers").trials == ()
    result = nas.resume("no-workers", workers=0)
    assert [trial.state for trial in result.trials if trial.state == "failed"] == []
    assert len(result.trials) == 2


def test_failed_trials_of_the_record_are_trained_again_on_demand():
    with pytest.raises(RunError, match="must train at least one network"):
        nas.search("xception_like", trials=2, workers=1, trial_seconds=0.001, name="slow", **SEARCH)
    failed = nas.find("slow").trials
    assert [trial.state for trial in failed] == ["failed", "failed"]
    result = nas.resume("slow", retry_failed=True, trial_seconds=100.0, trials=3, workers=0)
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    recorded = nas.find("slow").trials
    assert [trial.id for trial in recorded[:2]] == [trial.id for trial in failed]
    assert {trial.state for trial in recorded} <= {"complete", "stopped"}
    assert {trial.reason for trial in recorded} == {""}


def test_a_training_that_is_stopped_is_told_from_a_long_one_and_trained_again(tmp_path):
    options = SearchOptions.parse({"data": "digits", "image_size": 8, "train_limit": 100})
    data = load_dataset("digits", options, None).save(tmp_path / "data")
    pool = WorkerQueue(LocalProcesses(), 1, patience=Patience(start=100.0, step=3.0))
    try:
        future = pool.submit(digit_job(tmp_path / "job", data, digit_design(), epochs=1000, full_epochs=1000))
        deadline = time.monotonic() + 60
        while not pool._places[0].member.longest:  # it trains
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [process] = worker_processes()
        os.kill(process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        process.wait(60)
        assert 2.5 < time.monotonic() - stopped < 30
        assert future.result(timeout=200).epochs == 1000  # takes longer than the patience
        [notice] = pool.take_notices()
        assert notice.startswith("The worker of trial 0 made no progress for ")
    finally:
        pool.close()


SPACE = {
    "name": "small",
    "stages": {"count": {"choice": [1, 2, 3]}, "width": {"choice": [4, 8, 16, 32, 64]},
               "growth": {"choice": [1, 2]}},
    "block": {"conv": {"choice": ["standard", "separable"]}, "convs": {"choice": [1, 2]}},
}  # fmt: skip


class SmallMemory:
    """Simulates training in a memory that is too small for networks of over 8,000 parameters."""

    def __init__(self) -> None:
        self.asked: list[bool] = []  # whether each job needs too much

    def evaluate(self, job: Job, progress=None) -> Evaluation:
        params = network_cost(job.design.architecture).params
        self.asked.append(params > 8000)
        if self.asked[-1]:
            raise MemoryError("Unable to allocate 8 TiB")
        checkpoint = job.folder / "checkpoint.npz"
        write_state(checkpoint, State((), (), epochs=job.epochs))
        accuracy = 1 - 1 / np.log(params)
        row = {"epoch": float(job.epochs), "val_accuracy": accuracy}
        return Evaluation({"accuracy": accuracy}, job.epochs, (row,), {"train": 1.0}, checkpoint, 1.0)


def test_the_sampler_avoids_networks_like_those_that_ran_out_of_memory():
    options = {**SEARCH, "trials": 40, "halving": False, "front_seeds": 1}
    session = prepare_search(SPACE, SearchOptions.parse(options), "memory")
    training = SmallMemory()
    session.executor = InProcess(lambda: training)
    result = session.run(lambda status: None)
    failed = [trial.reason for trial in result.trials if trial.state == "failed"]
    assert set(failed) == {"out of memory: Unable to allocate 8 TiB"}
    assert np.mean(training.asked[:15]) > 0.3
    assert np.mean(training.asked[25:]) < 0.2
