"""What every executor does; add a new one to `EXECUTORS`."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nas.architecture import Architecture, Design
from nas.errors import EvaluationError, StorageError
from nas.evaluation import Evaluation, Job
from nas.executors import InProcess, LocalProcesses, WorkerQueue

pytestmark = pytest.mark.trains

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 10, "stages": [{"width": 4}]})

ERRORS = {
    13: EvaluationError("the loss is not finite"),
    14: ValueError("no such thing\nand more"),
    15: OSError(errno.ENOSPC, "No space left on device", "/full/checkpoint.npz"),
    16: MemoryError("Unable to allocate 8 TiB"),
}


class SimulatedEvaluator:
    """Counts its jobs; raises the error of some numbers."""

    def __init__(self) -> None:
        self.jobs = 0

    def evaluate(self, job: Job, progress=None) -> Evaluation:
        self.jobs += 1
        if job.number in ERRORS:
            raise ERRORS[job.number]
        values = {"loss": float(job.number), "jobs": float(self.jobs)}
        return Evaluation(values, job.epochs, (), {}, job.folder, 1.0)


EXECUTORS = {
    "in_process": lambda: InProcess(SimulatedEvaluator),
    "local": lambda: WorkerQueue(LocalProcesses(SimulatedEvaluator), 1),
}


@pytest.fixture(params=EXECUTORS, scope="module")
def executor(request):
    executor = EXECUTORS[request.param]()
    yield executor
    executor.close()


def create_job(number: int) -> Job:
    design = Design.model_construct(architecture=ARCHITECTURE)
    return Job(design, Path("data"), 2, 2, Path("scratch"), number=number)


def test_futures_have_the_results_of_their_jobs(executor):
    futures = [executor.submit(create_job(number)) for number in range(4)]
    results = [future.result(timeout=60) for future in futures]
    assert [result.values["loss"] for result in results] == [0, 1, 2, 3]
    assert {(result.epochs, result.checkpoint) for result in results} == {(2, Path("scratch"))}


def test_an_executor_that_can_run_jobs_passes_its_check(executor):
    executor.check()


def test_a_worker_evaluates_all_its_jobs_with_one_evaluator(executor):
    assert executor.workers == 1
    first, second = (executor.submit(create_job(1)).result(timeout=60).values["jobs"] for _ in range(2))
    assert second == first + 1


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (13, EvaluationError, "the loss is not finite"),
        (14, EvaluationError, "ValueError: no such thing"),
        (
            15,
            StorageError,
            "the folders of a search must be writable, got '/full/checkpoint.npz': No space left on device; "
            "free space or set the permissions",
        ),
        (16, EvaluationError, "out of memory: Unable to allocate 8 TiB"),
    ],
)
def test_a_job_that_fails_has_its_error_and_the_next_one_runs(executor, number, kind, message):
    error = executor.submit(create_job(number)).exception(timeout=60)
    assert type(error) is kind
    assert str(error) == message
    assert executor.submit(create_job(1)).result(timeout=60).values["loss"] == 1


def test_notices_are_sentences_and_are_taken_once(executor):
    executor.submit(create_job(14)).exception(timeout=60)
    assert all(notice.endswith(".") for notice in executor.take_notices())
    assert executor.take_notices() == []
