"""What a search is for and what came of one candidate: Objective, Limit, Trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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

State = Literal["running", "complete", "stopped", "over_limit", "failed"]
"""complete: trained to full length; stopped: trained less and not promoted; over_limit: never trained."""


@dataclass(frozen=True)
class Objective:
    """One quantity a search improves."""

    name: str  # the key of the value in Trial.values and in `--json`, with its unit: latency_ms
    maximize: bool = False
    trained: bool = False  # True: known only by training; False: known before
    text: str = ""  # one line for --help


OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": Objective("accuracy", True, True, "share of validation images classified right"),
    "mean_iou": Objective("mean_iou", True, True, "mean intersection over union (segmentation)"),
    "params": Objective("params", text="parameters, trainable or not"),
    "flops": Objective("flops", text="floating-point operations an image (2 x multiply-adds)"),
    "latency": Objective("latency_ms", text="milliseconds an image, median, from the LiteRT file"),
    "size": Objective("size_bytes", text="bytes of the LiteRT file"),
    "memory": Objective("peak_bytes", text="peak bytes of activations at batch 1, float32"),
}
"""What `--objectives` takes, by the name it takes."""


@dataclass(frozen=True)
class Limit:
    """The greatest value a candidate may have; nothing over it is trained."""

    name: str
    maximum: float

    def excess(self, values: Mapping[str, float]) -> float:
        """Say by which factor less one the value is over the limit; 0.0 where it is met or not known."""
        value = values.get(self.name, 0.0)
        return max(0.0, value / self.maximum - 1.0)


@dataclass(frozen=True)
class Trial:
    """One candidate and what is known of it.

    Life of a trial: an engine proposes a setting; its costs are screened (over a limit it ends as
    `over_limit`); it trains; it ends as `complete`, as `stopped` at fewer epochs, or as `failed`
    with a reason. The engine is told once at each end, and again when a stopped trial went further.
    """

    number: int
    setting: Setting
    id: str  # the architecture's id: equal ids are equal networks
    state: State
    values: Mapping[str, float] = field(default_factory=dict)  # every quality and cost known, by name
    epochs: int = 0  # the training that the quality in `values` comes from
    reason: str = ""  # why it failed, or which limit it is over
    curve: Sequence[Mapping[str, float]] = ()  # a mapping for each epoch: loss, accuracy, val_loss, ...
    seconds: Mapping[str, float] = field(default_factory=dict)  # where its time went: train, trace, ...
    architecture: Architecture | None = None  # None only for a row of a table
    training: Training = field(default_factory=Training)
    run_id: str = ""  # MLflow's, once it is logged

    @property
    def seconds_an_epoch(self) -> float:
        """Seconds that an epoch took, with its validation; nan where that is not known."""
        steady = sum(self.seconds.get(name, 0.0) for name in ("train", "validate"))
        return steady / self.epochs if steady and self.epochs else math.nan

    @property
    def seconds_once(self) -> float:
        """Seconds that went into anything but epochs."""
        return sum(self.seconds.get(name, 0.0) for name in ("build", "trace", "save"))

    def seconds_to(self, epochs: int) -> float:
        """Expect the seconds to go on to so many epochs, by those so far; nan where they are not known."""
        return self.seconds_an_epoch * (epochs - self.epochs)

    @property
    def design(self) -> Design:
        """What was trained; raises ValueError for a row of a table."""
        if self.architecture is None:
            raise ValueError(f"trial {self.number} has no architecture")
        return Design.model_construct(architecture=self.architecture, training=self.training)


def parse_objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Turn names as a user writes them into objectives.

    Raises InputError for an unknown or repeated name, and where none is known only by training.
    """
    found: list[Objective] = []
    for name in names:
        objective = OBJECTIVES.get(name) or next(
            (known for known in OBJECTIVES.values() if known.name == name), None
        )
        if objective is None:
            raise InputError(f"an objective must be known, got '{name}'; {nearest(name, OBJECTIVES)}")
        if objective in found:
            raise InputError(f"an objective may be given once, got '{name}' twice; leave one out")
        found.append(objective)
    if not any(objective.trained for objective in found):
        raise InputError(
            f"one objective must be a quality (accuracy, mean_iou), got '{','.join(names)}'; add accuracy"
        )
    return tuple(found)


def minimization_points(trials: Sequence[Trial], objectives: Sequence[Objective]) -> np.ndarray:
    """Give the objectives' values as an array (trials, objectives) of which all are to be minimized."""
    signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
    return np.array(
        [
            [sign * trial.values[objective.name] for sign, objective in zip(signs, objectives, strict=True)]
            for trial in trials
        ],
        dtype=float,
    ).reshape(len(trials), len(objectives))
