"""The search loop with a real space, screen and halving, and a simulated training."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated_search import SPACE, MemoryLog, RandomEngine, RecordingMeter, SimulatedTraining

from nas.errors import (
    EvaluationError,
    LimitError,
    RecordError,
    StorageError,
    WorkerError,
)
from nas.evaluation import Evaluation, Job
from nas.executors import InProcess
from nas.searching import Status
from nas.searching.halving import Halving, rungs
from nas.searching.loop import Search
from nas.searching.screening import Screen
from nas.searching.status import Budget
from nas.searching.trial_training import TrialTraining
from nas.space import SearchSpace
from nas.trials import OBJECTIVES, Criteria, Limit, pareto_front

OBJECTIVE = (OBJECTIVES["accuracy"], OBJECTIVES["params"])


def create(
    tmp_path, trials=10, limits=(), repeats=1, steps=(1, 3, 9), data=SPACE, executor=None, meter=None,
    front_seeds=1,
):  # fmt: skip
    space = SearchSpace(data).bind((8, 8, 1), 10)
    objectives = (*OBJECTIVE, OBJECTIVES["latency"]) if meter else OBJECTIVE
    screen = Screen(space, objectives, limits, meter)
    screen.check_limits()
    training, log = executor.training if executor else SimulatedTraining(), MemoryLog()
    engine, status = RandomEngine(space), Status(Budget(trials))
    search = Search(
        screen, engine, executor or InProcess(lambda: training), Halving(steps, 3, Criteria(OBJECTIVE)), log,
        TrialTraining([tmp_path], tmp_path, repeats=repeats, front_seeds=front_seeds), status,
    )  # fmt: skip
    return search, training, log, engine


def show(_: Status) -> None:
    pass


def test_every_trial_is_a_different_network_and_is_observed_and_logged(tmp_path):
    search, _training, log, engine = create(tmp_path, trials=12)
    search.run(show)
    ids = [trial.id for trial in log.trials.values()]
    assert len(ids) == len(set(ids)) == 12
    assert search.status.ended_by == "12 trials"
    assert {trial.number for trial in engine.observed} == set(range(12))
    assert search.status.trials == log.trials
    assert search.status.duplicates > 0


class ClockedTraining:
    """A training that advances a simulated clock by ten seconds per epoch."""

    def __init__(self) -> None:
        self.training, self.seconds = SimulatedTraining(), 0.0

    def evaluate(self, job: Job) -> Evaluation:
        result = self.training.evaluate(job)
        self.seconds += 10.0 * len(result.curve)
        return replace(result, seconds={"train": 10.0 * len(result.curve)})


def test_before_the_time_limit_the_front_is_trained_in_full(tmp_path, monkeypatch):
    clock = ClockedTraining()
    executor = InProcess(lambda: clock)
    executor.training = clock.training
    search, _, _, _ = create(tmp_path, executor=executor)
    search.status.budget = Budget(seconds=1000.0)
    monkeypatch.setattr(Status, "elapsed", property(lambda _: clock.seconds))
    search.run(show)
    assert search.status.ended_by == "the time limit of 1000 s is reached"
    assert 900 < clock.seconds <= 1010
    trials = list(search.status.trials.values())
    assert len(trials) > 10
    full = [trial for trial in trials if trial.state == "complete"]
    best = max(trials, key=lambda trial: trial.values["accuracy"])
    assert best.state == "complete"
    assert len(full) >= 8  # 6 if new trials are begun until the end


def test_halving_trains_few_in_full_and_resumes_from_checkpoints(tmp_path):
    search, training, log, _ = create(tmp_path, trials=36)
    search.run(show)
    states = Counter(trial.state for trial in log.trials.values())
    assert 2 <= states["complete"] <= 12
    assert states["stopped"] >= 24
    per_trial: dict[int, list[Job]] = {}
    for job in training.jobs:
        per_trial.setdefault(job.number, []).append(job)
    for number, jobs in per_trial.items():
        assert [job.epochs for job in jobs] == list((1, 3, 9)[: len(jobs)])
        assert jobs[0].resume is None
        for before, after in itertools.pairwise(jobs):
            assert after.resume == before.folder / f"c@{before.epochs}"
        assert log.trials[number].epochs == jobs[-1].epochs
        assert len(log.trials[number].curve) == jobs[-1].epochs
        assert log.trials[number].seconds["train"] == len(jobs)


def test_no_candidate_over_a_limit_is_trained(tmp_path):
    search, _training, log, engine = create(tmp_path, trials=6, limits=(Limit("params", 1500),))
    search.run(show)
    assert all(trial.values["params"] <= 1500 for trial in log.trials.values())
    assert log.rejected
    assert all(trial.values["params"] > 1500 for trial in log.rejected)
    assert all(
        "params is" in trial.reason and "over the limit 1,500" in trial.reason for trial in log.rejected
    )
    assert len({trial.number for trial in log.rejected}) == len(log.rejected)
    assert [trial for trial in engine.observed if trial.state == "over_limit"] == log.rejected


def test_a_limit_that_no_network_meets_is_an_error_at_the_start(tmp_path):
    with pytest.raises(LimitError, match=r"at most 10, but the least value in the space small is about 67;"):
        create(tmp_path, limits=(Limit("params", 10),))


def test_a_search_ends_when_the_space_is_exhausted(tmp_path):
    data = {"name": "tiny", "stages": [{"width": {"choice": [4, 8]}}]}
    search, _training, log, _ = create(tmp_path, trials=50, data=data, steps=(1,))
    search.run(show)
    assert len(log.trials) == 2
    assert "every network of the space within the limits" in search.status.ended_by


def test_repeats_train_each_network_with_several_seeds(tmp_path):
    search, training, log, _ = create(tmp_path, trials=3, repeats=3, steps=(2,))
    search.run(show)
    assert Counter(job.number for job in training.jobs) == {0: 3, 1: 3, 2: 3}
    assert len({job.seed for job in training.jobs}) == 3
    assert len({job.folder for job in training.jobs}) == 9
    for trial in log.trials.values():
        assert trial.values["accuracy_std"] == pytest.approx(0.001 * np.std([0, 1, 2]))


class FoldTraining(SimulatedTraining):
    """A training whose accuracy depends on the fold: .6, .7, .8."""

    def evaluate(self, job: Job) -> Evaluation:
        result = super().evaluate(job)
        accuracy = 0.6 + 0.1 * int(job.dataset.name)
        return replace(result, values={"accuracy": accuracy, "accuracy_se": 0.03})


def test_folds_train_each_network_on_each_fold_and_the_mean_counts(tmp_path):
    training = FoldTraining()
    executor = InProcess(lambda: training)
    executor.training = training
    search, training, log, _ = create(tmp_path, trials=4, steps=(1, 2), executor=executor, front_seeds=2)
    search._training = replace(search._training, datasets=[tmp_path / str(fold) for fold in range(3)])
    search.run(show)
    assert {(job.number, job.dataset.name) for job in training.jobs} == set(
        itertools.product(range(4), "012")
    )
    assert {job.seed for job in training.jobs} == {0}
    for trial in log.trials.values():
        assert trial.values["accuracy"] == pytest.approx(0.7)
        assert trial.values["accuracy_std"] == pytest.approx(np.std([0.6, 0.7, 0.8]))
        assert trial.values["accuracy_se"] == pytest.approx(0.03 / np.sqrt(3))
        assert trial.trainings == 3
    # A promoted trial continues in each fold from the checkpoint of that fold; no front member needs more.
    for job in training.jobs:
        if job.resume is not None:
            assert job.resume.parent == job.folder
    assert any(job.resume for job in training.jobs)


class LuckyTraining(SimulatedTraining):
    """A training whose smallest network is better than all others with the first seed, and the worst then."""

    def evaluate(self, job: Job) -> Evaluation:
        result = super().evaluate(job)
        width = job.design.architecture.stages[0].width
        by_width = {4: 0.99 if job.seed == 0 else 0.5, 8: 0.9, 16: 0.95}
        if width == 16 and job.seed and getattr(self, "diverges", False):
            raise EvaluationError("the loss must stay finite")
        accuracy = by_width[width]
        curve = [{**epoch, "val_accuracy": accuracy} for epoch in result.curve]
        return replace(result, values={"accuracy": accuracy}, curve=tuple(curve))


WIDTHS = {"name": "widths", "stages": [{"width": {"choice": [4, 8, 16]}}]}


def lucky_search(tmp_path, **options):
    executor = InProcess(lambda: training)
    executor.training = training = LuckyTraining()
    search, training, log, engine = create(
        tmp_path, trials=3, data=WIDTHS, steps=(2,), executor=executor, **options
    )
    return search, training, log, engine


def by_width(search):
    return {trial.architecture.stages[0].width: trial for trial in search.status.trials.values()}


def test_front_members_are_trained_with_another_seed_until_the_front_is_confirmed(tmp_path):
    search, training, log, _ = lucky_search(tmp_path, front_seeds=2)
    search.run(show)
    trials = by_width(search)
    assert trials[4].values["accuracy"] == pytest.approx((0.99 + 0.5) / 2)
    assert trials[4].values["accuracy_std"] == pytest.approx(np.std([0.99, 0.5]))
    front = pareto_front(list(search.status.trials.values()), Criteria(OBJECTIVE))
    assert {trial.architecture.stages[0].width for trial in front} == {4, 8, 16}
    # With one seed the front is the lucky network alone; the others are on it once the mean counts.
    assert all(trial.trainings == 2 for trial in front)
    again = [job for job in training.jobs if job.seed]
    assert len(again) == 3
    assert all(job.resume is None and job.epochs == 2 for job in again)
    assert log.trials == search.status.trials


def test_a_confirmed_front_is_not_trained_again_on_resume(tmp_path):
    first, _, _, _ = lucky_search(tmp_path, front_seeds=2)
    first.run(show)
    second, training, _, _ = lucky_search(tmp_path, front_seeds=2)
    second.replay(list(first.status.trials.values()))
    second.run(show)
    assert not training.jobs


def test_a_training_with_another_seed_that_fails_leaves_the_trial_complete(tmp_path):
    search, training, _, _ = lucky_search(tmp_path, front_seeds=2)
    training.diverges = True
    search.run(show)
    wide = by_width(search)[16]
    assert (wide.state, wide.trainings, wide.values["accuracy"]) == ("complete", 1, 0.95)
    assert wide.reason == "training with another seed failed: the loss must stay finite"
    assert sum(job.number == wide.number for job in training.jobs) == 2


def test_the_time_limit_holds_while_a_front_is_confirmed(tmp_path, monkeypatch):
    search, training, _, _ = lucky_search(tmp_path, front_seeds=2)
    search.status.budget = Budget(3, seconds=100.0)
    # Each training takes a second; half a second is left when the trials have ended.
    monkeypatch.setattr(Status, "elapsed", property(lambda status: 99.5 if len(status.trials) == 3 else 0.0))
    search.run(show)
    assert len(training.jobs) == 3


def test_a_failed_trial_is_logged_and_the_search_continues(tmp_path):
    data = {"name": "odd", "stages": [{"width": {"choice": [4, 7777, 8]}}]}
    search, _training, log, _engine = create(tmp_path, trials=3, data=data, steps=(1,))
    search.run(show)
    states = {trial.architecture.stages[0].width: trial for trial in log.trials.values()}
    assert states[7777].state == "failed"
    assert states[7777].reason == "the loss is not finite"
    assert states[4].state == states[8].state == "complete"


def run_with_meter(tmp_path, limits=(), refused=0):
    meter = RecordingMeter(refused)
    search, training, log, engine = create(tmp_path, trials=5, limits=limits, meter=meter)
    meter.jobs = training.jobs
    search.run(show)
    return meter, training, log, engine


def test_a_file_is_measured_while_its_network_trains(tmp_path):
    meter, training, log, engine = run_with_meter(tmp_path)
    started = {job.design.architecture.id: n for n, job in reversed(list(enumerate(training.jobs)))}
    assert all(started[name] < jobs for name, jobs in meter.measurements)
    assert len(meter.measurements) == 5
    assert all(trial.values["latency_ms"] == 2.0 for trial in [*log.trials.values(), *engine.observed])


def test_a_file_with_a_limit_is_measured_before_training(tmp_path):
    meter, training, log, _ = run_with_meter(tmp_path, limits=[Limit("latency_ms", 1.5)])
    assert not training.jobs
    assert meter.measurements
    assert not log.trials
    assert all(trial.reason == "latency_ms is 2, over the limit 1.5" for trial in log.rejected)


class QueueExecutor:
    """An executor with two workers that ends one job whenever the search shows its status."""

    workers = 2

    def __init__(self, seconds: float) -> None:
        self.training, self.seconds = SimulatedTraining(), seconds
        self.open: list[tuple[Job, Future[Evaluation]]] = []

    def submit(self, job: Job) -> Future[Evaluation]:
        self.open.append((job, Future()))
        return self.open[-1][1]

    def take_notices(self) -> list[str]:
        return []

    def close(self) -> None:
        pass

    def show(self, _: Status) -> None:
        if self.open:
            job, done = self.open.pop(0)
            done.set_result(replace(self.training.evaluate(job), seconds={"train": self.seconds}))


@pytest.mark.parametrize(("seconds", "waiting"), [(60.0, 1), (0.001, 3)])
def test_more_jobs_are_queued_if_proposing_takes_as_long_as_training(tmp_path, seconds, waiting):
    executor = QueueExecutor(seconds)
    search, _training, log, engine = create(tmp_path, trials=20, executor=executor)
    propose, unfinished = engine.ask, []

    def ask():
        unfinished.append(len(executor.open))
        time.sleep(0.002)
        return propose()

    engine.ask = ask
    search.run(executor.show)
    assert len(log.trials) == 20
    assert max(unfinished) + 1 == 2 * (1 + waiting)


def test_no_worker_waits_for_the_measurements_of_trials_that_ended_together(tmp_path):
    executor, meter = QueueExecutor(60.0), RecordingMeter()
    search, _training, log, _ = create(tmp_path, trials=16, steps=(1,), executor=executor, meter=meter)
    measure, unfinished = meter.measure, []

    def watched(architecture):
        if not search.status.ended_by:
            unfinished.append(len(executor.open))
        return measure(architecture)

    meter.measure = watched

    calls = itertools.count(1)

    def end_all_at_every_third_call(status: Status) -> None:
        due = next(calls) % 3 == 0
        while due and executor.open:
            executor.show(status)

    search.run(end_all_at_every_third_call)
    assert len(log.trials) == 16
    assert len(unfinished) > 6
    assert min(unfinished) >= executor.workers


def test_in_process_each_trial_is_logged_before_the_next_is_trained(tmp_path):
    search, training, log, _ = create(tmp_path, trials=6, steps=(1,))
    behind = []
    search.run(lambda _: behind.append(len(training.jobs) - len(log.trials)))
    assert len(log.trials) == 6
    assert max(behind) == 0


def test_jobs_that_end_together_are_collected_in_order(tmp_path):
    executor = QueueExecutor(60.0)
    search, _training, log, _ = create(tmp_path, trials=24, steps=(1,), executor=executor)
    executor.workers = 6

    def end_all(status: Status) -> None:
        while executor.open:
            executor.show(status)

    search.run(end_all)
    assert list(log.trials) == list(range(24))


def test_a_trial_fails_if_the_runtime_refuses_its_file(tmp_path):
    _, _, log, engine = run_with_meter(tmp_path, refused=2)
    failed = [trial for trial in log.trials.values() if trial.state == "failed"]
    assert [trial.reason for trial in failed] == ["the runtime has no such operation"] * 2
    assert len(log.trials) == 5
    assert sum(trial.state == "failed" for trial in engine.observed) == 2


def test_a_resumed_search_trains_nothing_twice_and_its_engine_observes_the_record(tmp_path):
    first, _training, log, _ = create(tmp_path, trials=8)
    first.run(show)
    recorded = [*log.trials.values(), *log.rejected]
    second, again, _more, engine = create(tmp_path, trials=14)
    second.replay(recorded)
    replayed = list(engine.observed)
    assert [trial for trial in replayed if trial in recorded] == recorded
    for complete in (trial for trial in recorded if trial.state == "complete"):  # also as it was at each rung
        states = [trial for trial in replayed if trial.number == complete.number]
        assert [trial.state for trial in states] == ["stopped"] * (len(states) - 1) + ["complete"]
        assert len(states) > 1
        assert states[0].values["accuracy"] == complete.curve[states[0].epochs - 1]["val_accuracy"]
    second.run(show)
    new = [job.number for job in again.jobs if job.resume is None]
    assert sorted(new) == list(range(8, 14))
    promoted = [job for job in again.jobs if job.number < 8]
    assert all(job.resume == Path(f"logged/{job.number}") for job in promoted if job.epochs == 3)
    ids = [trial.id for trial in second.status.trials.values()]
    assert len(ids) == len(set(ids)) == 14


def test_ctrl_c_keeps_all_ended_trials(tmp_path):
    search, _training, log, _ = create(tmp_path, trials=50)

    def press(status: Status) -> None:
        if len(status.trials) >= 4 and not status.interrupted:
            raise KeyboardInterrupt

    search.run(press)
    assert search.status.interrupted
    assert 4 <= len(log.trials) < 50
    assert search.status.trials == log.trials
    assert not search.status.running


def test_starting_settings_are_tried_first(tmp_path):
    search, _training, log, _ = create(tmp_path, trials=3)
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
    search, _, log, engine = create(tmp_path, trials=40, steps=(1,))
    search.status.budget = Budget(40, flat=0.01)
    gains = iter([0.5, 0.001, 0.5, *[0.001] * 37])
    engine.flatness = lambda: next(gains)
    search.run(show)
    assert "expected to add only 0.10%" in search.status.ended_by
    assert 8 <= len(log.trials) < 20  # one low figure is not a reason to stop, five in a row are


@pytest.mark.trains
def test_an_ended_trial_takes_few_kilobytes(tmp_path):
    shipped = SearchSpace.load(Path(__file__).parents[2] / "search_spaces" / "xception_like.yaml")
    search, *_ = create(tmp_path, data=shipped.data)
    sizes = []
    tracemalloc.start()
    for trials in (400, 900):
        search.status.budget, search.status.ended_by = Budget(trials), ""
        search.run(show)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(search.status.trials) == 900
    assert (sizes[1] - sizes[0]) / 500 < 10_000


def test_numbers_that_a_killed_process_has_left_out_are_used(tmp_path):
    first, _training, log, _ = create(tmp_path, trials=6)
    first.run(show)
    recorded = [trial for trial in log.trials.values() if trial.number not in (1, 4)]
    second, *_ = create(tmp_path, trials=8)
    second.replay(recorded)
    second.run(show)
    assert sorted(second.status.trials) == list(range(8))


def test_a_trial_whose_checkpoint_is_lost_is_trained_from_the_start(tmp_path):
    first, _training, log, _ = create(tmp_path, trials=50)

    def stop_early(status):
        if len(status.trials) >= 3 and not status.interrupted:
            raise KeyboardInterrupt

    first.run(stop_early)
    paused = [trial for trial in log.trials.values() if trial.state == "stopped"]
    second, training, again, _ = create(tmp_path, trials=20)

    def lost(number, part):
        raise RecordError(f"trial {number} has no file")

    again.checkpoint = lost
    second.replay(list(log.trials.values()))
    second.run(show)
    promoted = [job for job in training.jobs if job.number in {trial.number for trial in paused}]
    assert promoted
    assert promoted[0].resume is None
    assert second.status.notices[0] == (
        f"Trial {promoted[0].number} is trained from the start: trial {promoted[0].number} has no file."
    )
    for trial in second.status.trials.values():
        assert [epoch["epoch"] for epoch in trial.curve] == list(range(1, trial.epochs + 1))


class FailingExecutor(QueueExecutor):
    """Raises the next of some errors for each job, then trains."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(1.0)
        self.errors, self.notices = list(errors), ["A worker was killed by SIGKILL."]

    def take_notices(self) -> list[str]:
        taken, self.notices = self.notices, []
        return taken

    def show(self, status: Status) -> None:
        if self.open and self.errors:
            self.open.pop(0)[1].set_exception(self.errors.pop(0))
        else:
            super().show(status)


