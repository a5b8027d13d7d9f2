"""Pick one trial by a rule or by its number, among those that meet conditions."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nas.errors import InputError, nearest
from nas.trials.criteria import Criteria
from nas.trials.front import pareto_front
from nas.trials.pareto import knee
from nas.trials.trial import OBJECTIVES, Trial

__all__ = ["PICKS", "Answer", "Condition", "meeting", "parse_conditions", "pick_answers", "pick_trial"]

PICKS = {
    "best": "the greatest quality",
    "knee": "the best trade-off: from here, a gain in one objective costs much of another",
    "smallest": "the fewest parameters",
    "fastest": "the least latency",
    "smallest-within N%": "the fewest parameters within N points of the greatest quality",
    "fastest-within N%": "the least latency within N points of the greatest quality",
}

CHEAPEST = {"smallest": "params", "fastest": "latency_ms"}
"""The cost that a rule minimizes."""

WITHIN = re.compile(r"(smallest|fastest)-within\s+(\d+(?:\.\d+)?)\s*%")

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}

COMPARISON = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=|<|>|==)\s*([-+0-9._e]+)\s*", re.IGNORECASE)


class Answer(NamedTuple):
    """A network that a user is likely to look for."""

    titles: tuple[str, ...]  # the questions that it answers
    rules: tuple[str, ...]  # of PICKS, one for each title
    trial: Trial

    @property
    def export_option(self) -> str:
        """The option of `nas export` that picks the network by its first rule."""
        rule = self.rules[0]
        return f'--pick "{rule}"' if " " in rule else f"--pick {rule}"


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
            known = OBJECTIVES.get(match[1])  # loss and latency are val_loss and latency_ms of a trial
            conditions.append(Condition(known.name if known else match[1], match[2], float(match[3])))
        except ValueError:
            raise InputError(
                f"a condition must be a value, a comparison and a number, got '{part.strip()}'; "
                "write for example 'params < 50000 and accuracy >= 0.9'"
            ) from None
    return conditions


def meeting(trials: Sequence[Trial], where: str) -> list[Trial]:
    """Return the trials that meet conditions, all for ''.

    Raises InputError for a condition that cannot be read or is about a value that no trial has.
    """
    conditions = parse_conditions(where) if where else []
    names = {name for trial in trials for name in trial.values}
    for condition in conditions:
        if condition.name not in names:
            raise InputError(
                f"no trial has a value named '{condition.name}'; {nearest(condition.name, names)}"
            )
    return [trial for trial in trials if all(condition.is_met_by(trial) for condition in conditions)]


def pick_trial(trials: Sequence[Trial], criteria: Criteria, choice: str, where: str = "") -> Trial:
    """Return the trial with a number, or the front member that a rule of PICKS chooses.

    Only trials that meet the conditions of `where` are considered by a rule. Raises InputError if there is no
    such trial.
    """
    choice = choice.strip()
    within = WITHIN.fullmatch(choice)
    if choice not in ("best", "knee", *CHEAPEST) and within is None and not choice.lstrip("-").isdigit():
        raise InputError(
            f"--pick must be a trial's number or a rule, got '{choice}'; {nearest(choice, PICKS)}"
        )
    candidates = meeting(trials, where)
    if choice.lstrip("-").isdigit():
        numbered = {trial.number: trial for trial in trials}
        if int(choice) not in numbered:
            raise InputError(f"the search has no trial {choice}; list its trials with nas front --all")
        return numbered[int(choice)]
    useful = criteria.useful(candidates)
    if not useful:
        raise InputError(_why_none(candidates, criteria, where))
    if choice == "knee":
        front = pareto_front(candidates, criteria)
        return front[knee(criteria.points(front))]
    if choice in CHEAPEST or within is not None:
        cost = CHEAPEST[within[1] if within else choice]
        margin = float(within[2]) / 100 if within else math.inf
        return _cheapest(useful, criteria, cost, margin)
    return min(useful, key=lambda trial: (criteria.error(trial), *criteria.points([trial])[0]))


def pick_answers(trials: Sequence[Trial], criteria: Criteria) -> list[Answer]:
    """Return the networks that a user is likely to look for, each once; empty without a useful trial."""
    useful = criteria.useful(trials)
    if not useful:
        return []
    first = criteria.qualities[0]
    quality = first.name.removeprefix("val_").replace("_", " ")
    margin = "1 point" if first.maximize else f"{first.value(0.01):.3g}"
    rules = {"best": f"best {quality}", "smallest-within 1%": f"smallest within {margin} of it"}
    if all("latency_ms" in trial.values for trial in useful):
        rules["fastest-within 1%"] = f"fastest within {margin} of it"
    rules["knee"] = "knee of the front"
    found: dict[int, Answer] = {}
    for rule, title in rules.items():
        trial = pick_trial(trials, criteria, rule)
        before = found.get(trial.number, Answer((), (), trial))
        found[trial.number] = Answer((*before.titles, title), (*before.rules, rule), trial)
    return list(found.values())


def _cheapest(trials: Sequence[Trial], criteria: Criteria, cost: str, margin: float) -> Trial:
    """Return the trial with the least cost whose error is at most the least error plus a margin."""
    known = [trial for trial in trials if cost in trial.values]
    if not known:
        raise InputError(f"a rule needs the value that it minimizes, got trials without {cost}; use best")
    limit = min(map(criteria.error, trials)) + margin
    within = [trial for trial in known if criteria.error(trial) <= limit + 1e-12] or known
    return min(within, key=lambda trial: (trial.values[cost], criteria.error(trial)))


def _why_none(trials: Sequence[Trial], criteria: Criteria, where: str) -> str:
    """Return the reason why no trial can be picked."""
    restriction = f" that meets '{where}'" if where else ""
    complete = criteria.comparable(trials)
    if not complete:
        return f"no trial{restriction} was trained to its full length; relax the condition, or search longer"
    name = criteria.qualities[0].name
    best = min(complete, key=criteria.error).values[name]
    return (
        f"no trial{restriction} reaches the least {name} of {criteria.min_quality:g}, the best has "
        f"{best:.4g}; search longer, or set --min-accuracy lower"
    )
