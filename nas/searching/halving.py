"""Which trials are worth training further: asynchronous successive halving that respects the front.

Successive halving (ASHA, arXiv:1810.05934) keeps the best of those trained equally long. With several
objectives "best" needs care: networks are compared with networks of like cost, so that a small one is
not ended by a large one's accuracy; and one that something no dearer beats at equal epochs is not
promoted, so that tiny ones don't go on just for being tiny. One on the front goes on at once where that
takes no longer than to begin another, or where it is ahead already of all that were trained further and cost
no more: a thin front is filled first. Once no new candidates come, the front at each rung is trained on to
the full length, so that what is handed over was trained in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.trials import Objective, Trial, non_dominated

__all__ = ["Halving", "rungs"]

NOISE = 2.0
"""Deviations by chance between two qualities that count as a difference."""


def rungs(epochs: int, reduction: int, least: int = 1) -> tuple[int, ...]:
    """Give the epochs after which trials are compared, ascending, none under `least`, up to the full length.

    >>> rungs(27, 3)
    (1, 3, 9, 27)
    """
    found = [epochs]
    while found[0] // reduction >= max(1, least):
        found.insert(0, found[0] // reduction)
    return tuple(found)


@dataclass(frozen=True)
class Halving:
    """The rule: of the trials that reached a rung, in each stratum of cost, 1 in `reduction` goes on."""

    rungs: tuple[int, ...]
    reduction: int
    objectives: tuple[Objective, ...]
    examples: int = 1000  # validation examples that a quality was measured on: its noise
    _seen: _Seen = field(default_factory=lambda: _Seen(), init=False, repr=False, compare=False)

    def next_rung(self, epochs: int) -> int:
        """Give the rung after so many epochs; the last where there is none."""
        return next((rung for rung in self.rungs if rung > epochs), self.rungs[-1])

    def promotable(
        self, trials: Sequence[Trial], busy: frozenset[int] = frozenset(), last: bool = False
    ) -> list[int]:
        """Give the numbers of stopped trials to train up to the next rung, furthest first.

        trials: all that ended, in their latest state; busy: those that are being trained further now,
        which count as promoted; last: no new candidates will come, so the front of each rung goes on.
        """
        if not trials:
            return []
        table = self._seen.read(trials, self._row)
        busy_rows = np.isin(table[:, 0], list(busy))
        chosen: list[int] = []
        for place in range(len(self.rungs) - 2, -1, -1):
            gone = (table[:, 1] > self.rungs[place]) | busy_rows
            chosen += [int(number) for number in table[self._at(place, table, gone, last), 0]]
        return chosen

    def _row(self, trial: Trial) -> list[float]:
        """Give the numbers that a trial is compared by.

        They are: its number, its epochs, seconds an epoch, seconds of the first rung with building and
        tracing, the quality at each rung but the last (nan: not reached), the latest quality, the costs.
        """
        curve = {epoch.get("epoch"): epoch for epoch in trial.curve}
        names = [objective.name for objective in self.objectives if objective.trained]
        epoch_seconds = trial.seconds_an_epoch
        row = [float(trial.number), float(trial.epochs), epoch_seconds]
        row.append(trial.seconds_once + epoch_seconds * self.rungs[0])
        for rung in self.rungs[:-1]:
            epoch = curve.get(rung) if trial.state in ("stopped", "complete") else None
            row.append(float(np.mean([epoch[f"val_{name}"] for name in names])) if epoch else np.nan)
        row.append(float(np.mean([trial.values.get(name, np.nan) for name in names])))
        costs = [objective.name for objective in self.objectives if not objective.trained]
        return row + [float(np.log(max(trial.values.get(name, 1.0), 1e-12))) for name in costs]

    def _at(self, place: int, table: np.ndarray, gone: np.ndarray, last: bool) -> np.ndarray:
        """Give the rows of those that reached a rung and go on from it; gone: those that went further."""
        reached = np.flatnonzero(~np.isnan(table[:, 4 + place]))
        if gone[reached].all():
            return np.empty(0, dtype=int)
        judged = table[:, 3 + len(self.rungs) :]  # the latest quality, the costs
        at_rung = np.column_stack([table[:, 4 + place], judged[:, 1:]])[reached]
        on_front = _non_dominated(at_rung)
        front: np.ndarray = reached[on_front & ~gone[reached]]
        if last:
            return front
        epoch, begun = table[:, 2], table[:, 3]
        a_new_one = float(np.nanmedian(begun)) if not np.isnan(begun).all() else math.nan
        quick = (self.rungs[place + 1] - self.rungs[place]) * epoch[front] <= a_new_one
        further = judged[gone & ~np.isnan(judged[:, 0])]
        ahead = ~self._outdone(judged[front], further[_non_dominated(further)], -NOISE)
        at_once = front[quick | ahead]
        qualities, costs = at_rung[:, 0], at_rung[:, 1:]
        best = np.concatenate(
            [
                stratum[np.argsort(-qualities[stratum], kind="stable")][: len(stratum) // self.reduction]
                for stratum in self._strata(costs)
            ]
        )
        best = best[~gone[reached[best]]]
        if costs.shape[1]:
            best = best[~self._outdone(at_rung[best], at_rung[on_front], NOISE)]
        return np.concatenate([at_once, np.setdiff1d(reached[best], at_once)])

    def _strata(self, costs: np.ndarray) -> list[np.ndarray]:
        """Cut the trials into groups of like cost, each large enough to promote two."""
        if not costs.shape[1]:
            return [np.arange(len(costs))]
        ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0).mean(axis=1)
        count = max(1, len(costs) // (2 * self.reduction))
        return list(np.array_split(np.argsort(ranks, kind="stable"), min(count, 8)))

    def _outdone(self, some: np.ndarray, front: np.ndarray, margin: float) -> np.ndarray:
        """Say of each of some whether one of a front, no dearer in any cost, is better by more than a margin.

        some, front: quality and costs, a row each; margin: in deviations of a quality by chance.
        """
        share = np.clip(some[:, 0], 0.02, 0.98)
        level = some[:, 0] + margin * np.sqrt(share * (1 - share) / self.examples)
        no_dearer = (front[None, :, 1:] <= some[:, None, 1:]).all(axis=2)
        outdone: np.ndarray = (no_dearer & (front[None, :, 0] > level[:, None])).any(axis=1)
        return outdone


def _non_dominated(judged: np.ndarray) -> np.ndarray:
    """Say which rows of a quality and costs no other dominates."""
    return non_dominated(judged * np.array([-1.0] + [1.0] * (judged.shape[1] - 1)))


class _Seen:
    """The numbers that trials are compared by, kept from call to call: only changed trials are read anew."""

    def __init__(self) -> None:
        self._trials: list[Trial] = []
        self._table = np.empty((0, 0))

    def read(self, trials: Sequence[Trial], row: Callable[[Trial], list[float]]) -> np.ndarray:
        """Give a row of numbers for each trial."""
        kept = self._trials
        known = len(kept)
        changed = [place for place, trial in enumerate(trials) if place >= known or kept[place] is not trial]
        rows = [row(trials[place]) for place in changed]
        if len(trials) > len(self._table):
            larger = np.empty((2 * len(trials), len(rows[0])))
            larger[:known] = self._table[:known] if known else larger[:0]
            self._table = larger
        if rows:
            self._table[changed] = rows
        self._trials = list(trials)
        return self._table[: len(trials)]
