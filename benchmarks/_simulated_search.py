"""The command line with trainings that are simulated: seconds instead of minutes, everything else is real.

    python benchmarks/_simulated_search.py search --name x --trials 40

A training sleeps, writes a checkpoint and returns an accuracy that follows from network, epochs and seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from nas.evaluation import Evaluation, Job

SECONDS_PER_EPOCH = 0.01
CHECKPOINT = np.random.default_rng(0).random(20_000, np.float32)


class SimulatedEvaluator:
    """Takes the place of `nas.evaluation.Evaluator`."""

    def __init__(self, task: str) -> None:
        self._task = task

    def evaluate(self, job: Job, progress: Callable[[int, int], None] = print) -> Evaluation:
        """Return the result of a simulated training."""
        past = 0
        if job.resume is not None:
            with np.load(job.resume) as file:
                past = int(file["epochs"])
        curve = []
        for epoch in range(past + 1, job.epochs + 1):
            time.sleep(SECONDS_PER_EPOCH)
            progress(epoch - past, job.epochs - past)
            accuracy = accuracy_of(job.design.architecture.id, epoch)
            curve.append({"epoch": float(epoch), "loss": 1.0, "accuracy": accuracy, "val_accuracy": accuracy})
        job.folder.mkdir(parents=True, exist_ok=True)
        path = job.folder / "checkpoint.npz"
        temporary = path.with_name("new.npz")
        np.savez(temporary, weights=CHECKPOINT, epochs=job.epochs)
        temporary.replace(path)
        values = {"accuracy": accuracy_of(job.design.architecture.id, job.epochs), "accuracy_se": 0.01}
        memory = psutil.Process().memory_info().rss / 2**20
        return Evaluation(values, job.epochs, tuple(curve), {"train": 0.01}, Path(path), memory)


def accuracy_of(network: str, epochs: int) -> float:
    """Return the accuracy of a network after some epochs."""
    return (0.5 + 0.4 * (int(network, 16) % 997) / 997) * (1 - 0.5 / (1 + epochs))


def main() -> None:
    """Run the command line."""
    from nas.cli import main as command_line
    from nas.searching import session

    session.Evaluator = SimulatedEvaluator
    command_line()


if __name__ == "__main__":
    main()
