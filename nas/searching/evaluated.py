"""Trials with the results of their evaluations: means over seeds and folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nas.evaluation import Evaluation
from nas.trials import Trial

__all__ = ["add_evaluations", "add_seed", "checkpoint_name"]


def checkpoint_name(part: int) -> str:
    """Return the name in the record of the checkpoint of a part; that of the first part is exported."""
    return "checkpoint.npz" if part == 0 else f"checkpoint-{part}.npz"


def add_evaluations(trial: Trial, parts: Sequence[Evaluation], full_epochs: int, folds: int = 1) -> Trial:
    """Return a trial that was trained further, with the means of values and curves over the parts.

    parts: one evaluation for each seed and fold, up to the same epoch. Folds are validated on different
    examples, so that the standard error of their mean is smaller by the square root of their number.
    """
    values = {name: float(np.mean([part.values[name] for part in parts])) for name in parts[0].values}
    values |= {name: value / math.sqrt(folds) for name, value in values.items() if name.endswith("_se")}
    if len(parts) > 1:
        names = [name for name in values if not name.endswith("_se")]
        values |= {f"{name}_std": float(np.std([part.values[name] for part in parts])) for name in names}
        values["trainings"] = float(len(parts))
    curve = [
        {key: float(np.mean([epoch[key] for epoch in epochs])) for key in epochs[0]}
        for epochs in zip(*(part.curve for part in parts), strict=True)
    ]
    seconds = dict(trial.seconds)
    for part in parts:
        for name, spent in part.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + spent
    return replace(
        trial,
        state="complete" if parts[0].epochs >= full_epochs else "stopped",
        values={**trial.values, **values},
        epochs=parts[0].epochs,
        curve=(*trial.curve, *curve),
        seconds=seconds,
    )


def add_seed(trial: Trial, part: Evaluation) -> Trial:
    """Return a complete trial with the evaluation of one more seed: means and standard deviations.

    The curve and the checkpoint stay those of the first seed.
    """
    count, values = trial.trainings, dict(trial.values)
    for name, value in part.values.items():
        before = trial.values.get(name, value)  # 0.1.0 recorded fewer values
        values[name] = (count * before + value) / (count + 1)
        if not name.endswith("_se"):
            spread = count * trial.values.get(f"{name}_std", 0.0) ** 2
            spread += count / (count + 1) * (value - before) ** 2
            values[f"{name}_std"] = math.sqrt(spread / (count + 1))
    values["trainings"] = float(count + 1)
    spent = trial.seconds.get("confirm", 0.0) + sum(part.seconds.values())
    return replace(trial, values=values, seconds={**trial.seconds, "confirm": spent})
