"""Objectives and limits of a search, and the trial of one candidate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from nas.architecture import Architecture, Design, Training
from nas.errors import InputError, nearest
from nas.space import Setting

__all__ = [
    "OBJECTIVES",
    "Limit",
    "Objective",
    "State",
    "Trial",
    "minimization_points",
    "parse_objectives",
]

Number = TypeVar("Number", float, np.ndarray)

State = Literal["running", "complete", "stopped", "over_limit", "failed"]
"""complete: trained to full length; stopped: trained less, not promoted (yet); over_limit: never trained."""


@dataclass(frozen=True)
class Objective:
    """A quantity that a search optimizes."""

    name: str  # the key of the value in Trial.values and in `--json`, with its unit: latency_ms
    maximize: bool = False
    trained: bool = False  # True: a quality, known only by training; False: a cost, known before
    text: str = ""  # one line for --help
    has_unit: bool = False  # a quality in the unit of the data
    scale: float = 1.0  # the value that counts as an error of 1; set for the data if it has their unit

    @property
    def in_curve(self) -> str:
        """The key of a quality in an epoch of `Trial.curve`: val_accuracy."""
        return self.name if self.name.startswith("val_") else f"val_{self.name}"

    def error(self, value: Number) -> Number:
        """Return the error that a value of a quality stands for: 1 - share, or the value by its scale."""
        return 1.0 - value if self.maximize else value / self.scale

    def value(self, error: float) -> float:
        """Return the value of a quality that stands for an error."""
        return 1.0 - error if self.maximize else error * self.scale


OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": Objective("accuracy", True, True, "share of validation images that are classified correctly"),
    "balanced_accuracy": Objective(
        "balanced_accuracy", True, True, "mean share of each class that is correct"
    ),
    "macro_f1": Objective(
        "macro_f1", True, True, "mean over the classes or labels of F1, of precision and recall"
    ),
    "auc": Objective("auc", True, True, "area under the ROC curve (two classes)"),
    "loss": Objective(
        "val_loss", False, True, "mean cross-entropy, or squared error of standardized numbers"
    ),
    "map": Objective("map", True, True, "mean average precision over the labels (multi-label)"),
    "label_accuracy": Objective(
        "label_accuracy", True, True, "share of all labels that are right (multi-label)"
    ),
    "r2": Objective("r2", True, True, "share of the variance that is explained (regression)"),
    "mae": Objective("mae", False, True, "mean absolute error (regression)", has_unit=True),
    "rmse": Objective("rmse", False, True, "root of the mean squared error (regression)", has_unit=True),
    "mean_iou": Objective("mean_iou", True, True, "mean intersection over union (segmentation)"),
    "params": Objective("params", text="parameters, trainable or not"),
    "flops": Objective("flops", text="floating-point operations per image (2 x multiply-adds)"),
    "latency": Objective("latency_ms", text="milliseconds per image, median, of the LiteRT file"),
    "size": Objective("size_bytes", text="bytes of the LiteRT file"),
    "memory": Objective("peak_bytes", text="peak bytes of activations at batch 1, float32"),
}
"""The objectives by the name that `--objectives` takes."""


@dataclass(frozen=True)
class Limit:
    """The greatest value that a candidate may have; a candidate over it is not trained."""

    name: str
    maximum: float

    def excess(self, values: Mapping[str, float]) -> float:
        """Return the value divided by the limit, minus 1; 0.0 if the limit is met or the value unknown."""
        value = values.get(self.name, 0.0)
        return max(0.0, value / self.maximum - 1.0)


@dataclass(frozen=True)
class Trial:
    """A candidate and what is known of it.

    Life of a trial: an engine proposes a setting; its costs are screened (over a limit it ends as
    `over_limit`); it is trained; it ends as `complete`, as `stopped` after fewer epochs, or as `failed` with
    a reason. The engine observes each end, and the trial again when a stopped trial was trained further.
    """

    number: int
    setting: Setting
    id: str  # the architecture's id: equal ids are equal networks
    state: State
    values: Mapping[str, float] = field(default_factory=dict)  # all known qualities and costs by name
    epochs: int = 0  # trained so far: the quality in `values` is that of the last epoch
    reason: str = ""  # why it failed, or which limit it is over
    curve: Sequence[Mapping[str, float]] = ()  # one mapping per epoch: loss, accuracy, val_loss, ...
    seconds: Mapping[str, float] = field(default_factory=dict)  # by kind of work: train, trace, ..., confirm
    architecture: Architecture | None = None  # None only for a row of a table
    training: Training = field(default_factory=Training)
    run_id: str = ""  # MLflow's, once it is logged
    # When it reached its state, in milliseconds since 1970; 0 if unknown.
    ended_ms: int = field(default=0, compare=False)

    @property
    def seconds_per_epoch(self) -> float:
        """Mean seconds of an epoch; nan if unknown."""
        steady = self.seconds.get("train", 0.0)
        return steady / self.epochs if steady and self.epochs else math.nan

    @property
    def seconds_once(self) -> float:
        """Seconds of the first training that were spent on everything but epochs."""
        return sum(spent for name, spent in self.seconds.items() if name not in ("train", "confirm"))

    @property
    def trainings(self) -> int:
        """Number of trainings, with other seeds or on other folds, whose mean the qualities are."""
        return int(self.values.get("trainings", 1))

    def seconds_to(self, epochs: int) -> float:
        """Return the predicted seconds to train on to `epochs` in total; nan if unknown."""
        return self.seconds_per_epoch * (epochs - self.epochs)

    @property
    def design(self) -> Design:
        """The architecture and its training; raises ValueError for a row of a table."""
        if self.architecture is None:
            raise ValueError(f"trial {self.number} has no architecture")
        return Design.model_construct(architecture=self.architecture, training=self.training)


def parse_objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Return the objectives that a user named.

    Raises InputError for an unknown or repeated name, and if none of them is a quality.
    """
    found: list[Objective] = []
    for name in names:
        objective = OBJECTIVES.get(name) or next(
            (known for known in OBJECTIVES.values() if known.name == name), None
        )
        if objective is None:
            raise InputError(f"unknown objective '{name}'; {nearest(name, OBJECTIVES)}")
        if objective in found:
            raise InputError(f"an objective must be named once, got '{name}' twice; omit one")
        found.append(objective)
    if not any(objective.trained for objective in found):
        qualities = ", ".join(name for name, objective in OBJECTIVES.items() if objective.trained)
        raise InputError(
            f"one objective must be a quality ({qualities}), got '{','.join(names)}'; add accuracy"
        )
    return tuple(found)


def minimization_points(trials: Sequence[Trial], objectives: Sequence[Objective]) -> np.ndarray:
    """Return the objectives' values as an array (trials, objectives), signed so that all are minimized."""
    signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
    return np.array(
        [
            [sign * trial.values[objective.name] for sign, objective in zip(signs, objectives, strict=True)]
            for trial in trials
        ],
        dtype=float,
    ).reshape(len(trials), len(objectives))
