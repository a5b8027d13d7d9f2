"""Processes that are workers: how they end, and how many there are."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from simulated_worker import SimulatedEvaluator, create_job

from nas.executors import LocalProcesses, worker_count
from nas.executors.worker import Began, Died, Ended, Ready

pytestmark = pytest.mark.trains

SECONDS = 60


class FailingEvaluator:
    def __init__(self) -> None:
        raise ImportError("no such library")


def take(reports: queue.SimpleQueue, kind: type) -> object:
    while not isinstance(report := reports.get(timeout=SECONDS), kind):
        assert not isinstance(report, Died), report
    return report


def test_a_worker_reports_what_it_does_and_its_death():
    reports: queue.SimpleQueue = queue.SimpleQueue()
    worker = LocalProcesses(SimulatedEvaluator).start(reports.put)
    take(reports, Ready)
    worker.send(create_job(1))
    take(reports, Began)
    assert take(reports, Ended).result.epochs == 1
    worker.kill()
    worker.join(SECONDS)
    assert reports.get(timeout=SECONDS) == Died("was killed by SIGKILL")
    worker.send(create_job(1))  # nobody receives it
    assert reports.empty()


def test_a_worker_that_cannot_start_says_why(capfd):
    reports: queue.SimpleQueue = queue.SimpleQueue()
    LocalProcesses(FailingEvaluator).start(reports.put)
    died = take(reports, Died)
    assert died == Died("ended with exit code 1 (ImportError: no such library)")
    assert "no such library" in capfd.readouterr().err


ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from simulated_worker import SimulatedEvaluator, create_job, process_id
from nas.executors import LocalProcesses, WorkerQueue
if __name__ == "__main__":
    pool = WorkerQueue(LocalProcesses(SimulatedEvaluator), 2)
    for future in [pool.submit(create_job(number)) for number in range(8)]:
        print(process_id(future.result()), flush=True)
    pool.submit(create_job(14))
    print("ready", flush=True)
    time.sleep(60)
"""


def test_workers_exit_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    command = [sys.executable, str(script), str(Path(__file__).parent.parent)]
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
