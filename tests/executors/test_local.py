"""Worker processes that die, hang, grow and lose their parent."""

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
from nas.executors import LocalProcesses, worker_count

pytestmark = pytest.mark.trains

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 10, "stages": [{"width": 4}]})


def create_job(number: int, epochs: int = 1) -> Job:
    design = Design.model_construct(architecture=ARCHITECTURE)
    return Job(design, Path("data"), epochs, epochs, Path("scratch"), number=number)


class SimulatedEvaluator:
    """Acts on the number of a job: 13 kills the process, 14 hangs, 15 fails, 16 reports a large memory.

    The value `loss` is the process ID.
    """

    def evaluate(self, job: Job) -> Evaluation:
        if job.number == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.number == 14:
            time.sleep(60)
        if job.number == 15:
            raise ValueError("no such thing")
        memory = 1e9 if job.number == 16 else 1.0
        return Evaluation({"loss": float(os.getpid())}, job.epochs, (), {}, Path("none"), memory)


@pytest.fixture
def pool():
    pool = LocalProcesses(2, timeout_seconds=2.0, create_evaluator=SimulatedEvaluator)
    yield pool
    pool.close()


def process_id(evaluation: Evaluation) -> int:
    return int(evaluation.values["loss"])


def test_only_one_job_fails_if_a_worker_is_killed(pool):
    futures = {number: pool.submit(create_job(number)) for number in (1, 13, 2, 3, 4, 5)}
    for number in (1, 2, 3, 4, 5):
        assert process_id(futures[number].result(timeout=30)) > 0
    with pytest.raises(EvaluationError, match=r"its worker process died with exit code -9"):
        futures[13].result(timeout=30)


def test_errors_state_the_time_limit_and_the_cause(pool):
    slow, failing, succeeding = (
        pool.submit(create_job(14)),
        pool.submit(create_job(15)),
        pool.submit(create_job(1)),
    )
    with pytest.raises(EvaluationError, match=r"it took longer than the limit of 2 s"):
        slow.result(timeout=30)
    with pytest.raises(EvaluationError, match=r"ValueError: no such thing"):
        failing.result(timeout=30)
    assert succeeding.result(timeout=30).epochs == 1


def test_a_promoted_trial_runs_in_the_worker_that_has_cached_its_network(pool):
    futures = [pool.submit(create_job(number)) for number in range(6)]
    first = [process_id(future.result(timeout=30)) for future in futures]
    assert len(set(first)) == 2
    for number in range(6):
        assert process_id(pool.submit(create_job(number, epochs=3)).result(timeout=30)) == first[number]


def test_no_job_waits_behind_a_busy_worker_while_another_is_free():
    pool = LocalProcesses(2, create_evaluator=SimulatedEvaluator)
    try:
        pool.submit(create_job(14))  # occupies its worker for a minute
        futures = [pool.submit(create_job(number)) for number in range(6)]
        assert len({process_id(future.result(timeout=30)) for future in futures}) == 1
    finally:
        pool.close()


def test_jobs_fail_if_no_worker_can_be_started(pool):
    for worker in pool._workers:
        worker.pool.stop()
    futures = [pool.submit(create_job(number)) for number in range(3)]
    for future in futures:
        with pytest.raises(EvaluationError, match="its worker process cannot be started"):
            future.result(timeout=5)


def test_a_worker_with_too_much_memory_is_replaced_and_no_job_is_lost():
    pool = LocalProcesses(1, create_evaluator=SimulatedEvaluator)
    try:
        old = process_id(pool.submit(create_job(16)).result(timeout=30))
        deadline = time.monotonic() + 30
        while process_id(pool.submit(create_job(1)).result(timeout=30)) == old:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        pool.close()


def test_unfinished_jobs_fail_when_the_executor_is_closed():
    pool = LocalProcesses(1, create_evaluator=SimulatedEvaluator)
    unfinished = [pool.submit(create_job(14)), pool.submit(create_job(1))]
    time.sleep(0.5)
    pool.close()
    for future in unfinished:
        with pytest.raises(EvaluationError):
            future.result(timeout=5)


ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_local import LocalProcesses, SimulatedEvaluator, create_job, process_id
if __name__ == "__main__":
    pool = LocalProcesses(2, create_evaluator=SimulatedEvaluator)
    for future in [pool.submit(create_job(number)) for number in range(8)]:
        print(process_id(future.result()), flush=True)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_workers_exit_when_their_parent_is_killed(tmp_path):
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
        assert time.monotonic() < deadline, "the workers still run"
        time.sleep(0.1)


def test_the_default_is_at_most_one_worker_per_core():
    assert 1 <= worker_count() <= (os.cpu_count() or 1)
