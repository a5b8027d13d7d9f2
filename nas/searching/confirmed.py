"""Confirmed front members: their trainings with new seeds, what follows from them, and how both are kept.

The search's run has two files. `confirmed_trainings.json` holds each training and is written after each of
them: a confirmation resumes from it. `confirmed.json` holds what follows, for pages and programs:

    quality       the first quality of the search, by which the members are compared
    seeds         trainings that were asked for, of each member
    missing       trainings that are not there yet, or failed
    members       best mean of the test split first, each with
      trial, id, costs
      search      the quality that the search recorded, on the validation split
      seeds       numbers of the seeds, in the order of `values`
      validation  {values, mean, se}: the quality on the validation split, by seed
      test        {values, mean, se}: the quality on the test split, by seed
      ties        letters: members that share one do not differ significantly; null with less than 2 seeds
      optimism    {validation, test}: how much better the search's quality is than each mean
      failed      number of trainings that failed
    comparisons   of two members: trials, difference of the test means, se, p, p_holm
    optimism      {validation, validation_se, test, test_se}: means over the members
    searched      numbers of the members of the front that the search found
    confirmed     numbers of the members that no other member dominates, by the test means

`se` is a standard error; it is null with less than 2 seeds. See `nas.trials.paired` for the tests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from nas.searching.confirmed_trainings import ConfirmedTraining
from nas.searching.plan import Plan
from nas.trials import (
    Criteria,
    Estimate,
    Objective,
    Trial,
    combine,
    holm,
    pareto_front,
    seed_error,
    tie_letters,
)

__all__ = [
    "RESULT_FILE",
    "Comparison",
    "Confirmation",
    "ConfirmedMember",
    "confirm_members",
    "confirmed_values",
    "metric_name",
]

RESULT_FILE = "confirmed.json"

COSTS = ("params", "flops", "latency_ms", "size_bytes", "peak_bytes")

SIGNIFICANT = 0.05
"""Corrected p-value below which a difference is significant."""


@dataclass(frozen=True, eq=False)
class ConfirmedMember:
    """A front member and its trainings with new seeds."""

    trial: Trial
    trainings: tuple[ConfirmedTraining, ...]  # without those that failed
    failed: int
    search: float  # the quality that the search recorded, on the validation split
    validation: Estimate  # of the same quality
    test: Estimate
    ties: str | None = None  # letters, see `tie_letters`; None: it has less than 2 seeds


@dataclass(frozen=True)
class Comparison:
    """Two members and the difference of their means on the test split."""

    trials: tuple[int, int]
    difference: float
    se: float
    p: float
    p_holm: float

    @property
    def is_tie(self) -> bool:
        """Whether the difference is not significant."""
        return self.p_holm >= SIGNIFICANT


@dataclass(frozen=True, eq=False)
class Confirmation:
    """The confirmed members of a front, the best mean on the test split first."""

    name: str  # of the search
    quality: Objective
    seeds: int
    missing: int  # trainings that are not there yet, or failed
    members: tuple[ConfirmedMember, ...]
    comparisons: tuple[Comparison, ...]
    optimism: tuple[Estimate, Estimate]  # on the validation split, on the test split; means over the members
    searched: tuple[int, ...]
    confirmed: tuple[int, ...]

    @property
    def smallest_tie(self) -> ConfirmedMember | None:
        """The member with the fewest parameters that is tied with the best; None: not tested."""
        if not self.members or self.members[0].ties is None:
            return None
        tied = [one for one in self.members if set(one.ties or "") & set(self.members[0].ties)]
        return min(tied, key=lambda member: member.trial.values["params"])

    def optimism_of(self, member: ConfirmedMember) -> tuple[float, float]:
        """Return how much better the search's quality of a member is than the validation and test means."""
        return _optimism(self.quality, member)

    def as_data(self) -> dict[str, Any]:
        """Return the confirmation as plain data: the content of `confirmed.json`."""
        metric = metric_name(self.quality)
        members = []
        for member in self.members:
            gains = self.optimism_of(member)
            members.append(
                {
                    "trial": member.trial.number,
                    "id": member.trial.id,
                    "costs": {n: v for n, v in member.trial.values.items() if n in COSTS},
                    "search": member.search,
                    "seeds": [one.seed for one in member.trainings],
                    "validation": _as_data(
                        member.validation, [t.validation[metric] for t in member.trainings]
                    ),
                    "test": _as_data(member.test, [one.test[metric] for one in member.trainings]),
                    "ties": member.ties,
                    "optimism": {"validation": gains[0], "test": gains[1]},
                    "failed": member.failed,
                }
            )
        names = ("validation", "test")
        means = {name: one.mean for name, one in zip(names, self.optimism, strict=True)}
        errors = {f"{name}_se": one.error for name, one in zip(names, self.optimism, strict=True)}
        return {
            "quality": self.quality.name,
            "seeds": self.seeds,
            "missing": self.missing,
            "members": members,
            "comparisons": [asdict(one) for one in self.comparisons],
            "optimism": (means | errors) if self.members else None,
            "searched": list(self.searched),
            "confirmed": list(self.confirmed),
        }


