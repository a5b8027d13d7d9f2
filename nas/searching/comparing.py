"""Compare the fronts of several searches of one task: hypervolumes on one scale, and the joint front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Any

from nas.data import DataOptions
from nas.errors import InputError
from nas.record import SearchRecord
from nas.report import trial_columns
from nas.searching.plan import Plan
from nas.trials import (
    Criteria,
    Objective,
    Trial,
    hypervolume_curve,
    network_summary,
    pareto_front,
    parse_objectives,
    trial_rows,
)

__all__ = ["ComparedSearch", "SearchComparison", "compare_searches"]

SPLIT_OPTIONS = ("validation", "split_seed", "train_limit", "folds")
"""Options by which searches of one data set have other examples for training and validation."""

WITHIN = 0.01
"""Error by which the smallest network may be worse than the best of all searches."""


@dataclass(frozen=True)
class ComparedSearch:
    """A search among others. What is counted and measured is on the scale of all of them."""

    name: str
    plan: Plan
    trials: tuple[Trial, ...]  # that were trained
    front: tuple[Trial, ...]  # by the common objectives, above the common floor
    hypervolume: float
    joint: tuple[Trial, ...]  # members of the joint front
    best: Trial | None  # the best quality; None: the front is empty
    smallest: Trial | None  # the fewest parameters within 1 point of the best of all; None: it has none


@dataclass(frozen=True)
class SearchComparison:
    """Several searches on one scale."""

    criteria: Criteria  # the common objectives, bounds and floor
    searches: tuple[ComparedSearch, ...]
    joint_front: tuple[tuple[str, Trial], ...]  # names of searches and trials, best quality first
    hypervolume: float  # of the joint front
    warnings: tuple[str, ...]  # sentences about what differs between the searches besides what they found

    def as_data(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        objectives = self.criteria.objectives
        return {
            "objectives": [objective.name for objective in objectives],
            "hypervolume": self.hypervolume,
            "joint_front": [
                {"search": name, **trial_rows([trial], objectives)[0]} for name, trial in self.joint_front
            ],
            "searches": [_search_data(search, objectives) for search in self.searches],
            "warnings": list(self.warnings),
        }

    def page_data(self) -> dict[str, Any]:
        """Return the data of the page of the comparison: the complete trials in columns, search by search."""
        rows = [
            (search, trial) for search in self.searches for trial in self.criteria.comparable(search.trials)
        ]
        own = {id(trial) for search in self.searches for trial in search.front}
        joint = {id(trial) for _, trial in self.joint_front}
        columns = trial_columns([trial for _, trial in rows], self.criteria, ())
        return {
            **{name: columns[name] for name in ("columns", "names", "objectives", "quality", "resolution")},
            "name": ", ".join(search.name for search in self.searches),
            "search": [search.name for search, _ in rows],
            "front": [id(trial) in own for _, trial in rows],
            "joint": [id(trial) in joint for _, trial in rows],
            "labels": [network_summary(trial) for _, trial in rows],
            "comparison": self.as_data(),
        }


def compare_searches(
    names: Sequence[str], notify: Callable[[str], None] = lambda _: None
) -> SearchComparison:
    """Compare recorded searches.

    notify: receives sentences about what is damaged in a record and was left out.

    Raises InputError for less than two names and for searches whose figures have nothing in common: another
    task, other data, another quality.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"a comparison needs at least 2 different searches, got {', '.join(names) or 'none'}; name others"
        )
    plans: dict[str, Plan] = {}
    trials: dict[str, list[Trial]] = {}
    for name in names:
        record = SearchRecord.open(name)
        plans[name] = Plan.parse(record.config)
        trials[name] = [trial for trial in record.trials() if trial.state != "over_limit"]
        for notice in record.notices:
            notify(notice)
    warnings = [
        line for name in names[1:] for line in _differences(names[0], plans[names[0]], name, plans[name])
    ]
    criteria, more = _common_criteria(plans)
    every = list(chain.from_iterable(trials.values()))
    useful = {id(trial) for trial in criteria.useful(every)}
    above = {name: [trial for trial in some if id(trial) in useful] for name, some in trials.items()}
    owners = {id(trial): name for name, some in trials.items() for trial in some}
    free = replace(criteria, guess=None, min_quality=None)  # the floor is applied already
    joint = pareto_front([trial for some in above.values() for trial in some], free)
    on_joint = {id(trial) for trial in joint}
    warnings += _below_floor(above, trials, criteria)
    limit = min(map(criteria.error, joint), default=0.0) + WITHIN + 1e-12
    searches = []
    for name in names:
        near = [trial for trial in above[name] if criteria.error(trial) <= limit]
        front = pareto_front(above[name], free)
        searches.append(
            ComparedSearch(
                name=name,
                plan=plans[name],
                trials=tuple(trials[name]),
                front=tuple(front),
                hypervolume=_hypervolume(trials[name], criteria, every),
                joint=tuple(trial for trial in front if id(trial) in on_joint),
                best=front[0] if front else None,
                smallest=min(
                    near, key=lambda trial: (trial.values["params"], criteria.error(trial)), default=None
                ),
            )
        )
    return SearchComparison(
        criteria=criteria,
        searches=tuple(searches),
        joint_front=tuple((owners[id(trial)], trial) for trial in joint),
        hypervolume=_hypervolume(every, criteria, every),
        warnings=(*warnings, *more),
    )


