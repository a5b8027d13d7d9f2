"""The trials of a search as plain data, in columns, for the page of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nas.space import OpenValue
from nas.trials import OBJECTIVES, Criteria, Trial, hypervolume_curve, pareto_front

__all__ = ["SHARES", "TITLES", "busy_minutes", "rounded", "search_history", "trial_columns"]

TITLES = {
    "accuracy": "Validation accuracy",
    "balanced_accuracy": "Validation balanced accuracy",
    "macro_f1": "Validation macro F1",
    "auc": "Validation area under the ROC curve",
    "val_loss": "Validation loss",
    "mean_iou": "Validation mean IoU",
    "map": "Validation mean average precision",
    "label_accuracy": "Validation accuracy of labels",
    "r2": "Validation R2, explained variance",
    "mae": "Validation mean absolute error",
    "rmse": "Validation root mean squared error",
    "params": "Parameters",
    "flops": "FLOPs per image",
    "latency_ms": "Latency (ms per image)",
    "size_bytes": "LiteRT file (bytes)",
    "peak_bytes": "Peak activation memory (bytes)",
}
"""The values of trials that a report shows, and their titles."""

SHARES = {objective.name for objective in OBJECTIVES.values() if objective.maximize}
"""The values that are shown in percent, and their error on a log axis."""

DIGITS = 5
"""Significant digits of a value in a page."""


def rounded(value: float | None) -> float | int | None:
    """Return a value with DIGITS significant digits; None if it is unknown or not finite: JSON has no nan."""
    if value is None or not math.isfinite(value):
        return None
    if float(value).is_integer():
        return int(value)
    return float(f"{value:.{DIGITS}g}")


def trial_columns(
    trials: Sequence[Trial], criteria: Criteria, open_values: Sequence[OpenValue]
) -> dict[str, Any]:
    """Return the trials in columns, with what the page needs to know about each value.

    `columns` has a list for each column, `settings` a list of indices of choices for each open value (-1 if
    it is inactive), in the order of `trials`. `front`, `below` have numbers of trials.
    """
    names = [name for name in TITLES if any(name in trial.values for trial in trials)]
    front = pareto_front(trials, criteria)
    useful = {trial.number for trial in criteria.useful(trials)}
    complete = criteria.comparable(trials)
    floor = criteria.floor(min(map(criteria.error, complete), default=math.nan))
    columns: dict[str, list[Any]] = {
        "trial": [trial.number for trial in trials],
        "id": [trial.id for trial in trials],
        "state": [trial.state for trial in trials],
        "epochs": [trial.epochs for trial in trials],
        "trainings": [trial.trainings for trial in trials],
        "minutes": [rounded(sum(trial.seconds.values()) / 60) for trial in trials],
    }
    for name in names:
        columns[name] = [rounded(trial.values.get(name)) for trial in trials]
    for quality in criteria.qualities:
        columns[f"{quality.name}_se"] = [rounded(t.values.get(f"{quality.name}_se")) for t in trials]
    return {
        "columns": columns,
        "names": [{"name": n, "title": TITLES[n], "share": n in SHARES} for n in names],
        "objectives": [objective.name for objective in criteria.objectives],
        "quality": criteria.qualities[0].name,
        "maximize": criteria.qualities[0].maximize,
        "resolution": rounded(1.0 / (criteria.examples + 1)),
        "floor": rounded(criteria.qualities[0].value(floor)) if math.isfinite(floor) else None,
        "front": [trial.number for trial in front],
        "below": [trial.number for trial in complete if trial.number not in useful],
        "values": [{"name": value.name, "choices": list(value.choices)} for value in open_values],
        "settings": [
            [
                value.choices.index(trial.setting[value.name]) if value.name in trial.setting else -1
                for trial in trials
            ]
            for value in open_values
        ],
    }


def busy_minutes(trials: Sequence[Trial]) -> list[float]:
    """Return for each trial the minutes that the search had run when it reached its state.

    Times in which no trial was trained, while the search was stopped, are left out.
    """
    spans = sorted((t.ended_ms - 1000 * sum(t.seconds.values()), t.ended_ms) for t in trials if t.ended_ms)
    merged: list[list[float]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])

    def busy(moment: float) -> float:
        return sum(max(0.0, min(end, moment) - start) for start, end in merged)

    return [float(f"{busy(trial.ended_ms) / 60_000:.4g}") for trial in trials]


def search_history(trials: Sequence[Trial], criteria: Criteria) -> dict[str, Any]:
    """Return the hypervolume and the best quality after each trial, in the order in which they ended."""
    ended = sorted((t for t in trials if t.state != "running"), key=lambda t: (t.ended_ms, t.number))
    best, errors = math.inf, []
    for trial in ended:
        if trial.state == "complete" and not math.isnan(criteria.error(trial)):
            best = min(best, criteria.error(trial))
        errors.append(best)
    quality = criteria.qualities[0]
    return {
        "trial": [trial.number for trial in ended],
        "minutes": busy_minutes(ended),
        "hypervolume": [rounded(volume) for volume in hypervolume_curve(ended, criteria)],
        "best": [rounded(quality.value(error)) if math.isfinite(error) else None for error in errors],
    }
