"""Simulated searches on a tabular benchmark, and their score."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import moocore
import numpy as np
from _samplers import Sampler, start

from nas.searching.halving import Halving
from nas.space import Setting
from nas.testing.tabular_benchmark import TabularBenchmark
from nas.trials import Trial

__all__ = ["SCORES", "Run", "simulate"]

SCORES = ("all", "useful")
GUESSING_ERROR = 0.9  # of ten classes
ERROR_RESOLUTION = 1e-4  # error that is added before the logarithm: one of 10,000 test images

REDUCTION = 4  # 1 in N short trainings is promoted
MAX_REPEATS = 50  # consecutive proposals of known settings; then one is drawn at random


class Score:
    """The hypervolume of rows of a table, as a share of that of all rows.

    A score is one of SCORES. "all": the error on a linear axis, costs on log axes; ideal and nadir of the
    exact front are 0 and 1. "useful": the error and the costs on log axes; the least error of the table is 0,
    and the floor, its geometric mean with the error of guessing, is 1 and the reference. The costs extend
    over the members of the exact front that are better than the floor. Other references are 1.1.
    """

    def __init__(self, table: TabularBenchmark, name: str) -> None:
        costs = np.stack([table.column(cost) for cost in table.costs], axis=1)
        errors = 1.0 - table.column("test_accuracy")
        points = np.column_stack([errors, np.log(np.maximum(costs, 1e-12))])
        self._reference = np.full(points.shape[1], 1.1)
        if name == "useful":
            floor = float(np.log(np.sqrt(GUESSING_ERROR * errors.min()) + ERROR_RESOLUTION))
            points[:, 0] = np.log(errors + ERROR_RESOLUTION)
            self._reference[0] = 1.0
        front = points[moocore.is_nondominated(points)]
        if name == "useful":
            front = front[front[:, 0] < floor]
        ideal, nadir = front.min(axis=0), front.max(axis=0)
        if name == "useful":
            nadir[0] = floor
        self._points = (points - ideal) / np.where(nadir > ideal, nadir - ideal, 1.0)
        self._exact = moocore.hypervolume(self._points, ref=self._reference)

    def __call__(self, rows: Sequence[int]) -> float:
        if not len(rows):
            return 0.0
        found = moocore.hypervolume(self._points[list(rows)], ref=self._reference)
        return float(found / self._exact)


@dataclass(frozen=True)
class Run:
    """One simulated search."""

    table: Path
    costs: tuple[str, ...]
    sampler: str
    head_start: bool
    trials: int
    seed: int
    workers: int = 1
    fidelity: str = "full"


def head(table: TabularBenchmark, seed: int) -> list[Setting]:
    """Return the cheapest architecture by each cost; ties are broken at random."""
    rng = np.random.default_rng(seed)
    cheapest = []
    for cost in table.costs:
        column = table.column(cost)
        cheapest.append(table.setting(int(rng.choice(np.flatnonzero(column == column.min())))))
    return cheapest


class Simulation:
    """A search on a simulated clock: workers train in parallel, and proposals take no time."""

    def __init__(self, run: Run) -> None:
        self.table = TabularBenchmark(run.table, run.costs)
        self.run = run
        self.rng = np.random.default_rng([run.seed, 1])
        first = head(self.table, run.seed) if run.head_start else []
        self.sampler: Sampler = start(run.sampler, self.table, run.seed, first)
        self.rows: list[int] = []  # trained to full length, in order of completion
        self.busy: list[tuple[float, int, int, bool]] = []  # end, number, row, whether proposed
        self.observed: dict[int, Trial] = {}
        self.clock = 0.0
        self.started = 0

    def seconds(self, row: int) -> float:
        """Return the duration of a training: proportional to the FLOPs if known, with random noise."""
        has_flops = "flops" in self.table.cost_names
        work = 1.0
        if has_flops:
            work = float(self.table.column("flops")[row] / self.table.column("flops").mean())
        return (0.2 + work) * float(self.rng.lognormal(0.0, 0.1))

    def propose(self) -> tuple[int, bool] | None:
        """Return a new row and whether the sampler proposed it; None if the sampler has to wait."""
        running = {row for _, _, row, _ in self.busy}
        for _ in range(MAX_REPEATS):
            setting = self.sampler.ask()
            if setting is None:
                return None
            row = self.table.row(setting)
            if row is None:
                self.sampler.tell(self.table.trial(self.started, setting))
            elif row in self.observed:
                self.sampler.tell(replace(self.observed[row], setting=setting))
            elif row in running:
                self.sampler.tell(Trial(self.started, setting, "", "failed", reason="it is running"))
            else:
                return row, True
        free = np.setdiff1d(np.arange(len(self.table.rows)), [*self.observed, *running])
        return int(self.rng.choice(free)), False

    def search(self) -> list[int]:
        """Train the run's number of distinct architectures."""
        total = min(self.run.trials, len(self.table.rows))
        while len(self.rows) < total:
            while len(self.busy) < self.run.workers and self.started < total:
                proposed = self.propose()
                if proposed is None:
                    break
                row, by_sampler = proposed
                heapq.heappush(self.busy, (self.clock + self.seconds(row), self.started, row, by_sampler))
                self.started += 1
            self.clock, number, row, by_sampler = heapq.heappop(self.busy)
            self.observed[row] = self.table.trial(number, self.table.setting(row))
            self.rows.append(row)
            if by_sampler:
                self.sampler.tell(self.observed[row])
        return self.rows

    def search_low(self) -> list[tuple[float, int]]:
        """Train short first and promote by successive halving; return (cost in full trainings, row).

        The rest of the budget is spent on the front of the short trainings.
        """
        table, budget = self.table, float(self.run.trials)
        short = table.low_epochs / table.full_epochs
        halving = Halving(
            (table.low_epochs, table.full_epochs), REDUCTION, replace(table.criteria, examples=10_000)
        )
        trials: list[Trial] = []
        ended: list[tuple[float, int]] = []
        spent = 0.0
        while spent < budget and len(trials) < len(table.rows):
            remaining = halving.promotable(trials, last=True)
            promoted = remaining if spent + len(remaining) + short > budget else halving.promotable(trials)
            if promoted:
                number = promoted[0]
                trials[number] = table.trial(number, trials[number].setting)
                spent += 1.0
                row = table.row(trials[number].setting)
                ended += [(spent, row)] if row is not None else []
            else:
                proposed = self.propose()
                if proposed is None:
                    break
                number, row = len(trials), proposed[0]
                trials.append(table.trial(number, table.setting(row), low=True))
                spent += short
                self.observed[row] = trials[number]
            self.sampler.tell(trials[number])
        return [(when, row) for when, row in ended if when <= budget]


def simulate(run: Run) -> dict[str, list[float]]:
    """Return each score after each trial, or, with short trainings, after the cost of each full training."""
    os.environ["OMP_NUM_THREADS"] = "1"
    simulation = Simulation(run)
    if run.fidelity == "low":
        ended = simulation.search_low()
        found = [[row for when, row in ended if when <= count] for count in range(1, run.trials + 1)]
    else:
        rows = simulation.search()
        found = [rows[:count] for count in range(1, len(rows) + 1)]
    scores = {name: Score(simulation.table, name) for name in SCORES}
    return {name: [score(trained) for trained in found] for name, score in scores.items()}
