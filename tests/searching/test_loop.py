"""The loop: a real space, engine and screen; a made-up training whose accuracy follows the cost."""

from __future__ import annotations

import gc
import itertools
import math
import time
import tracemalloc
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.errors import ConversionError, EvaluationError, LimitError
from nas.evaluation import Evaluation, Job
from nas.executors import InProcess
from nas.searching import Status
from nas.searching.halving import Halving, rungs
from nas.searching.loop import Search, TrialTraining
from nas.searching.screening import Screen
from nas.searching.status import Budget
from nas.space import SearchSpace, sample
from nas.trials import OBJECTIVES, Limit

SPACE = {
    "name": "small",
    "stages": {"count": {"choice": [1, 2, 3]}, "width": {"choice": [4, 8, 16]}, "growth": {"choice": [1, 2]}},
    "block": {"conv": {"choice": ["standard", "separable"]}, "residual": {"choice": ["none", "identity"]}},
}
OBJECTIVE = (OBJECTIVES["accuracy"], OBJECTIVES["params"])


class Random:
    """An engine that learns nothing and remembers what it was told."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.rng, self.told = space, np.random.default_rng(0), []

    def ask(self):
        return sample(self.space.open_values, self.rng)

    def tell(self, trial):
        self.told.append(trial)

    def flatness(self):
        return None


class Kept:
    """A log in memory."""

    def __init__(self) -> None:
        self.trials, self.refused, self.writes = {}, [], Counter()

    def trial(self, trial, files):
        self.trials[trial.number] = trial
        self.writes[trial.number] += 1

    def over_limit(self, trial):
        self.refused.append(trial)

    def checkpoint(self, number):
        return Path(f"kept/{number}")


class Trainer:
    """Gives an accuracy that grows with widths and epochs, for some networks faster than for others."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> Evaluation:
        self.jobs.append(job)
        architecture = job.design.architecture
        size = sum(stage.width for stage in architecture.stages) * (0.1 + int(architecture.id, 16) / 16**12)
        if architecture.stages[0].width == 7777:
            raise EvaluationError("the loss is not finite")
        known = job.resume.name.split("@") if job.resume else ["", "0"]  # kept/3 is of a first rung
        past = int(known[1]) if len(known) == 2 else 1
        accuracy = [1 - math.exp(-size / 40) * (0.5 + 0.5 / epoch) for epoch in range(1, job.epochs + 1)]
        curve = [{"epoch": float(e + 1), "val_accuracy": a} for e, a in enumerate(accuracy)][past:]
        values = {"accuracy": accuracy[-1] + 0.001 * (job.seed // 1000)}
        checkpoint = job.folder / f"c@{job.epochs}"
        return Evaluation(values, job.epochs, tuple(curve), {"train": 1.0}, checkpoint, 1.0)


def made(tmp_path, trials=10, limits=(), repeats=1, steps=(1, 3, 9), data=SPACE):
    space = SearchSpace(data).bind((8, 8, 1), 10)
    screen = Screen(space, OBJECTIVE, limits)
    screen.check_limits()
    trainer, log, engine, status = Trainer(), Kept(), Random(space), Status(Budget(trials))
    search = Search(
        screen, engine, InProcess(trainer), Halving(steps, 3, OBJECTIVE), log,
        TrialTraining(tmp_path, tmp_path, repeats=repeats), status,
    )  # fmt: skip
    return search, trainer, log, engine


def show(_: Status) -> None:
    pass


def test_every_trial_is_another_network_and_is_told_and_kept(tmp_path):
    search, _trainer, log, engine = made(tmp_path, trials=12)
    search.run(show)
    ids = [trial.id for trial in log.trials.values()]
    assert len(ids) == len(set(ids)) == 12
    assert search.status.ended_by == "12 trials"
    assert {trial.number for trial in engine.told} == set(range(12))
    assert search.status.trials == log.trials
    assert search.status.duplicates > 0


class Clock:
    """A status whose time passes with each evaluation: ten seconds an epoch."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.seconds = trainer, 0.0

    def __call__(self, job: Job) -> Evaluation:
        found = self.trainer(job)
        self.seconds += 10.0 * len(found.curve)
        return replace(found, seconds={"train": 10.0 * len(found.curve)})


def test_when_the_time_is_nearly_up_the_front_is_trained_in_full(tmp_path, monkeypatch):
    search, trainer, _, _ = made(tmp_path)
    clock = Clock(trainer)
    search._executor = InProcess(clock)
    search.status.budget = Budget(seconds=1000.0)
    monkeypatch.setattr(Status, "elapsed", property(lambda _: clock.seconds))
    search.run(show)
    assert search.status.ended_by == "1000 s are over"
    assert 900 < clock.seconds <= 1010
    trials = list(search.status.trials.values())
    assert len(trials) > 10
    full = [trial for trial in trials if trial.state == "complete"]
    best = max(trials, key=lambda trial: trial.values["accuracy"])
    assert best.state == "complete"
    assert len(full) >= 8  # 6 where new ones are begun to the end


def test_halving_trains_few_in_full_and_goes_on_from_checkpoints(tmp_path):
    search, trainer, log, _ = made(tmp_path, trials=36)
    search.run(show)
    states = Counter(trial.state for trial in log.trials.values())
    assert 2 <= states["complete"] <= 12
    assert states["stopped"] >= 24
    per_trial: dict[int, list[Job]] = {}
    for job in trainer.jobs:
        per_trial.setdefault(job.number, []).append(job)
    for number, jobs in per_trial.items():
        assert [job.epochs for job in jobs] == list((1, 3, 9)[: len(jobs)])
        assert jobs[0].resume is None
        for before, after in itertools.pairwise(jobs):
            assert after.resume == before.folder / f"c@{before.epochs}"
        assert log.trials[number].epochs == jobs[-1].epochs
        assert len(log.trials[number].curve) == jobs[-1].epochs
        assert log.trials[number].seconds["train"] == len(jobs)


def test_nothing_over_a_limit_is_trained(tmp_path):
    search, _trainer, log, engine = made(tmp_path, trials=6, limits=(Limit("params", 1500),))
    search.run(show)
    assert all(trial.values["params"] <= 1500 for trial in log.trials.values())
    assert log.refused
    assert all(trial.values["params"] > 1500 for trial in log.refused)
    assert all("params" in trial.reason and "over 1,500" in trial.reason for trial in log.refused)
    assert len({trial.number for trial in log.refused}) == len(log.refused)
    assert [trial for trial in engine.told if trial.state == "over_limit"] == log.refused


def test_a_limit_that_nothing_meets_is_found_at_the_start(tmp_path):
    with pytest.raises(LimitError, match=r"at most 10, but the least in the space small is about 67;"):
        made(tmp_path, limits=(Limit("params", 10),))


def test_a_search_ends_when_the_space_is_exhausted(tmp_path):
    data = {"name": "tiny", "stages": [{"width": {"choice": [4, 8]}}]}
    search, _trainer, log, _ = made(tmp_path, trials=50, data=data, steps=(1,))
    search.run(show)
    assert len(log.trials) == 2
    assert "every network of the space" in search.status.ended_by


def test_repeats_train_each_network_with_several_seeds(tmp_path):
    search, trainer, log, _ = made(tmp_path, trials=3, repeats=3, steps=(2,))
    search.run(show)
    assert Counter(job.number for job in trainer.jobs) == {0: 3, 1: 3, 2: 3}
    assert len({job.seed for job in trainer.jobs}) == 3
    assert len({job.folder for job in trainer.jobs}) == 9
    for trial in log.trials.values():
        assert trial.values["accuracy_std"] == pytest.approx(0.001 * np.std([0, 1, 2]))


def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path):
    data = {"name": "odd", "stages": [{"width": {"choice": [4, 7777, 8]}}]}
    search, _trainer, log, _engine = made(tmp_path, trials=3, data=data, steps=(1,))
    search.run(show)
    states = {trial.architecture.stages[0].width: trial for trial in log.trials.values()}
    assert states[7777].state == "failed"
    assert states[7777].reason == "the loss is not finite"
    assert states[4].state == states[8].state == "complete"


class Files:
    """A meter that remembers how many jobs had been handed out at each measurement, and refuses some."""

    def __init__(self, trainer: Trainer, refused: int = 0) -> None:
        self.trainer, self.refused, self.seen = trainer, refused, []

    def predict(self, architecture):
        return {"latency_ms": 1.0, "size_bytes": 1000.0}, 0.1

    def measure(self, architecture):
        self.seen.append((architecture.id, len(self.trainer.jobs)))
        if len(self.seen) <= self.refused:
            raise ConversionError("the runtime has no such operation")
        return {"latency_ms": 2.0, "size_bytes": 2000.0}


def metered(tmp_path, limits=(), refused=0):
    search, trainer, log, engine = made(tmp_path, trials=5)
    meter = Files(trainer, refused)
    search._screen = Screen(search._screen.space, (*OBJECTIVE, OBJECTIVES["latency"]), limits, meter)
    search.run(show)
    return meter, trainer, log, engine


def test_files_are_measured_once_their_networks_train(tmp_path):
    meter, trainer, log, engine = metered(tmp_path)
    started = {job.design.architecture.id: place for place, job in reversed(list(enumerate(trainer.jobs)))}
    assert all(started[name] < jobs for name, jobs in meter.seen)
    assert len(meter.seen) == 5
    assert all(trial.values["latency_ms"] == 2.0 for trial in [*log.trials.values(), *engine.told])


def test_files_are_measured_before_any_training_where_a_limit_depends_on_it(tmp_path):
    meter, trainer, log, _ = metered(tmp_path, limits=[Limit("latency_ms", 1.5)])
    assert not trainer.jobs
    assert meter.seen
    assert not log.trials
    assert all(trial.reason == "latency_ms 2 over 1.5" for trial in log.refused)


class Lined:
    """An executor with two workers that ends a job whenever the search shows where it stands."""

    workers = 2

    def __init__(self, trainer: Trainer, seconds: float) -> None:
        self.trainer, self.seconds = trainer, seconds
        self.open: list[tuple[Job, Future[Evaluation]]] = []

    def submit(self, job: Job) -> Future[Evaluation]:
        self.open.append((job, Future()))
        return self.open[-1][1]

    def close(self) -> None:
        pass

    def show(self, _: Status) -> None:
        if self.open:
            job, done = self.open.pop(0)
            done.set_result(replace(self.trainer(job), seconds={"train": self.seconds}))


@pytest.mark.parametrize(("seconds", "waiting"), [(60.0, 1), (0.001, 3)])
def test_more_jobs_wait_where_trials_are_over_before_the_next_is_proposed(tmp_path, seconds, waiting):
    search, trainer, log, engine = made(tmp_path, trials=20)
    search._executor = lined = Lined(trainer, seconds)
    propose, unfinished = engine.ask, []

    def ask():
        unfinished.append(len(lined.open))
        time.sleep(0.002)
        return propose()

    engine.ask = ask
    search.run(lined.show)
    assert len(log.trials) == 20
    assert max(unfinished) + 1 == 2 * (1 + waiting)


def test_no_worker_waits_for_the_files_of_trials_that_ended_together(tmp_path):
    search, trainer, log, _ = made(tmp_path, trials=16, steps=(1,))
    search._executor = lined = Lined(trainer, 60.0)
    meter = Files(trainer)
    search._screen = Screen(search._screen.space, (*OBJECTIVE, OBJECTIVES["latency"]), (), meter)
    measure, unfinished = meter.measure, []

    def watched(architecture):
        if not search.status.ended_by:
            unfinished.append(len(lined.open))
        return measure(architecture)

    meter.measure = watched

    shown = itertools.count(1)

    def all_at_times(status: Status) -> None:
        due = next(shown) % 3 == 0
        while due and lined.open:
            lined.show(status)

    search.run(all_at_times)
    assert len(log.trials) == 16
    assert len(unfinished) > 6
    assert min(unfinished) >= lined.workers


def test_in_this_process_each_trial_is_kept_before_the_next_trains(tmp_path):
    search, trainer, log, _ = made(tmp_path, trials=6, steps=(1,))
    behind = []
    search.run(lambda _: behind.append(len(trainer.jobs) - len(log.trials)))
    assert len(log.trials) == 6
    assert max(behind) == 0


def test_jobs_that_end_together_are_taken_in_their_order(tmp_path):
    search, trainer, log, _ = made(tmp_path, trials=24, steps=(1,))
    search._executor = lined = Lined(trainer, 60.0)
    lined.workers = 6

    def all_at_once(status: Status) -> None:
        while lined.open:
            lined.show(status)

    search.run(all_at_once)
    assert list(log.trials) == list(range(24))


def test_a_trial_whose_file_is_refused_while_it_trains_has_failed(tmp_path):
    _, _, log, engine = metered(tmp_path, refused=2)
    failed = [trial for trial in log.trials.values() if trial.state == "failed"]
    assert [trial.reason for trial in failed] == ["the runtime has no such operation"] * 2
    assert len(log.trials) == 5
    assert sum(trial.state == "failed" for trial in engine.told) == 2


def test_a_resumed_search_trains_nothing_twice_and_its_engine_knows_the_record(tmp_path):
    first, _trainer, log, _ = made(tmp_path, trials=8)
    first.run(show)
    recorded = [*log.trials.values(), *log.refused]
    second, again, _more, engine = made(tmp_path, trials=14)
    second.replay(recorded)
    second.run(show)
    assert engine.told[: len(recorded)] == recorded
    new = [job.number for job in again.jobs if job.resume is None]
    assert sorted(new) == list(range(8, 14))
    promoted = [job for job in again.jobs if job.number < 8]
    assert all(job.resume == Path(f"kept/{job.number}") for job in promoted if job.epochs == 3)
    ids = [trial.id for trial in second.status.trials.values()]
    assert len(ids) == len(set(ids)) == 14


def test_ctrl_c_ends_cleanly_with_what_has_ended(tmp_path):
    search, _trainer, log, _ = made(tmp_path, trials=50)

    def press(status: Status) -> None:
        if len(status.trials) >= 4 and not status.interrupted:
            raise KeyboardInterrupt

    search.run(press)
    assert search.status.interrupted
    assert 4 <= len(log.trials) < 50
    assert search.status.trials == log.trials
    assert not search.status.running


def test_starting_settings_come_first(tmp_path):
    search, _trainer, log, _ = made(tmp_path, trials=3)
    names = ("stages.count", "stages.width", "stages.growth", "block.conv", "block.residual")
    start = [
        dict(zip(names, values, strict=True))
        for values in ((3, 16, 2, "standard", "none"), (1, 4, 1, "separable", "none"))
    ]
    search.start_from(start)
    search.run(show)
    assert [log.trials[number].setting for number in (0, 1)] == start
    assert rungs(9, 3) == (1, 3, 9)


def test_a_search_ends_when_the_front_stays_flat(tmp_path):
    search, _, log, engine = made(tmp_path, trials=40, steps=(1,))
    search.status.budget = Budget(40, flat=0.01)
    gains = iter([0.5, 0.001, 0.5, *[0.001] * 37])
    engine.flatness = lambda: next(gains)
    search.run(show)
    assert "expected to gain only 0.10%" in search.status.ended_by
    assert 8 <= len(log.trials) < 20  # one low figure is no reason to stop, five in a row are


def test_a_trial_keeps_few_kilobytes(tmp_path):
    shipped = SearchSpace.load(Path(__file__).parents[2] / "search_spaces" / "xception_like.yaml")
    search, *_ = made(tmp_path, data=shipped.data)
    kept = []
    tracemalloc.start()
    for trials in (400, 900):
        search.status.budget, search.status.ended_by = Budget(trials), ""
        search.run(show)
        gc.collect()
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(search.status.trials) == 900
    assert (kept[1] - kept[0]) / 500 < 10_000
