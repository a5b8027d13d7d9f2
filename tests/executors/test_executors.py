"""What every executor does; add a new one to `EXECUTORS`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.architecture import Architecture, Design
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Job
from nas.executors import InProcess, LocalProcesses

pytestmark = pytest.mark.trains

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 10, "stages": [{"width": 4}]})


class SimulatedEvaluator:
    """Counts its jobs; job 13 fails."""

    def __init__(self) -> None:
        self.jobs = 0

    def evaluate(self, job: Job) -> Evaluation:
        self.jobs += 1
        if job.number == 13:
            raise EvaluationError("the loss is not finite")
        values = {"loss": float(job.number), "jobs": float(self.jobs)}
        return Evaluation(values, job.epochs, (), {}, job.folder, 1.0)


EXECUTORS = {
    "in_process": lambda: InProcess(SimulatedEvaluator),
    "local": lambda: LocalProcesses(1, create_evaluator=SimulatedEvaluator),
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
    results = [future.result(timeout=30) for future in futures]
    assert [result.values["loss"] for result in results] == [0, 1, 2, 3]
    assert {(result.epochs, result.checkpoint) for result in results} == {(2, Path("scratch"))}


def test_an_executor_that_can_run_jobs_passes_its_check(executor):
    executor.check()


def test_a_worker_evaluates_all_its_jobs_with_one_evaluator(executor):
    assert executor.workers == 1
    first, second = (executor.submit(create_job(1)).result(timeout=30).values["jobs"] for _ in range(2))
    assert second == first + 1


def test_a_job_that_fails_has_its_error_and_the_next_one_runs(executor):
    failing = executor.submit(create_job(13))
    assert isinstance(failing.exception(timeout=30), EvaluationError)
    assert str(failing.exception()) == "the loss is not finite"
    assert executor.submit(create_job(1)).result(timeout=30).values["loss"] == 1
