"""The Pareto front of trials, as trials, rows and CSV, and its hypervolume over trials."""

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


def pareto_front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Give the complete trials that no other complete trial dominates, the best quality first.

    A trial that lacks a value, or whose value is no number, is none of them. Of trials that are equal
    in every objective all stay.
    """
    able = [trial for trial in trials if _able(trial, objectives)]
    points = minimization_points(able, objectives)
    kept = [place for place, stays in enumerate(pareto.non_dominated(points)) if stays]
    first = next((n for n, objective in enumerate(objectives) if objective.maximize), 0)
    order = sorted(kept, key=lambda place: (points[place, first], *points[place], able[place].number))
    return [able[place] for place in order]


def _able(trial: Trial, objectives: Sequence[Objective]) -> bool:
    values = trial.values
    return trial.state == "complete" and all(math.isfinite(values.get(o.name, math.nan)) for o in objectives)


def trial_rows(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Give trials as plain data: trial, id, the qualities, params, flops, then every other value known."""
    found: list[dict[str, Any]] = []
    for trial in trials:
        names = [objective.name for objective in objectives if objective.trained]
        names += ["params", "flops", *(objective.name for objective in objectives), *trial.values]
        known = {name: trial.values[name] for name in dict.fromkeys(names) if name in trial.values}
        found.append({"trial": trial.number, "id": trial.id, **known})
    return found


def front_csv(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Write the front as CSV: the columns of `trial_rows`, then epochs, MLflow's run and the setting's values."""
    best = pareto_front(trials, objectives)
    table = trial_rows(best, objectives)
    for row, trial in zip(table, best, strict=True):
        row.update({"epochs": trial.epochs, "run_id": trial.run_id})
        row.update({f"setting.{name}": value for name, value in trial.setting.items()})
    columns = list(dict.fromkeys(name for row in table for name in row)) or ["trial", "id"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def hypervolume_curve(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> list[float]:
    """Give after each trial the share, 0..1, of the box of objectives that the front so far dominates.

    A quality counts from 0 to 1, a cost on a log axis between its bounds: those given, else the least
    and the greatest of the trials, by which the whole curve changes with later trials.
    """
    known = {**_bounds(trials, objectives), **(bounds or {})}
    points: list[list[float]] = []
    curve: list[float] = []
    for trial in trials:
        volume = curve[-1] if curve else 0.0
        if _able(trial, objectives):
            point = [_share(trial.values[objective.name], objective, known) for objective in objectives]
            if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in points):
                points = [p for p in points if any(a < b for a, b in zip(p, point, strict=True))] + [point]
                volume = pareto.hypervolume(np.array(points), np.ones(len(objectives)))
        curve.append(volume)
    return curve


def _bounds(trials: Sequence[Trial], objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    found = {}
    for objective in objectives:
        values = [trial.values[objective.name] for trial in trials if objective.name in trial.values]
        values = [value for value in values if math.isfinite(value) and value > 0]
        found[objective.name] = (min(values), max(values)) if values else (1.0, 1.0)
    return found


def _share(value: float, objective: Objective, bounds: Mapping[str, tuple[float, float]]) -> float:
    """Map a value to 0 (best) .. 1 (worst)."""
    if objective.maximize:
        return float(min(1.0, max(0.0, 1.0 - value)))
    low, high = bounds[objective.name]
    if high <= low or value <= low:
        return 0.0
    return float(min(1.0, math.log(value / low) / math.log(high / low)))
