"""A simulated evaluator for worker processes, and jobs for it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nas.architecture import Architecture, Design
from nas.evaluation import Evaluation, Job

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 10, "stages": [{"width": 4}]})


def create_job(number: int, epochs: int = 1, folder: Path = Path("scratch")) -> Job:
    design = Design.model_construct(architecture=ARCHITECTURE)
    return Job(design, Path("data"), epochs, epochs, folder, number=number)


def process_id(evaluation: Evaluation) -> int:
    return int(evaluation.values["loss"])


class SimulatedEvaluator:
    """Acts on the number of a job, in the first try or in every one.

    13 and 23 kill the process, 14 hangs, 24 stops the process, 15 and 25 fail, 16 reports a large memory, 17
    is out of memory, 27 too if the process has run other jobs, 18 takes 2 s in ten steps. Those from 20 on do
    so only in the first try, which leaves a file in the folder of the job. `loss` is the process ID.
    """

    def __init__(self) -> None:
        self.jobs = 0

    def evaluate(self, job: Job, progress=lambda done, total: None) -> Evaluation:
        self.jobs += 1
        act = job.number
        if 20 <= act < 30 and act != 27:
            tried = job.folder / f"tried{act}"
            act = 0 if tried.exists() else act - 10
            tried.touch()
        progress(0, 10)
        if act == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        if act == 14 and job.number == 24:
            os.kill(os.getpid(), signal.SIGSTOP)
        if act == 14:
            time.sleep(60)
        if act == 15:
            raise ValueError("no such thing")
        if act == 17 or (act == 27 and self.jobs > 1):
            raise MemoryError("Unable to allocate 8 TiB")
        for step in range(10 if act == 18 else 0):
            time.sleep(0.2)
            progress(step + 1, 10)
        memory = 1e9 if act == 16 else 1.0
        return Evaluation({"loss": float(os.getpid())}, job.epochs, (), {}, Path("none"), memory)
