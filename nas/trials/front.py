"""The Pareto front of trials, trials as rows and CSV, and the hypervolume over trials."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.trials import pareto
from nas.trials.criteria import Criteria
from nas.trials.trial import Objective, Trial, minimization_points

__all__ = ["front_csv", "hypervolume_curve", "pareto_front", "trial_rows"]


def pareto_front(trials: Sequence[Trial], criteria: Criteria) -> list[Trial]:
    """Return the complete trials that no other complete trial dominates, best quality first.

    A trial below the quality floor or without a finite value of each objective is left out. Of trials that
    are equal in every objective all are kept.
    """
    useful = criteria.useful(trials)
    points = minimization_points(useful, criteria.objectives)
    on_front = np.flatnonzero(pareto.non_dominated(points))
    order = sorted(on_front, key=lambda n: (criteria.error(useful[n]), *points[n], useful[n].number))
    return [useful[n] for n in order]


def trial_rows(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Return trials as plain data: trial, id, the qualities, params, flops, then all other values."""
    rows: list[dict[str, Any]] = []
    for trial in trials:
        names = [objective.name for objective in objectives if objective.trained]
        names += ["params", "flops", *(objective.name for objective in objectives), *trial.values]
        values = {name: trial.values[name] for name in dict.fromkeys(names) if name in trial.values}
        rows.append({"trial": trial.number, "id": trial.id, **values})
    return rows


def front_csv(trials: Sequence[Trial], criteria: Criteria) -> str:
    """Return the front as CSV: the columns of `trial_rows`, epochs, MLflow's run id, the setting's values."""
    front = pareto_front(trials, criteria)
    table = trial_rows(front, criteria.objectives)
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
    trials: Sequence[Trial], criteria: Criteria, scale: Sequence[Trial] = ()
) -> list[float]:
    """Return the hypervolume after each trial: the share, 0..1, of the objectives' box that is dominated.

    An error counts by its `Criteria.level` between 0 and the quality floor after all trials, a cost on a log
    axis between its bounds. Without given bounds these are the least and greatest value of the trials, so
    that later trials change the whole curve.

    scale: the trials that determine floor and bounds, `trials` among them; by default `trials` themselves.
    Curves of several searches with the trials of all of them as scale can be compared.
    """
    useful = {id(trial) for trial in criteria.useful(scale or trials)}
    scales = [_scale(scale or trials, criteria, objective) for objective in criteria.objectives]
    points: list[np.ndarray] = []
    curve: list[float] = []
    for trial in trials:
        volume = curve[-1] if curve else 0.0
        if id(trial) in useful:
            low, high = np.array(scales).T
            span = np.where(high > low, high - low, 1.0)
            point = np.clip((criteria.points([trial])[0] - low) / span, 0.0, 1.0)
            if not any((other <= point).all() for other in points):
                points = [other for other in points if (other < point).any()] + [point]
                volume = pareto.hypervolume(np.array(points), np.ones(len(scales)))
        curve.append(volume)
    return curve


def _scale(trials: Sequence[Trial], criteria: Criteria, objective: Objective) -> tuple[float, float]:
    """Return the least and the greatest coordinate of an objective in `Criteria.points`."""
    values = [trial.values[objective.name] for trial in trials if objective.name in trial.values]
    values = [value for value in values if math.isfinite(value)]
    if objective.trained:
        worst = 1.0 if objective.maximize else max(values, default=1.0)
        if objective is criteria.qualities[0]:
            least = min(map(criteria.error, criteria.comparable(trials)), default=math.nan)
            worst = min(worst, criteria.floor(least))
        return float(criteria.level(0.0)), float(criteria.level(worst))
    positive = [value for value in values if value > 0]
    found = min(positive, default=1.0), max(positive, default=1.0)
    low, high = criteria.bounds.get(objective.name, found)
    return math.log(low), math.log(high)
