"""Which trials are worth training further: asynchronous successive halving that respects the front.

Successive halving (ASHA, arXiv:1810.05934) keeps the best of those trained equally long. With several
objectives "best" needs care: networks are compared with networks of like cost, so that a small one is
not ended by a large one's accuracy; and one that something no dearer beats at equal epochs is not
promoted, so that tiny ones don't go on just for being tiny. One on the front goes on at once where that
takes no longer than to begin another. Once no new candidates come, the front at each rung is trained on to
the full length, so that what is handed over was trained in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.pareto import non_dominated
from nas.trial import Objective, Trial

__all__ = ["Halving", "rungs", "seconds_to"]


def rungs(epochs: int, reduction: int, least: int = 1) -> tuple[int, ...]:
    """Give the epochs after which trials are compared, ascending, none under `least`, up to the full length.

    >>> rungs(27, 3)
    (1, 3, 9, 27)
    """
    found = [epochs]
    while found[0] // reduction >= max(1, least):
        found.insert(0, found[0] // reduction)
    return tuple(found)


def seconds_to(trial: Trial, epochs: int) -> float:
    """Expect how long a trial takes to go on to so many epochs, by how long it took so far; nan: unknown."""
    steady = sum(trial.seconds.get(name, 0.0) for name in ("train", "validate"))
    return steady / trial.epochs * (epochs - trial.epochs) if steady and trial.epochs else math.nan


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
        epoch, first = table[:, 2], table[:, 3]
        a_new_one = float(np.nanmedian(first)) if not np.isnan(first).all() else math.nan
        chosen: list[int] = []
        for place in range(len(self.rungs) - 2, -1, -1):
            qualities = table[:, 4 + place]
            reached = np.flatnonzero(~np.isnan(qualities))
            gone = (table[:, 1] > self.rungs[place]) | busy_rows
            quick = (self.rungs[place + 1] - self.rungs[place]) * epoch <= a_new_one
            costs = table[reached, 3 + len(self.rungs) :]
            rows = self._at(qualities[reached], costs, gone[reached], quick[reached], last)
            chosen += [int(number) for number in table[reached[rows], 0]]
        return chosen

    def _row(self, trial: Trial) -> list[float]:
        """Give the numbers that a trial is compared by.

        They are: its number, its epochs, seconds an epoch, seconds of the first rung with building and
        tracing, the quality at each rung but the last (nan: not reached), the costs.
        """
        curve = {epoch.get("epoch"): epoch for epoch in trial.curve}
        names = [objective.name for objective in self.objectives if objective.trained]
        epoch_seconds = seconds_to(trial, trial.epochs + 1)
        once = sum(trial.seconds.get(name, 0.0) for name in ("build", "trace", "save"))
        row = [float(trial.number), float(trial.epochs), epoch_seconds]
        row.append(once + epoch_seconds * self.rungs[0])
        for rung in self.rungs[:-1]:
            epoch = curve.get(rung) if trial.state in ("stopped", "complete") else None
            row.append(float(np.mean([epoch[f"val_{name}"] for name in names])) if epoch else np.nan)
        costs = [objective.name for objective in self.objectives if not objective.trained]
        return row + [float(np.log(max(trial.values.get(name, 1.0), 1e-12))) for name in costs]

    def _at(
        self, qualities: np.ndarray, costs: np.ndarray, gone: np.ndarray, quick: np.ndarray, last: bool
    ) -> np.ndarray:
        """Give the rows of those that reached a rung and go on from it."""
        if not len(qualities) or gone.all():
            return np.empty(0, dtype=int)
        front = non_dominated(np.column_stack([-qualities, costs]))
        at_once = np.flatnonzero(front & ~gone & (quick | last))
        if last:
            return at_once
        best = np.concatenate(
            [
                stratum[np.argsort(-qualities[stratum], kind="stable")][: len(stratum) // self.reduction]
                for stratum in self._strata(costs)
            ]
        )
        best = best[~gone[best]]
        beaten = self._beaten(qualities[best], costs[best], qualities[front], costs[front])
        return np.concatenate([at_once, np.setdiff1d(best[~beaten], at_once)])

    def _strata(self, costs: np.ndarray) -> list[np.ndarray]:
        """Cut the trials into groups of like cost, each large enough to promote two."""
        if not costs.shape[1]:
            return [np.arange(len(costs))]
        ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0).mean(axis=1)
        count = max(1, len(costs) // (2 * self.reduction))
        return list(np.array_split(np.argsort(ranks, kind="stable"), min(count, 8)))

    def _beaten(
        self, qualities: np.ndarray, costs: np.ndarray, best: np.ndarray, least: np.ndarray
    ) -> np.ndarray:
        """Say of each trial whether one no dearer in any cost was better by more than the noise.

        best, least: qualities and costs of the front at equal epochs; what something beats, its front does.
        """
        if not costs.shape[1]:
            return np.zeros(len(qualities), dtype=bool)
        share = np.clip(qualities, 0.02, 0.98)
        noise = 2.0 * np.sqrt(share * (1 - share) / self.examples)
        no_dearer = (least[None, :, :] <= costs[:, None, :]).all(axis=2)
        beaten: np.ndarray = (no_dearer & (best[None, :] > (qualities + noise)[:, None])).any(axis=1)
        return beaten


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
