"""Networks that need more memory than their worker may have: real trainings under real limits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from digit_jobs import digit_design, digit_job

import nas
from nas.data import load_dataset
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Evaluator, Job
from nas.executors import LocalProcesses, WorkerQueue
from nas.searching import SearchOptions

pytestmark = pytest.mark.trains

SECONDS = 120

HUGE = {"stages": [{"width": 6000, "conv": "standard"}, {"width": 6000, "conv": "standard"}]}
"""A network of 1.2 GB of weights."""


class LimitedEvaluator(Evaluator):
    """An evaluator whose process may have an address space of some MB."""

    def __init__(self, limit_mb: int) -> None:
        super().__init__()
        resource.setrlimit(resource.RLIMIT_AS, (limit_mb * 2**20, limit_mb * 2**20))

    def evaluate(self, job: Job, progress=lambda done, total: None) -> Evaluation:
        return super().evaluate(job, progress)


def save_digits(folder: Path) -> Path:
    options = SearchOptions.parse({"data": "digits", "image_size": 8, "train_limit": 100})
    return load_dataset("digits", options, None).save(folder)


@pytest.mark.parametrize(
    ("limit_mb", "reason"),
    [
        (3500, r"^out of memory: Unable to allocate 1\.21 GiB"),
        (6000, r"^probably out of memory: two workers died in it.* SIG.* under a limit of 6,000 MB \(ulimit"),
    ],
)
def test_a_network_over_the_limit_of_the_address_space_fails_out_of_memory(tmp_path, limit_mb, reason):
    data = save_digits(tmp_path / "data")
    pool = WorkerQueue(LocalProcesses(partial(LimitedEvaluator, limit_mb)), 1)
    try:
        huge = digit_job(tmp_path / "0", data, digit_design(**HUGE), epochs=1, number=0)
        with pytest.raises(EvaluationError, match=reason):
            pool.submit(huge).result(timeout=SECONDS)
        small = digit_job(tmp_path / "1", data, digit_design(), epochs=1, number=1)
        assert pool.submit(small).result(timeout=SECONDS).epochs == 1
    finally:
        pool.close()


GROUP = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
"""Where control groups of version 1 are, and the file of the limit."""


@pytest.fixture
def group():
    """A control group with 1.5 GB of memory."""
    folder, limit = GROUP
    group = folder / f"nas-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(1500 * 2**20))
    except OSError as error:
        pytest.skip(f"control groups of version 1 must be writable: {error.strerror}")
    yield group
    for _ in range(100):
        if not (group / "cgroup.procs").read_text().split():
            break
        time.sleep(0.1)
    group.rmdir()


SCRIPT = """
import os, sys
from pathlib import Path
Path(sys.argv[2], "cgroup.procs").write_text(str(os.getpid()))
sys.path.insert(0, sys.argv[1])
from digit_jobs import digit_design, digit_job
from executors.test_memory import HUGE, save_digits
from nas.executors import LocalProcesses, WorkerQueue

if __name__ == "__main__":
    folder = Path.cwd()
    data = save_digits(folder / "data")
    pool = WorkerQueue(LocalProcesses(), 1)
    for number, changes in enumerate([{}, HUGE, {}]):
        job = digit_job(folder / str(number), data, digit_design(**changes), epochs=1, number=number)
        print(pool.submit(job).exception(timeout=120), flush=True)
    print(*pool.take_notices(), flush=True)
    pool.close()
"""


def test_a_network_for_which_the_kernel_kills_the_worker_fails_out_of_memory(tmp_path, group):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", str(Path(__file__).parent.parent), str(group)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(nas.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    killed = "out of memory: the kernel killed its worker process"
    notice = (
        "Trial 1 ran out of memory in a worker that had trained others, which the kernel killed; it is tried "
        "once more by a new worker."
    )
    assert done.stdout.splitlines() == ["None", killed, "None", notice]