def _hypervolume(trials: Sequence[Trial], criteria: Criteria, scale: Sequence[Trial]) -> float:
    return hypervolume_curve(trials, criteria, scale)[-1] if trials else 0.0


def _differences(first: str, one: Plan, second: str, other: Plan) -> list[str]:
    """Return sentences about what makes the figures of two searches differ; raises InputError."""
    qualities = [plan.criteria.qualities[0].name for plan in (one, other)]
    for what, found in (
        ("task", [one.task, other.task]),
        ("first quality", qualities),
        ("outputs", [_outputs(one), _outputs(other)]),
    ):
        if found[0] != found[1]:
            raise InputError(
                f"compared searches must have the same {what}, got {found[0]} for '{first}' and {found[1]} "
                f"for '{second}'; compare searches of one task"
            )
    both, lines = f"'{first}' and '{second}'", []
    if one.fingerprint != other.fingerprint or one.folds != other.folds:
        options = [
            name
            for name in (*DataOptions.model_fields, "folds")
            if getattr(one, name) != getattr(other, name)
        ]
        if one.data != other.data or not options or set(options) - set(SPLIT_OPTIONS):
            what = f" ({', '.join(options)})" if options else ""
            raise InputError(
                f"compared searches must have the same data, got '{one.data}' for '{first}' and other "
                f"content or options{what} of '{other.data}' for '{second}'; compare searches of one data set"
            )
        shown = ", ".join(f"{name} {getattr(one, name)} and {getattr(other, name)}" for name in options)
        lines.append(f"{both} are trained and validated with other examples ({shown}): chance differs.")
    if one.epochs != other.epochs:
        lines.append(f"{both} train for other lengths, {one.epochs} and {other.epochs} epochs.")
    if one.device != other.device and one.device and other.device:
        lines.append(
            f"{both} measure latency and size on other devices or settings: {one.device}; {other.device}."
        )
    return lines


def _outputs(plan: Plan) -> str:
    """Return the outputs of the networks in words; '' for a record of 0.1.0."""
    return plan.signature.output_text() if plan.signature is not None else ""


def _common_criteria(plans: Mapping[str, Plan]) -> tuple[Criteria, list[str]]:
    """Return criteria of the common objectives, and sentences about objectives that are left out."""
    first = next(iter(plans.values())).criteria
    named = [{objective.name for objective in plan.criteria.objectives} for plan in plans.values()]
    common = [objective for objective in first.objectives if all(objective.name in some for some in named)]
    left_out = sorted(set().union(*named) - {objective.name for objective in common})
    lines = []
    if not any(not objective.trained for objective in common):
        common += parse_objectives([first.qualities[0].name, "params"])[1:]
    if left_out:
        names = ", ".join(objective.name for objective in common)
        lines.append(f"Compared by {names}: not all searches have the objectives {', '.join(left_out)}.")
    floors = {plan.min_quality for plan in plans.values()}
    guesses = [plan.guess for plan in plans.values() if plan.guess is not None]
    if len(floors) > 1:
        lines.append(
            "The searches have other quality floors: the floor is derived from the best network of all."
        )
    criteria = Criteria(
        tuple(common),
        min(plan.examples for plan in plans.values()),
        max(guesses, default=None),
        floors.pop() if len(floors) == 1 else None,
        MappingProxyType(_common_bounds(list(plans.values()), common)),
    )
    return criteria, lines


def _below_floor(
    above: Mapping[str, Sequence[Trial]], trials: Mapping[str, Sequence[Trial]], criteria: Criteria
) -> list[str]:
    """Return a sentence for each search that has complete trials, but none above the common floor."""
    quality = criteria.qualities[0]
    every = [trial for some in trials.values() for trial in criteria.comparable(some)]
    floor = quality.value(criteria.floor(min(map(criteria.error, every), default=math.nan)))
    return [
        f"No network of '{name}' reaches the quality floor of all searches together, {quality.name} "
        f"{floor:.3g}: it has no front here."
        for name, some in trials.items()
        if criteria.comparable(some) and not above[name]
    ]


def _common_bounds(plans: Sequence[Plan], objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    """Return the bounds of the costs over all spaces, of those that each plan has."""
    return {
        objective.name: (
            min(plan.bounds[objective.name][0] for plan in plans),
            max(plan.bounds[objective.name][1] for plan in plans),
        )
        for objective in objectives
        if all(objective.name in plan.bounds for plan in plans)
    }


def _search_data(search: ComparedSearch, objectives: Sequence[Objective]) -> dict[str, Any]:
    plan = search.plan
    picks = {"best": search.best, "smallest": search.smallest}
    return {
        "name": search.name,
        "space": plan.space.get("name", ""),
        "engine": f"{plan.engine} {plan.sampler}".strip(),
        "seed": plan.seed,
        "split_seed": plan.split_seed,
        "epochs": plan.epochs,
        "device": plan.device,
        "trials": len(search.trials),
        "minutes": sum(sum(trial.seconds.values()) for trial in search.trials) / 60,
        "hypervolume": search.hypervolume,
        "on_joint_front": len(search.joint),
        **{key: trial_rows([trial], objectives)[0] if trial else None for key, trial in picks.items()},
        "front": trial_rows(search.front, objectives),
    }
