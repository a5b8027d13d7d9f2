"""Which trials are worth training further: asynchronous successive halving that respects the front.

Successive halving (ASHA, arXiv:1810.05934) keeps the best of those trained equally long. With several
objectives "best" needs care: networks are compared with networks of like cost, so that a small one is
not ended by a large one's accuracy; and one that something no dearer beats at equal epochs is not
promoted, so that tiny ones don't go on just for being tiny. Once no new candidates come, the front at each
rung is trained on to the full length, so that what is handed over was trained in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.pareto import non_dominated
from nas.trial import Objective, Trial

__all__ = ["Halving", "rungs"]


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
        chosen: list[int] = []
        for place in range(len(self.rungs) - 2, -1, -1):
            chosen += self._at(trials, self.rungs[place], busy, last)
        return chosen

    def _at(self, trials: Sequence[Trial], rung: int, busy: frozenset[int], last: bool) -> list[int]:
        reached = [
            (trial, quality)
            for trial in trials
            if trial.state in ("stopped", "complete") and (quality := self._quality(trial, rung)) is not None
        ]
        if not reached:
            return []
        qualities = np.array([quality for _, quality in reached])
        costs = self._costs([trial for trial, _ in reached])
        gone = np.array([trial.epochs > rung or trial.number in busy for trial, _ in reached])
        if last:
            front = non_dominated(np.column_stack([-qualities, costs]))
            return [trial.number for row, (trial, _) in enumerate(reached) if front[row] and not gone[row]]
        chosen: list[int] = []
        for stratum in self._strata(costs):
            allowed = len(stratum) // self.reduction
            best = stratum[np.argsort(-qualities[stratum], kind="stable")][:allowed]
            chosen += [
                reached[row][0].number
                for row in best
                if not gone[row] and not self._beaten(row, qualities, costs)
            ]
        return chosen

    def _quality(self, trial: Trial, rung: int) -> float | None:
        """Give the trial's mean quality over the trained objectives at a rung, from its curve."""
        names = [objective.name for objective in self.objectives if objective.trained]
        for epoch in trial.curve:
            if epoch.get("epoch") == rung:
                return float(np.mean([epoch[f"val_{name}"] for name in names]))
        return None

    def _costs(self, trials: Sequence[Trial]) -> np.ndarray:
        names = [objective.name for objective in self.objectives if not objective.trained]
        rows = [[np.log(max(trial.values.get(name, 1.0), 1e-12)) for name in names] for trial in trials]
        return np.array(rows).reshape(len(trials), len(names))

    def _strata(self, costs: np.ndarray) -> list[np.ndarray]:
        """Cut the trials into groups of like cost, each large enough to promote two."""
        if not costs.shape[1]:
            return [np.arange(len(costs))]
        ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0).mean(axis=1)
        count = max(1, len(costs) // (2 * self.reduction))
        return list(np.array_split(np.argsort(ranks, kind="stable"), min(count, 8)))

    def _beaten(self, row: int, qualities: np.ndarray, costs: np.ndarray) -> bool:
        """Say whether a trial no dearer in any cost was better by more than the noise at equal epochs."""
        if not costs.shape[1]:
            return False
        share = float(np.clip(qualities[row], 0.02, 0.98))
        noise = 2.0 * np.sqrt(share * (1 - share) / self.examples)
        no_dearer = (costs <= costs[row]).all(axis=1)
        return bool((no_dearer & (qualities > qualities[row] + noise)).any())
