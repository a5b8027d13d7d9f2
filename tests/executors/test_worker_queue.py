"""Workers that die, hang and grow, and the jobs that they had."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from simulated_worker import SimulatedEvaluator, create_job, process_id

from nas.errors import EvaluationError, WorkerError
from nas.evaluation import Job
from nas.executors import LocalProcesses, WorkerQueue
from nas.executors.members import Patience
from nas.executors.worker import Began, Died, Ended, Ready, Report

pytestmark = pytest.mark.trains

SECONDS = 60


def create(workers: int = 1, **options) -> WorkerQueue:
    return WorkerQueue(LocalProcesses(SimulatedEvaluator), workers, **options)


@pytest.fixture
def pool():
    pool = create(2, timeout_seconds=2.0)
    yield pool
    pool.close()


def test_only_the_job_that_kills_two_workers_fails(pool):
    futures = {number: pool.submit(create_job(number)) for number in (1, 13, 2, 3, 4, 5)}
    for number in (1, 2, 3, 4, 5):
        assert process_id(futures[number].result(timeout=SECONDS)) > 0
    with pytest.raises(EvaluationError) as failure:
        futures[13].result(timeout=SECONDS)
    assert str(failure.value) == "two workers died in it, and the last one was killed by SIGKILL"
    assert pool.take_notices() == [
        "The worker of trial 13 was killed by SIGKILL; another worker trains the trial again."
    ]


@pytest.mark.parametrize(
    ("number", "notice"),
    [
        (23, "The worker of trial 23 was killed by SIGKILL; another worker trains the trial again."),
        (25, "Trial 25 failed (ValueError: no such thing); it is tried once more by a new worker."),
    ],
)
def test_a_fault_of_the_worker_costs_its_job_nothing(pool, tmp_path, number, notice):
    first = pool.submit(create_job(1)).result(timeout=SECONDS)
    again = pool.submit(create_job(number, folder=tmp_path)).result(timeout=SECONDS)
    assert pool.take_notices() == [notice]
    assert psutil.pid_exists(process_id(again))
    assert process_id(first) != process_id(again)


def test_idle_workers_that_are_killed_cost_nothing(pool):
    for round_number in range(3):
        futures = [pool.submit(create_job(100 * round_number + number)) for number in range(4)]
        for pid in {process_id(future.result(timeout=SECONDS)) for future in futures}:
            os.kill(pid, signal.SIGKILL)
    assert process_id(pool.submit(create_job(1)).result(timeout=SECONDS)) > 0
    notices = pool.take_notices()
    assert 3 <= len(notices) <= 6
    expected = "A worker was killed by SIGKILL between two trials; no trial is lost, and another worker takes"
    assert all(notice.startswith(expected) for notice in notices)


def test_workers_that_are_killed_while_they_start_cost_nothing():
    pool = create(2)
    try:
        future = pool.submit(create_job(1))
        for place in pool._places:
            place.member.worker._process.kill()
        assert process_id(future.result(timeout=SECONDS)) > 0
        assert all("at its start; no trial is lost" in notice for notice in pool.take_notices())
    finally:
        pool.close()


class DyingEvaluator:
    def __init__(self) -> None:
        os._exit(7)


def test_if_no_worker_starts_all_jobs_tell_why():
    pool = WorkerQueue(LocalProcesses(DyingEvaluator), 1)
    try:
        futures = [pool.submit(create_job(number)) for number in range(2)]
        for future in [*futures, pool.submit(create_job(3))]:
            with pytest.raises(WorkerError, match=r"got 3 in a row .* the last ended with exit code 7; fix"):
                future.result(timeout=SECONDS)
    finally:
        pool.close()


def test_errors_state_the_time_limit_and_the_cause(pool):
    slow, failing, succeeding = (pool.submit(create_job(number)) for number in (14, 15, 1))
    with pytest.raises(EvaluationError, match=r"it took longer than the limit of 2 s"):
        slow.result(timeout=SECONDS)
    with pytest.raises(EvaluationError, match=r"ValueError: no such thing"):
        failing.result(timeout=SECONDS)
    assert succeeding.result(timeout=SECONDS).epochs == 1


def test_a_worker_that_is_stopped_is_killed_and_another_trains_its_job(tmp_path):
    pool = create(patience=Patience(start=SECONDS, step=1.5))
    try:
        assert process_id(pool.submit(create_job(24, folder=tmp_path)).result(timeout=SECONDS)) > 0
        [notice] = pool.take_notices()
        assert notice.startswith("The worker of trial 24 made no progress for 2 s and was killed; another")
        with pytest.raises(
            EvaluationError, match=r"two workers died .* made no progress for 2 s and was kil"
        ):
            pool.submit(create_job(14)).result(timeout=SECONDS)
        assert (
            process_id(pool.submit(create_job(18)).result(timeout=SECONDS)) > 0
        )  # 2 s, but it makes progress
    finally:
        pool.close()


def test_the_time_in_which_this_process_was_stopped_does_not_count(monkeypatch):
    pool = create(timeout_seconds=30.0, patience=Patience(start=30.0, step=5.0))
    try:
        running = pool.submit(create_job(18))
        while not pool._places[0].member.has_begun:
            time.sleep(0.01)
        clock, hour = time.monotonic, 3600.0
        monkeypatch.setattr("nas.executors.worker_queue.time.monotonic", lambda: clock() + hour)
        assert running.result(timeout=SECONDS).epochs == 1
        assert pool.take_notices() == []
    finally:
        pool.close()


def test_out_of_memory_is_the_fault_of_a_job_unless_the_worker_had_others():
    pool = create()
    try:
        with pytest.raises(EvaluationError, match=r"^out of memory: Unable to allocate 8 TiB$"):
            pool.submit(create_job(17)).result(timeout=SECONDS)
        assert pool.take_notices() == []
        pool.submit(create_job(1)).result(timeout=SECONDS)
        assert process_id(pool.submit(create_job(27)).result(timeout=SECONDS)) > 0
        assert pool.take_notices() == [
            "Trial 27 failed (out of memory: Unable to allocate 8 TiB) in a worker that had trained others; "
            "it is tried once more by a new worker."
        ]
    finally:
        pool.close()


class ScriptedWorker:
    """A worker in this process: answers each job with the next reports of a script."""

    def __init__(self, script: list[Report], report: Callable[[Report], None]) -> None:
        self.script, self.report = script, report
        report(Ready())

    def send(self, job: Job) -> None:
        self.report(Began())
        self.report(self.script.pop(0))

    def kill(self) -> None:
        pass

    def join(self, seconds: float) -> None:
        pass


class ScriptedWorkers:
    def __init__(self, *script: Report) -> None:
        self.script, self.started = list(script), 0

    def check(self) -> None:
        pass

    def memory_limit_mb(self, workers: int) -> float:
        return 1000.0

    def start(self, report: Callable[[Report], None]) -> ScriptedWorker:
        self.started += 1
        return ScriptedWorker(self.script, report)


def ended() -> Ended:
    return Ended(SimulatedEvaluator().evaluate(create_job(1)))


def test_a_worker_that_the_kernel_kills_is_the_fault_of_a_job_unless_the_worker_had_others():
    killed = Died("was killed by SIGKILL", out_of_memory=True)
    backend = ScriptedWorkers(killed, ended(), killed, killed)
    pool = WorkerQueue(backend, 1)
    try:
        reason = "out of memory: the kernel killed its worker process"
        assert str(pool.submit(create_job(1)).exception(timeout=5)) == reason
        assert pool.take_notices() == []
        assert pool.submit(create_job(2)).result(timeout=5).epochs == 1
        assert str(pool.submit(create_job(3)).exception(timeout=5)) == reason
        assert backend.started == 4
        assert pool.take_notices() == [
            "Trial 3 ran out of memory in a worker that had trained others, which the kernel killed; "
            "it is tried once more by a new worker."
        ]
    finally:
        pool.close()


def test_a_fault_of_the_queue_itself_is_raised_and_nothing_waits_for_ever():
    pool = WorkerQueue(ScriptedWorkers(), 1)  # its worker fails when it is sent a job
    try:
        assert isinstance(pool.submit(create_job(1)).exception(timeout=5), IndexError)
        assert isinstance(pool.submit(create_job(2)).exception(timeout=5), IndexError)
    finally:
        pool.close()


def test_a_promoted_trial_runs_in_the_worker_that_has_cached_its_network(pool):
    for start in itertools.count(100, 100):
        numbers = range(start, start + 6)
        futures = [pool.submit(create_job(number)) for number in numbers]
        first = {n: process_id(one.result(timeout=SECONDS)) for n, one in zip(numbers, futures, strict=True)}
        if len(set(first.values())) == 2:  # both workers have started
            break
    for number in numbers:
        result = pool.submit(create_job(number, epochs=3)).result(timeout=SECONDS)
        assert process_id(result) == first[number]


def test_no_job_waits_behind_a_busy_worker_while_another_is_free():
    pool = create(2)
    try:
        pool.submit(create_job(14))  # occupies its worker for a minute
        futures = [pool.submit(create_job(number)) for number in range(6)]
        assert len({process_id(future.result(timeout=30)) for future in futures}) == 1
    finally:
        pool.close()


def test_a_worker_with_too_much_memory_is_replaced_and_no_job_is_lost():
    pool = create()
    try:
        old = process_id(pool.submit(create_job(16)).result(timeout=SECONDS))
        deadline = time.monotonic() + SECONDS
        while process_id(pool.submit(create_job(1)).result(timeout=SECONDS)) == old:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert pool.take_notices() == []
    finally:
        pool.close()


def test_unfinished_jobs_fail_when_the_executor_is_closed():
    pool = create()
    unfinished = [pool.submit(create_job(14)), pool.submit(create_job(1))]
    time.sleep(0.5)
    pool.close()
    for future in unfinished:
        with pytest.raises(EvaluationError):
            future.result(timeout=5)
