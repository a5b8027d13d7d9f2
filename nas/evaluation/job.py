"""What an evaluation is asked to do, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.architecture import Design
from nas.backends import Precision

__all__ = ["Evaluation", "Job", "Judgement", "Progress"]

Progress = Callable[[int, int], None]
"""Receives the number of steps that a job has taken, and of those that it will take in total."""


@dataclass(frozen=True)
class Job:
    """A design to train up to a number of epochs; small, because it is pickled."""

    design: Design
    dataset: Path  # a folder that `Dataset.save` wrote
    epochs: int  # in total, including those of the checkpoint to resume
    full_epochs: int  # of the trial at full length; the schedule of the learning rate ends there
    folder: Path  # the checkpoint is written here
    resume: Path | None = None  # the checkpoint from which training continues
    seed: int = 0  # of initial weights, order of examples, dropout and augmentation
    number: int = 0  # of the trial
    is_last: bool = False  # nothing continues from the checkpoint: it has no state of the optimizer
    precision: Precision = "float32"  # of the file that is validated at the end if it is lower
    freeze_norm: bool = False  # batch normalization keeps its weights and statistics, for fine-tuning
    judged_by: str = ""  # the metric by which the network is judged on the test split; '': it is not


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a trained network reaches on the test split, and how each example contributes to one metric."""

    values: Mapping[str, float]  # on the test split: test_loss, test_accuracy, ...
    validation: np.ndarray  # (n,) contributions of the validation examples, see `Answers.contributions`
    test: np.ndarray  # (n,) those of the test examples


@dataclass(frozen=True)
class Evaluation:
    """The result of a job."""

    values: Mapping[str, float]  # after the last epoch: accuracy or mean_iou (validation), loss, val_loss
    epochs: int  # trained in total
    curve: tuple[Mapping[str, float], ...]  # of the new epochs: epoch, loss, accuracy, seconds; of the last
    # also val_loss, val_accuracy, ...
    seconds: Mapping[str, float]  # by phase: build, trace, train, statistics, validate, file, save
    checkpoint: Path
    memory_mb: float  # of the process afterwards
    judgement: Judgement | None = None  # None: the job did not ask for it
