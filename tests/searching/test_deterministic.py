"""Equal options give equal trials, whatever the number of workers and the time that jobs take."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace

import pytest
from simulated_search import SPACE, MemoryLog, RandomEngine, RecordingMeter, SimulatedTraining

from nas.device import reference_latency_ms
from nas.errors import InputError
from nas.searching import SearchOptions, Status
from nas.searching.halving import Halving
from nas.searching.loop import Search
from nas.searching.screening import Screen
from nas.searching.status import Budget
from nas.searching.steering import LAG, ReferenceMeter, SteeredEngine, UntimedTrials, untimed
from nas.searching.trial_training import TrialTraining
from nas.space import SearchSpace
from nas.trials import OBJECTIVES, Criteria

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]


class ShuffledExecutor:
    """Ends jobs in a random order; at most `workers` of them run at once."""

    def __init__(self, workers: int, seed: int) -> None:
        self.workers = workers
        self.training = SimulatedTraining()
        self._rng = random.Random(seed)
        self._waiting: list[tuple[object, Future]] = []

    def submit(self, job):
        future: Future = Future()
        self._waiting.append((job, future))
        while len(self._waiting) > self.workers or (self._waiting and self._rng.random() < 0.5):
            ended, its_future = self._waiting.pop(self._rng.randrange(len(self._waiting)))
            evaluation = self.training.evaluate(ended)
            its_future.set_result(replace(evaluation, seconds={"train": self._rng.random()}))
        return future

    def take_notices(self):
        for job, future in self._waiting:  # called before each collection
            future.set_result(self.training.evaluate(job))
        self._waiting.clear()
        return []


class NoisyMeter(RecordingMeter):
    """Latencies that differ from run to run."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._noise = random.Random(seed)

    def measure(self, architecture):
        measured = super().measure(architecture)
        return {**measured, "latency_ms": measured["latency_ms"] * self._noise.uniform(0.5, 2.0)}


def run(tmp_path, workers: int, seed: int, deterministic: bool):
    space = SearchSpace(SPACE).bind((8, 8, 1), 10)
    objectives = (OBJECTIVES["accuracy"], OBJECTIVES["params"], OBJECTIVES["latency"])
    meter = NoisyMeter(seed)
    screen = Screen(space, objectives, (), ReferenceMeter(meter) if deterministic else meter)
    engine, log = RandomEngine(space), MemoryLog()
    search = Search(
        screen,
        SteeredEngine(engine) if deterministic else engine,
        ShuffledExecutor(workers, seed),
        Halving((1, 3, 9), 3, Criteria(objectives)),
        log,
        TrialTraining([tmp_path], tmp_path, front_seeds=2),
        Status(Budget(24)),
        *((LAG, UntimedTrials()) if deterministic else ()),
    )
    search.run(lambda _: None)
    figures = {
        number: (trial.id, trial.state, trial.epochs, trial.values["accuracy"], trial.trainings)
        for number, trial in sorted(search.status.trials.items())
    }
    return figures, engine, log


@pytest.mark.parametrize("workers", [1, 2, 5, 20])
def test_trials_do_not_depend_on_time(tmp_path, workers):
    expected, engine, _ = run(tmp_path, 1, 0, True)
    for seed in range(3):
        found, again, log = run(tmp_path, workers, seed, True)
        assert found == expected
        observed = [(trial.number, trial.epochs, trial.values) for trial in again.observed]
        assert observed == [(trial.number, trial.epochs, trial.values) for trial in engine.observed]
    assert sum(state == "complete" for _, state, *_ in expected.values()) > 1
    assert all("latency_ms" in trial.values for trial in log.trials.values())
    one = next(iter(log.trials.values()))
    assert one.values["latency_ms"] != reference_latency_ms(one.architecture)  # the measured one is recorded


def test_without_the_option_they_do(tmp_path):
    """Otherwise the test above could not fail."""
    outcomes = [run(tmp_path, 5, seed, False)[0] for seed in range(4)]
    assert any(outcome != outcomes[0] for outcome in outcomes)


def test_seconds_and_latency_of_a_trial_that_steers_are_computed(tmp_path):
    _, _, log = run(tmp_path, 1, 0, True)
    trial = next(iter(log.trials.values()))
    other = replace(trial, values={**trial.values, "latency_ms": 77.0}, seconds={"train": 99.0, "trace": 3.0})
    assert untimed(trial) == untimed(other)
    assert untimed(trial).seconds_per_epoch > 0
    assert untimed(trial).seconds_once == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [({"seconds": 60.0}, "--time"), ({"limits": {"latency_ms": 1.0}}, "--max-latency-ms")],
)
def test_what_is_timed_is_refused(options, named):
    with pytest.raises(InputError, match=f"decision may depend on what is timed, got {named}; use"):
        SearchOptions.parse({"deterministic": True, **options})


SMALL = """
name: small
stem: {width: 8, stride: 2, normalization: between}
stages: {count: {choice: [1, 2]}, width: {range: [4, 16, 2]}}
block: {conv: {choice: [standard, separable]}, normalization: between}
"""

AGAIN = """
import json, nas
found = nas.find("w2")
trained = [trial for trial in found.trials if trial.epochs][:5]
print(json.dumps([[found.reproduce(trial), dict(trial.values)] for trial in trained]))
"""


@pytest.mark.trains
def test_real_searches_agree_and_their_trials_are_reproduced(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    tables = []
    for workers in ("0", "1", "2"):
        arguments = ["search", "--space", "small.yaml", "--trials", "8", "--epochs", "4", "--min-epochs", "2"]
        arguments += ["--reduction", "2", "--deterministic", "--workers", workers, "--name", f"w{workers}"]
        done = subprocess.run([*NAS, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr
        shown = subprocess.run(
            [*NAS, "front", f"w{workers}", "--all", "--json"], cwd=tmp_path, capture_output=True, text=True
        )
        rows = json.loads(shown.stdout)
        assert all(row["latency_ms"] > 0 for row in rows)
        tables.append([{k: v for k, v in row.items() if not k.startswith("latency")} for row in rows])
    assert tables[0] == tables[1] == tables[2]
    command = [sys.executable, "-c", AGAIN]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert again.returncode == 0, again.stderr
    pairs = json.loads(again.stdout)
    assert len(pairs) == 5
    for now, recorded in pairs:
        assert {"accuracy", "val_loss", "loss"} <= now.keys()
        assert now == {key: recorded[key] for key in now}
    shown = subprocess.run([*NAS, "reproduce", "w1:0"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.endswith("All values are equal to the last bit.\n")