def metric_name(quality: Objective) -> str:
    """Return the name of a quality among the metrics of a split: loss for val_loss."""
    return quality.name.removeprefix("val_")


def confirm_members(
    name: str,
    plan: Plan,
    trials: Sequence[Trial],
    trainings: Sequence[ConfirmedTraining],
    asked: Collection[tuple[int, int]],
) -> Confirmation:
    """Return what follows from the trainings of front members.

    trials: all of the search. Trainings of a network that the search does not have any more are left out.
    asked: numbers of the trials and of the seeds that were asked for.
    """
    criteria = plan.criteria
    quality = criteria.qualities[0]
    known = {(trial.number, trial.id) for trial in trials}
    trained: dict[int, list[ConfirmedTraining]] = {}
    failed: dict[int, int] = {}
    for one in sorted(trainings, key=lambda one: one.seed):
        if (one.trial, one.id) in known:
            trained.setdefault(one.trial, []).extend([] if one.failed else [one])
            failed[one.trial] = failed.get(one.trial, 0) + bool(one.failed)
    numbered = {trial.number: trial for trial in trials}
    found = [
        _member(numbered[number], tuple(some), failed[number], quality, plan.folds)
        for number, some in trained.items()
        if some
    ]
    found.sort(key=lambda member: (quality.error(member.test.mean), member.trial.values.get("params", 0.0)))
    comparisons = _compare(found, quality)
    ties = [one.trials for one in comparisons if one.is_tie]
    letters = tie_letters([one.trial.number for one in found if one.test.error is not None], ties)
    members = tuple(replace(member, ties=letters.get(member.trial.number)) for member in found)
    front = pareto_front([_confirmed_trial(member, criteria) for member in members], criteria)
    return Confirmation(
        name=name,
        quality=quality,
        seeds=len({seed for _, seed in asked}),
        missing=len(set(asked) - {(one.trial, one.seed) for some in trained.values() for one in some}),
        members=members,
        comparisons=comparisons,
        optimism=_mean_optimism(members, quality),
        searched=tuple(trial.number for trial in pareto_front(trials, criteria)),
        confirmed=tuple(trial.number for trial in front),
    )


def _member(
    trial: Trial, trainings: tuple[ConfirmedTraining, ...], failed: int, quality: Objective, folds: int
) -> ConfirmedMember:
    metric = metric_name(quality)
    test = _estimate(
        [one.test[metric] for one in trainings], [one.test_examples for one in trainings], quality
    )
    values = [one.validation[metric] for one in trainings]
    if folds == 1:
        validation = _estimate(values, [one.validation_examples for one in trainings], quality)
    else:  # each seed has a fold: the examples differ with the seeds
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
        validation = Estimate(float(np.mean(values)), error)
    return ConfirmedMember(trial, trainings, failed, trial.values[quality.name], validation, test)


