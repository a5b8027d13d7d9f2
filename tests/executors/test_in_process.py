"""Jobs that run in this process."""

from nas.executors import InProcess


class SimulatedEvaluator:
    def evaluate(self, job):
        if job < 0:
            raise ValueError("no such thing")
        return job + 1


def test_an_error_has_its_traceback():
    executor = InProcess(SimulatedEvaluator)
    assert executor.submit(1).result() == 2
    cause = executor.submit(-1).exception().__cause__
    assert isinstance(cause, ValueError)
    assert cause.__traceback__.tb_next.tb_frame.f_code.co_name == "evaluate"


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
