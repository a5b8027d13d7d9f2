"""Jobs that run in this process."""

import pytest

from nas.executors import InProcess


class SimulatedEvaluator:
    def evaluate(self, job):
        if job < 0:
            raise ValueError("no such thing")
        return job + 1


def test_futures_have_results_and_errors():
    executor = InProcess(SimulatedEvaluator)
    assert executor.submit(1).result() == 2
    with pytest.raises(ValueError, match="no such thing"):
        executor.submit(-1).result()


def test_the_evaluator_is_created_once_for_the_first_job():
    created = []

    def create():
        created.append(SimulatedEvaluator())
        return created[-1]

    executor = InProcess(create)
    assert created == []
    executor.submit(1)
    executor.submit(2)
    assert len(created) == 1
