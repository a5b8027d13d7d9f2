"""The parts of a search that are simulated: engine, log, training and meter."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

from nas.errors import ConversionError, EvaluationError
from nas.evaluation import Evaluation, Job
from nas.space import SearchSpace, sample

SPACE = {
    "name": "small",
    "stages": {"count": {"choice": [1, 2, 3]}, "width": {"choice": [4, 8, 16]}, "growth": {"choice": [1, 2]}},
    "block": {"conv": {"choice": ["standard", "separable"]}, "residual": {"choice": ["none", "identity"]}},
}


class RandomEngine:
    """An engine that proposes at random and records the trials that it observes."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.rng, self.observed = space, np.random.default_rng(0), []

    def ask(self):
        return sample(self.space.open_values, self.rng)

    def tell(self, trial):
        self.observed.append(trial)

    def flatness(self):
        return None


class MemoryLog:
    """A log in memory."""

    def __init__(self) -> None:
        self.trials, self.rejected, self.writes = {}, [], Counter()

    def trial(self, trial, files):
        self.trials[trial.number] = trial
        self.writes[trial.number] += 1

    def over_limit(self, trial):
        self.rejected.append(trial)

    def checkpoint(self, number, part):
        return Path(f"logged/{number}")


class SimulatedTraining:
    """Returns an accuracy that grows with widths and epochs, for some networks faster than for others."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def evaluate(self, job: Job) -> Evaluation:
        self.jobs.append(job)
        architecture = job.design.architecture
        size = sum(stage.width for stage in architecture.stages) * (0.1 + int(architecture.id, 16) / 16**12)
        if architecture.stages[0].width == 7777:
            raise EvaluationError("the loss is not finite")
        resumed = job.resume.name.split("@") if job.resume else ["", "0"]  # logged/3 is of a first rung
        past = int(resumed[1]) if len(resumed) == 2 else 1
        accuracy = [1 - math.exp(-size / 40) * (0.5 + 0.5 / epoch) for epoch in range(1, job.epochs + 1)]
        curve = [{"epoch": float(e + 1), "val_accuracy": a} for e, a in enumerate(accuracy)][past:]
        values = {"accuracy": accuracy[-1] + 0.001 * (job.seed // 1000)}
        checkpoint = job.folder / f"c@{job.epochs}"
        return Evaluation(values, job.epochs, tuple(curve), {"train": 1.0}, checkpoint, 1.0)


class RecordingMeter:
    """A meter that records the jobs submitted before each measurement, and refuses the first files."""

    def __init__(self, refused: int = 0) -> None:
        self.jobs: list[Job] = []
        self.refused, self.measurements = refused, []

    def predict(self, architecture):
        return {"latency_ms": 1.0, "size_bytes": 1000.0}, 0.1

    def measure(self, architecture):
        self.measurements.append((architecture.id, len(self.jobs)))
        if len(self.measurements) <= self.refused:
            raise ConversionError("the runtime has no such operation")
        return {"latency_ms": 2.0, "size_bytes": 2000.0}