def test_a_folder_that_cannot_be_written_pauses_the_search_and_fails_no_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.searching.log.PAUSE_SECONDS", 0.0)
    executor = FailingExecutor(*[StorageError("a folder must be writable, got '/full'; free space")] * 3)
    search, training, log, _ = create(tmp_path, trials=4, steps=(1,), executor=executor)
    search.run(executor.show)
    assert Counter(trial.state for trial in log.trials.values()) == {"complete": 4}
    assert len(training.jobs) == 4
    paused = "The search is paused: a folder must be writable, got '/full'; free space. It continues then."
    assert [notice for notice in search.status.notices if "paused" in notice] == [paused]
    assert "A worker was killed by SIGKILL." in search.status.notices
    assert search.status.paused == ""


def test_without_workers_the_search_ends_and_no_trial_is_recorded_as_failed(tmp_path):
    executor = FailingExecutor(EvaluationError("the loss is not finite"), *[WorkerError("no workers")] * 9)
    search, _training, log, _ = create(tmp_path, trials=8, executor=executor)
    with pytest.raises(WorkerError, match="no workers"):
        search.run(executor.show)
    assert [(trial.state, trial.reason) for trial in log.trials.values()] == [
        ("failed", "the loss is not finite")
    ]


def test_failed_trials_are_trained_again_with_their_numbers_before_new_ones(tmp_path):
    broken = FailingExecutor(*[EvaluationError("its worker process died")] * 3)
    search, _, log, _ = create(tmp_path, trials=5, steps=(1,), executor=broken)
    search.run(broken.show)
    before = dict(log.trials)
    failed = [number for number, trial in before.items() if trial.state == "failed"]
    assert len(failed) == 3
    search, training, log, engine = create(tmp_path, trials=6, steps=(1,))
    search.replay(list(before.values()), retry_failed=True)
    assert {trial.number for trial in engine.observed} == before.keys() - set(failed)
    search.run(show)
    assert [job.number for job in training.jobs] == [*failed, 5]
    for number in failed:
        assert log.trials[number].id == before[number].id
        assert (log.trials[number].state, log.trials[number].reason) == ("complete", "")
    assert search.status.numbered == 6
