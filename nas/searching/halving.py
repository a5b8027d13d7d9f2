"""Which trials are trained further: asynchronous successive halving with several objectives.

Successive halving (ASHA, arXiv:1810.05934) promotes the best of the trials that were trained equally long.
With several objectives, "best" is defined as follows. A trial below the quality floor at equal epochs is not
promoted, however small it is. A trial is compared with trials of similar cost, so that a small network is not
stopped by a large one's accuracy. A trial that another one dominates at equal epochs, with a difference
beyond noise, is not promoted, so that small networks are not promoted only because they are small. A front
member is promoted at once if that takes no longer than to begin a new trial, or if it
is already better than all trials of at most its cost that were trained further: a front with few members is
filled first. When no new candidates will come, the front of each rung is promoted until its members are
trained to the full length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from nas.trials import Criteria, Trial, non_dominated

__all__ = ["Halving", "rungs"]

NOISE = 2.0
"""Number of standard errors from which two qualities count as different."""

MAX_STRATA = 8


def rungs(epochs: int, reduction: int, least: int = 1) -> tuple[int, ...]:
    """Return the epochs after which trials are compared, ascending, at least `least`, up to the full length.

    >>> rungs(27, 3)
    (1, 3, 9, 27)
    """
    found = [epochs]
    while found[0] // reduction >= max(1, least):
        found.insert(0, found[0] // reduction)
    return tuple(found)


class Halving:
    """Promotes 1 in `reduction` of the trials that reached a rung, in each stratum of cost.

    The numbers by which trials are compared are cached from call to call.
    """

    def __init__(self, rungs: tuple[int, ...], reduction: int, criteria: Criteria) -> None:
        """Set the rungs in epochs."""
        self.rungs, self.reduction, self.criteria = rungs, reduction, criteria
        self._rows = _RowCache(self._row)

    def next_rung(self, epochs: int) -> int:
        """Return the rung after `epochs`; the last rung if there is none."""
        return next((rung for rung in self.rungs if rung > epochs), self.rungs[-1])

    def at_rungs(self, trial: Trial) -> list[Trial]:
        """Return a trial as it was at each rung before its latest epochs, as far as its curve says."""
        qualities, found = self.criteria.qualities, []
        for epoch in trial.curve:
            epochs = int(epoch["epoch"])
            if epochs in self.rungs and epochs < trial.epochs and all(q.in_curve in epoch for q in qualities):
                values = {**trial.values, **{q.name: epoch[q.in_curve] for q in qualities}}
                found.append(replace(trial, state="stopped", epochs=epochs, values=values))
        return found

    def promotable(
        self, trials: Sequence[Trial], busy: frozenset[int] = frozenset(), last: bool = False
    ) -> list[int]:
        """Return the numbers of stopped trials to train up to the next rung, those trained longest first.

        trials: all ended trials in their latest state.
        busy: numbers of trials that are being trained further now; they count as promoted.
        last: no new candidates will come, so promote the front of each rung.
        """
        if not trials:
            return []
        table = self._rows.read(trials)
        is_busy = np.isin(table[:, 0], list(busy))
        promoted: list[int] = []
        for index in range(len(self.rungs) - 2, -1, -1):
            went_on = (table[:, 1] > self.rungs[index]) | is_busy
            promoted += [int(number) for number in table[self._at_rung(index, table, went_on, last), 0]]
        return promoted

    def _row(self, trial: Trial) -> list[float]:
        """Return the numbers by which a trial is compared.

        They are its number, its epochs, seconds per epoch, seconds of the first rung with building and
        tracing, the error at each rung but the last (nan: not reached), the latest error, the logarithms of
        the costs. An error is the mean over the qualities.
        """
        curve = {epoch.get("epoch"): epoch for epoch in trial.curve}
        qualities, costs = self.criteria.qualities, self.criteria.costs
        epoch_seconds = trial.seconds_per_epoch
        row = [float(trial.number), float(trial.epochs), epoch_seconds]
        row.append(trial.seconds_once + epoch_seconds * self.rungs[0])
        for rung in self.rungs[:-1]:
            epoch = curve.get(rung) if trial.state in ("stopped", "complete") else None
            errors = [q.error(epoch[q.in_curve]) for q in qualities] if epoch else [np.nan]
            row.append(float(np.mean(errors)))
        row.append(float(np.mean([q.error(trial.values.get(q.name, np.nan)) for q in qualities])))
        return row + [float(np.log(max(trial.values.get(cost.name, 1.0), 1e-12))) for cost in costs]

    def dominated(self, trials: Sequence[Trial], ended: bool = False) -> list[Trial]:
        """Return the trials that one trained as long dominates beyond noise.

        None of them is promoted any more, or comes on the front.

        ended: return also those stopped trials that are dominated within noise: only the new trials of a
        resumed search can get them promoted.
        """
        if not trials:
            return []
        table, first = self._rows.read(trials), 3 + len(self.rungs)
        found: list[Trial] = []
        for index, rung in enumerate(self.rungs):
            errors = table[:, first if rung == self.rungs[-1] else 4 + index]
            reached = np.flatnonzero(~np.isnan(errors) & (table[:, 1] >= rung))
            if not len(reached):
                continue
            rows = np.column_stack([errors, table[:, first + 1 :]])[reached]
            margin = 0.0 if ended and rung < self.rungs[-1] else NOISE
            is_dominated = self._dominated(rows, rows[_on_front(rows)], margin)
            found += [trials[number] for number in reached[is_dominated & (table[reached, 1] == rung)]]
        return [trial for trial in found if trial.state in ("complete", "stopped")]

    def _at_rung(self, index: int, table: np.ndarray, went_on: np.ndarray, last: bool) -> np.ndarray:
        """Return the rows of the trials to promote from a rung. `went_on`: rows that were trained further."""
        latest = table[:, 3 + len(self.rungs) :]  # the latest error, the costs
        errors = table[:, 4 + index]
        if np.isnan(errors).all():
            return np.empty(0, dtype=int)
        useful = np.ones(len(table), dtype=bool)
        for earlier in table[:, 4 : 5 + index].T:  # a rung that few have reached has no floor of its own yet
            floor = self.criteria.floor_at(float(np.nanmin(earlier)), float(np.nanmin(latest[:, 0])))
            useful &= ~(earlier > floor)
        reached = np.flatnonzero(useful & ~np.isnan(errors))
        if went_on[reached].all():
            return np.empty(0, dtype=int)
        at_rung = np.column_stack([errors, latest[:, 1:]])[reached]
        on_front = _on_front(at_rung)
        front: np.ndarray = reached[on_front & ~went_on[reached]]
        if last:
            return front
        epoch_seconds, first_seconds = table[:, 2], table[:, 3]
        new_trial = float(np.nanmedian(first_seconds)) if not np.isnan(first_seconds).all() else math.nan
        is_quick = (self.rungs[index + 1] - self.rungs[index]) * epoch_seconds[front] <= new_trial
        further = latest[went_on & ~np.isnan(latest[:, 0])]
        is_ahead = ~self._dominated(latest[front], further[_on_front(further)], -NOISE)
        at_once = front[is_quick | is_ahead]
        costs = at_rung[:, 1:]
        best = np.concatenate(
            [
                stratum[np.argsort(at_rung[stratum, 0], kind="stable")][: len(stratum) // self.reduction]
                for stratum in self._strata(costs)
            ]
        )
        best = best[~went_on[reached[best]]]
        if costs.shape[1]:
            best = best[~self._dominated(at_rung[best], at_rung[on_front], NOISE)]
        return np.concatenate([at_once, np.setdiff1d(reached[best], at_once)])

    def _strata(self, costs: np.ndarray) -> list[np.ndarray]:
        """Divide trials into groups of similar cost, each large enough to promote two."""
        if not costs.shape[1]:
            return [np.arange(len(costs))]
        ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0).mean(axis=1)
        count = max(1, len(costs) // (2 * self.reduction))
        return list(np.array_split(np.argsort(ranks, kind="stable"), min(count, MAX_STRATA)))

    def _dominated(self, rows: np.ndarray, front: np.ndarray, margin: float) -> np.ndarray:
        """Return for each row whether a front member of at most its costs is better by more than a margin.

        rows, front: (n, 1 + costs), error and costs; margin: in standard errors of an error.
        """
        bound = rows[:, 0] - margin * self.criteria.noise(rows[:, 0])
        costs_no_more = (front[None, :, 1:] <= rows[:, None, 1:]).all(axis=2)
        return np.asarray((costs_no_more & (front[None, :, 0] < bound[:, None])).any(axis=1))


def _on_front(rows: np.ndarray) -> np.ndarray:
    """Return which rows (n, 1 + costs), error and costs, are not dominated."""
    return non_dominated(rows)


class _RowCache:
    """A table with a row of numbers for each trial; only rows of changed trials are computed again."""

    def __init__(self, row: Callable[[Trial], list[float]]) -> None:
        self._row = row
        self._trials: list[Trial] = []
        self._table = np.empty((0, 0))

    def read(self, trials: Sequence[Trial]) -> np.ndarray:
        """Return the row of each trial: (trials, numbers)."""
        cached, known = self._trials, len(self._trials)
        changed = [n for n, trial in enumerate(trials) if n >= known or cached[n] is not trial]
        rows = [self._row(trials[n]) for n in changed]
        if len(trials) > len(self._table):
            larger = np.empty((2 * len(trials), len(rows[0])))
            larger[:known] = self._table[:known] if known else larger[:0]
            self._table = larger
        if rows:
            self._table[changed] = rows
        self._trials = list(trials)
        return self._table[: len(trials)]
