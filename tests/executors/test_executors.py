"""Executors: real processes that die, hang, grow and are orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nas.architecture import Architecture, Design
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Job
from nas.executors import InProcess, LocalProcesses, worker_count

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 10, "stages": [{"width": 4}]})


def job(number: int, epochs: int = 1) -> Job:
    design = Design.model_construct(architecture=ARCHITECTURE)
    return Job(design, Path("data"), epochs, epochs, Path("scratch"), number=number)


def work(given: Job) -> Evaluation:
    """Do what the job's number says: 13 dies, 14 hangs, 15 fails, 16 grows; 'loss' tells the process."""
    if given.number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if given.number == 14:
        time.sleep(60)
    if given.number == 15:
        raise ValueError("no such thing")
    memory = 1e9 if given.number == 16 else 1.0
    return Evaluation({"loss": float(os.getpid())}, given.epochs, (), {}, Path("none"), memory)


def nothing() -> None:
    pass


@pytest.fixture
def pool():
    made = LocalProcesses(2, timeout_seconds=2.0, run=work, warm=nothing)
    yield made
    made.close()


def process(evaluation: Evaluation) -> int:
    return int(evaluation.values["loss"])


def test_a_worker_that_is_killed_costs_one_job(pool):
    futures = {number: pool.submit(job(number)) for number in (1, 13, 2, 3, 4, 5)}
    for number in (1, 2, 3, 4, 5):
        assert process(futures[number].result(timeout=30)) > 0
    with pytest.raises(EvaluationError, match=r"its worker process died with exit code -9"):
        futures[13].result(timeout=30)


def test_a_job_over_the_time_limit_and_one_that_fails_say_so(pool):
    slow, wrong, right = pool.submit(job(14)), pool.submit(job(15)), pool.submit(job(1))
    with pytest.raises(EvaluationError, match=r"it took longer than the limit of 2 s"):
        slow.result(timeout=30)
    with pytest.raises(EvaluationError, match=r"ValueError: no such thing"):
        wrong.result(timeout=30)
    assert right.result(timeout=30).epochs == 1


def test_a_trial_goes_on_in_the_worker_that_holds_its_network(pool):
    futures = [pool.submit(job(number)) for number in range(6)]
    first = [process(future.result(timeout=30)) for future in futures]
    assert len(set(first)) == 2
    for number in range(6):
        assert process(pool.submit(job(number, epochs=3)).result(timeout=30)) == first[number]


def test_no_job_waits_behind_a_busy_worker_while_another_is_free():
    pool = LocalProcesses(2, run=work, warm=nothing)
    try:
        pool.submit(job(14))  # keeps its worker for a minute
        futures = [pool.submit(job(number)) for number in range(6)]
        assert len({process(future.result(timeout=30)) for future in futures}) == 1
    finally:
        pool.close()


def test_a_worker_that_cannot_be_started_any_more_fails_its_jobs(pool):
    for worker in pool._pools:
        worker.pool.stop()
    futures = [pool.submit(job(number)) for number in range(3)]
    for future in futures:
        with pytest.raises(EvaluationError, match="its worker process cannot be started"):
            future.result(timeout=5)


def test_a_worker_that_has_grown_is_replaced_and_no_job_is_lost():
    pool = LocalProcesses(1, run=work, warm=nothing)
    try:
        old = process(pool.submit(job(16)).result(timeout=30))
        deadline = time.monotonic() + 30
        while process(pool.submit(job(1)).result(timeout=30)) == old:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        pool.close()


def test_jobs_that_have_not_ended_fail_when_the_executor_is_closed():
    pool = LocalProcesses(1, run=work, warm=nothing)
    waiting = [pool.submit(job(14)), pool.submit(job(1))]
    time.sleep(0.5)
    pool.close()
    for future in waiting:
        with pytest.raises(EvaluationError):
            future.result(timeout=5)


ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_executors import LocalProcesses, job, nothing, process, work
if __name__ == "__main__":
    pool = LocalProcesses(2, run=work, warm=nothing)
    for future in [pool.submit(job(number)) for number in range(8)]:
        print(process(future.result()), flush=True)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    command = [sys.executable, str(script), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = set()
        while (line := parent.stdout.readline().strip()) != "ready":
            workers.add(int(line))
        assert workers
        assert all(psutil.pid_exists(pid) for pid in workers)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)


def test_in_process_gives_results_and_errors_through_futures():
    executor = InProcess(run=work)
    assert process(executor.submit(job(1)).result()) == os.getpid()
    with pytest.raises(ValueError, match="no such thing"):
        executor.submit(job(15)).result()


def test_the_default_is_at_most_one_worker_per_core():
    assert 1 <= worker_count() <= (os.cpu_count() or 1)
