"""The Pareto front of trials, trials as rows and CSV, and the hypervolume over trials."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.trials import pareto
from nas.trials.trial import Objective, Trial, minimization_points

__all__ = ["front_csv", "hypervolume_curve", "pareto_front", "trial_rows"]

BoundsByName = Mapping[str, tuple[float, float]]


def pareto_front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the complete trials that no other complete trial dominates, best quality first.

    A trial without a finite value of each objective is left out. Of trials that are equal in every objective
    all are kept.
    """
    comparable = [trial for trial in trials if _is_comparable(trial, objectives)]
    points = minimization_points(comparable, objectives)
    on_front = np.flatnonzero(pareto.non_dominated(points))
    first = next((n for n, objective in enumerate(objectives) if objective.maximize), 0)
    order = sorted(on_front, key=lambda n: (points[n, first], *points[n], comparable[n].number))
    return [comparable[n] for n in order]


def _is_comparable(trial: Trial, objectives: Sequence[Objective]) -> bool:
    values = (trial.values.get(objective.name, math.nan) for objective in objectives)
    return trial.state == "complete" and all(map(math.isfinite, values))


def trial_rows(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Return trials as plain data: trial, id, the qualities, params, flops, then all other values."""
    rows: list[dict[str, Any]] = []
    for trial in trials:
        names = [objective.name for objective in objectives if objective.trained]
        names += ["params", "flops", *(objective.name for objective in objectives), *trial.values]
        values = {name: trial.values[name] for name in dict.fromkeys(names) if name in trial.values}
        rows.append({"trial": trial.number, "id": trial.id, **values})
    return rows


def front_csv(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Return the front as CSV: the columns of `trial_rows`, epochs, MLflow's run id, the setting's values."""
    front = pareto_front(trials, objectives)
    table = trial_rows(front, objectives)
    for row, trial in zip(table, front, strict=True):
        row.update({"epochs": trial.epochs, "run_id": trial.run_id})
        row.update({f"setting.{name}": value for name, value in trial.setting.items()})
    columns = list(dict.fromkeys(name for row in table for name in row)) or ["trial", "id"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def hypervolume_curve(
    trials: Sequence[Trial], objectives: Sequence[Objective], bounds: BoundsByName | None = None
) -> list[float]:
    """Return the hypervolume after each trial: the share, 0..1, of the objectives' box that is dominated.

    A quality counts from 0 to 1, a cost on a log axis between its bounds. Without given bounds these are the
    least and greatest value of the trials, so that later trials change the whole curve.
    """
    all_bounds = {**_bounds(trials, objectives), **(bounds or {})}
    points: list[list[float]] = []
    curve: list[float] = []
    for trial in trials:
        volume = curve[-1] if curve else 0.0
        if _is_comparable(trial, objectives):
            point = [_scaled(trial.values[objective.name], objective, all_bounds) for objective in objectives]
            if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in points):
                points = [p for p in points if any(a < b for a, b in zip(p, point, strict=True))] + [point]
                volume = pareto.hypervolume(np.array(points), np.ones(len(objectives)))
        curve.append(volume)
    return curve


def _bounds(trials: Sequence[Trial], objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    bounds = {}
    for objective in objectives:
        values = [trial.values[objective.name] for trial in trials if objective.name in trial.values]
        values = [value for value in values if math.isfinite(value) and value > 0]
        bounds[objective.name] = (min(values), max(values)) if values else (1.0, 1.0)
    return bounds


def _scaled(value: float, objective: Objective, bounds: BoundsByName) -> float:
    """Scale a value to 0 (best) .. 1 (worst)."""
    if objective.maximize:
        return float(min(1.0, max(0.0, 1.0 - value)))
    low, high = bounds[objective.name]
    if high <= low or value <= low:
        return 0.0
    return float(min(1.0, math.log(value / low) / math.log(high / low)))