def _estimate(values: Sequence[float], examples: Sequence[np.ndarray], quality: Objective) -> Estimate:
    """Return the mean of values; contributions of examples, which are rounded, give its standard error."""
    return replace(combine([(1.0, np.stack(examples))], is_share(quality)), mean=float(np.mean(values)))


def is_share(quality: Objective) -> bool:
    """Return whether a quality is a share of the examples, or a mean of shares."""
    return quality.maximize and quality.name != "r2"


def _compare(members: Sequence[ConfirmedMember], quality: Objective) -> tuple[Comparison, ...]:
    tested = [member for member in members if member.test.error is not None]
    tables = {one.trial.number: np.stack([t.test_examples for t in one.trainings]) for one in tested}
    pairs = list(combinations(tested, 2))
    estimates = [
        combine([(1.0, tables[a.trial.number]), (-1.0, tables[b.trial.number])], is_share(quality))
        for a, b in pairs
    ]
    values = [one.p if one.p is not None else 1.0 for one in estimates]
    return tuple(
        Comparison(
            (a.trial.number, b.trial.number), a.test.mean - b.test.mean, one.error or 0.0, p, corrected
        )
        for (a, b), one, p, corrected in zip(pairs, estimates, values, holm(values), strict=True)
    )


def _optimism(quality: Objective, member: ConfirmedMember) -> tuple[float, float]:
    sign = 1.0 if quality.maximize else -1.0
    return sign * (member.search - member.validation.mean), sign * (member.search - member.test.mean)


def _mean_optimism(members: Sequence[ConfirmedMember], quality: Objective) -> tuple[Estimate, Estimate]:
    """Return the means over the members of how much better the search's quality is.

    The validation examples are those of the search, so that only the seeds differ there; on the test split
    the examples differ as well, and all members have the same ones.
    """
    if not members:
        return Estimate(math.nan, None), Estimate(math.nan, None)
    gains = np.mean([_optimism(quality, member) for member in members], axis=0)
    tables = [np.stack([one.test_examples for one in member.trainings]) for member in members]
    test = combine([(1.0 / len(members), table) for table in tables], is_share(quality))
    by_seed = [seed_error(np.array([[v] for v in _validation(member, quality)])) for member in members]
    known = [error for error in by_seed if error is not None]
    error = math.hypot(*known) / len(members) if len(known) == len(members) else None
    return Estimate(float(gains[0]), error), replace(test, mean=float(gains[1]))


def _validation(member: ConfirmedMember, quality: Objective) -> list[float]:
    return [one.validation[metric_name(quality)] for one in member.trainings]


def confirmed_values(member: ConfirmedMember, qualities: Sequence[Objective]) -> dict[str, float]:
    """Return the means of qualities over the seeds: confirmed_accuracy (validation) and test_accuracy.

    The first quality has standard errors, confirmed_accuracy_se and test_accuracy_se.
    """
    values: dict[str, float] = {}
    for quality in qualities:
        metric = metric_name(quality)
        values[f"confirmed_{metric}"] = float(np.mean([one.validation[metric] for one in member.trainings]))
        values[f"test_{metric}"] = float(np.mean([one.test[metric] for one in member.trainings]))
    first = metric_name(qualities[0])
    for name, estimate in (("confirmed", member.validation), ("test", member.test)):
        if estimate.error is not None:
            values[f"{name}_{first}_se"] = estimate.error
    return values


def _confirmed_trial(member: ConfirmedMember, criteria: Criteria) -> Trial:
    """Return a member's trial with the means of the test split as its qualities."""
    found = confirmed_values(member, criteria.qualities)
    means = {quality.name: found[f"test_{metric_name(quality)}"] for quality in criteria.qualities}
    return replace(member.trial, values={**member.trial.values, **means})


def _as_data(estimate: Estimate, values: Sequence[float]) -> dict[str, Any]:
    return {"values": list(values), "mean": estimate.mean, "se": estimate.error}
