"""Choose one trial: the best, the knee, the smallest or a number, among those that meet conditions."""

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

__all__ = ["PICKS", "Condition", "conditions", "pick_trial"]

PICKS = {
    "best": "the greatest quality",
    "knee": "where the front bulges most: little to gain by giving up more",
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
    """One comparison of a trial's value with a number."""

    name: str
    sign: str
    bound: float

    def meets(self, trial: Trial) -> bool:
        """Say whether a trial has this value and it compares so."""
        return self.name in trial.values and OPERATORS[self.sign](trial.values[self.name], self.bound)


def conditions(text: str) -> list[Condition]:
    """Read conditions such as "params < 50000 and accuracy >= 0.9"; raises InputError."""
    found = []
    for part in re.split(r"\band\b|,", text):
        match = COMPARISON.fullmatch(part)
        try:
            if match is None:
                raise ValueError
            found.append(Condition(match[1], match[2], float(match[3])))
        except ValueError:
            raise InputError(
                f"a condition must be a value, a comparison and a number, got '{part.strip()}'; "
                "write for example 'params < 50000 and accuracy >= 0.9'"
            ) from None
    return found


def pick_trial(
    trials: Sequence[Trial], objectives: Sequence[Objective], choice: str, where: str = ""
) -> Trial:
    """Choose a trial by number, or of the front by one of PICKS, among those that meet the conditions.

    Raises InputError where there is none.
    """
    if choice not in PICKS and not choice.lstrip("-").isdigit():
        raise InputError(
            f"--pick must be a trial's number or a rule, got '{choice}'; {nearest(choice, PICKS)}"
        )
    tests = conditions(where) if where else []
    known = {name for trial in trials for name in trial.values}
    for test in tests:
        if test.name not in known:
            raise InputError(f"no trial has a value named '{test.name}'; {nearest(test.name, known)}")
    if choice not in PICKS:
        numbered = {trial.number: trial for trial in trials}
        if int(choice) not in numbered:
            raise InputError(f"a trial must be of this search, got {choice}; see them with nas front --all")
        return numbered[int(choice)]
    met = [trial for trial in trials if all(test.meets(trial) for test in tests)]
    found = pareto_front(met, objectives)
    if not found:
        condition = f" that meets '{where}'" if where else ""
        raise InputError(
            f"no trial{condition} was trained to its full length; ask for less, or search longer"
        )
    if choice == "smallest":
        return min(found, key=lambda trial: trial.values["params"])
    if choice == "knee":
        return found[knee(_log_costs(found, objectives))]
    return min(found, key=lambda trial: tuple(minimization_points([trial], objectives)[0]))


def _log_costs(trials: Sequence[Trial], objectives: Sequence[Objective]) -> np.ndarray:
    points = minimization_points(trials, objectives)
    for column, objective in enumerate(objectives):
        if not objective.trained:
            points[:, column] = np.log(np.maximum(points[:, column], 1e-12))
    return points
