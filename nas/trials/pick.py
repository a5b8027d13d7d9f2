"""Pick one trial: the best, the knee, the smallest, or by number, among those that meet conditions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.errors import InputError, nearest
from nas.trials.front import pareto_front
from nas.trials.pareto import knee
from nas.trials.trial import Objective, Trial, minimization_points

__all__ = ["PICKS", "Condition", "parse_conditions", "pick_trial"]

PICKS = {
    "best": "the greatest quality",
    "knee": "the best trade-off: from here, a gain in one objective costs much of another",
    "smallest": "the fewest parameters",
}

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}

COMPARISON = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=|<|>|==)\s*([-+0-9._e]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """A comparison of a trial's value with a number."""

    name: str
    sign: str
    bound: float

    def is_met_by(self, trial: Trial) -> bool:
        """Return whether a trial has this value and the comparison holds."""
        return self.name in trial.values and OPERATORS[self.sign](trial.values[self.name], self.bound)


def parse_conditions(text: str) -> list[Condition]:
    """Parse conditions such as "params < 50000 and accuracy >= 0.9"; raises InputError."""
    conditions = []
    for part in re.split(r"\band\b|,", text):
        match = COMPARISON.fullmatch(part)
        try:
            if match is None:
                raise ValueError
            conditions.append(Condition(match[1], match[2], float(match[3])))
        except ValueError:
            raise InputError(
                f"a condition must be a value, a comparison and a number, got '{part.strip()}'; "
                "write for example 'params < 50000 and accuracy >= 0.9'"
            ) from None
    return conditions


def pick_trial(
    trials: Sequence[Trial], objectives: Sequence[Objective], choice: str, where: str = ""
) -> Trial:
    """Return the trial with a number, or the front member that a rule of PICKS chooses.

    Only trials that meet the conditions of `where` are considered by a rule. Raises InputError if there is no
    such trial.
    """
    if choice not in PICKS and not choice.lstrip("-").isdigit():
        raise InputError(
            f"--pick must be a trial's number or a rule, got '{choice}'; {nearest(choice, PICKS)}"
        )
    conditions = parse_conditions(where) if where else []
    names = {name for trial in trials for name in trial.values}
    for condition in conditions:
        if condition.name not in names:
            raise InputError(
                f"no trial has a value named '{condition.name}'; {nearest(condition.name, names)}"
            )
    if choice not in PICKS:
        numbered = {trial.number: trial for trial in trials}
        if int(choice) not in numbered:
            raise InputError(f"the search has no trial {choice}; list its trials with nas front --all")
        return numbered[int(choice)]
    candidates = [trial for trial in trials if all(condition.is_met_by(trial) for condition in conditions)]
    front = pareto_front(candidates, objectives)
    if not front:
        restriction = f" that meets '{where}'" if where else ""
        raise InputError(
            f"no trial{restriction} was trained to its full length; relax the condition, or search longer"
        )
    if choice == "smallest":
        return min(front, key=lambda trial: trial.values["params"])
    if choice == "knee":
        return front[knee(_log_cost_points(front, objectives))]
    return min(front, key=lambda trial: tuple(minimization_points([trial], objectives)[0]))


def _log_cost_points(trials: Sequence[Trial], objectives: Sequence[Objective]) -> np.ndarray:
    """Return the points of trials (trials, objectives) to minimize, costs as logarithms."""
    points = minimization_points(trials, objectives)
    for column, objective in enumerate(objectives):
        if not objective.trained:
            points[:, column] = np.log(np.maximum(points[:, column], 1e-12))
    return points
