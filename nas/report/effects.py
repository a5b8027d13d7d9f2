"""Which open values matter, and what a choice changes at equal cost.

Both are computed from outputs at settings that are drawn at random from the space. The outputs are draws from
the posterior of a model of the error, so that their spread is the uncertainty of the result, or costs, which
are known exactly. A value that is open for each stage (`block.conv.1`, `block.conv.2`) counts as one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.space import OpenValue, Setting

__all__ = ["Contrast", "choice_indices", "contrasts", "first_order_shares", "grouped_names"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MAX_COMPARED = 5
"""Greatest number of choices of a value whose choices are compared one by one."""

COST_DEGREE = 3
"""Degree of the polynomial in the logarithm of a cost that stands for the effect of the cost."""

MIN_DEVIATION = 0.05
"""Least standard deviation of the share of stages that have a choice: below, the choice is too rare."""


def choice_indices(values: Sequence[OpenValue], settings: Sequence[Setting]) -> Indices:
    """Return the index of the choice of each value in each setting, -1 if inactive: (values, settings)."""
    rows = [
        [value.choices.index(setting[value.name]) if value.name in setting else -1 for setting in settings]
        for value in values
    ]
    return np.array(rows, dtype=np.intp).reshape(len(values), len(settings))


def grouped_names(values: Sequence[OpenValue]) -> list[str]:
    """Return the name of each value without the number of its stage."""
    return [re.sub(r"\.\d+$", "", value.name) for value in values]


def first_order_shares(names: Sequence[str], indices: Indices, outputs: Array) -> dict[str, Array]:
    """Return the share of the variance of each output that each value explains alone: (outputs,) by name.

    It is the first-order term of a functional analysis of variance, the variance of the means by choice
    (Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML
    2014), less what unrelated choices would explain by chance (epsilon squared, Kelley, 1935). Values with
    the same name are added up. Settings in which a value is inactive count for the others only.

    names: of `grouped_names`; indices: (values, settings); outputs: (outputs, settings).
    """
    total = np.maximum(((outputs - outputs.mean(axis=1, keepdims=True)) ** 2).sum(axis=1), 1e-300)
    shares = {name: np.zeros(len(outputs)) for name in names}
    for name, choices in zip(names, indices, strict=True):
        active = choices >= 0
        if len(np.unique(choices[active])) < 2:
            continue
        part = outputs[:, active] - outputs[:, active].mean(axis=1, keepdims=True)
        members = np.eye(choices.max() + 1)[choices[active]]
        members = members[:, members.any(axis=0)]
        between = ((part @ members) ** 2 / members.sum(axis=0)).sum(axis=1)
        freedom = members.shape[1] - 1
        within = ((part**2).sum(axis=1) - between) / max(1, int(active.sum()) - members.shape[1])
        shares[name] += (between - freedom * within) / total
    return {name: np.clip(share, 0.0, 1.0) for name, share in shares.items()}


@dataclass(frozen=True)
class Contrast:
    """The error of networks with one choice of a value, divided by that with another one, at equal cost."""

    value: str
    choice: str
    against: str
    ratio: float  # median over the draws
    low: float  # 2.5th percentile
    high: float  # 97.5th percentile


def contrasts(values: Sequence[OpenValue], indices: Indices, levels: Array, cost: Array) -> list[Contrast]:
    """Compare the choices of each value that is a category, in all stages, at equal cost.

    The levels, logarithms of errors, are regressed on the share of the stages that have each choice and on a
    polynomial in the logarithm of the cost. Each choice is compared with the first one in the file.

    levels: (draws, settings); cost: (settings,).
    """
    logs = np.log(np.maximum(cost, 1e-12))
    scaled = (logs - logs.mean()) / max(float(logs.std()), 1e-9)
    found = []
    names = grouped_names(values)
    for name in dict.fromkeys(names):
        members = [n for n, other in enumerate(names) if other == name]
        first = values[members[0]]
        if first.ordered or not 2 <= len(first.choices) <= MAX_COMPARED:
            continue
        own = indices[members]
        active = (own >= 0).sum(axis=0)
        known = active > 0
        shares = [(own == n).sum(axis=0)[known] / active[known] for n in range(len(first.choices))]
        others = [n for n in range(1, len(shares)) if shares[n].std() >= MIN_DEVIATION]
        columns = [scaled[known] ** power for power in range(COST_DEGREE + 1)]
        columns += [shares[n] for n in others]
        coefficients = np.linalg.lstsq(np.column_stack(columns), levels[:, known].T, rcond=None)[0]
        for n, drawn in zip(others, coefficients[COST_DEGREE + 1 :], strict=True):
            low, middle, high = np.exp(np.percentile(drawn, [2.5, 50.0, 97.5])).tolist()
            choice, against = str(first.choices[n]), str(first.choices[0])
            found.append(Contrast(name, choice, against, ratio=middle, low=low, high=high))
    return found
