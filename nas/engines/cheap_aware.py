"""The default engine: costs are known before training, so only the error is modelled.

A Gaussian process foretells the error of every candidate; with its costs known, the hypervolume that it
is expected to add to the front is then exact. It is weighed by what proposals of like cost have brought of
what was expected of them. The candidate that is expected to add most is tried next; every other time the
candidates are only those of one stratum of cost, which changes each time. Where time is what is limited,
gains are weighed by the seconds they take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engines._hindsight import Hindsight
from nas.engines._improvement import Belief, Cells, cells, expected_gain, expected_gain_at_cost
from nas.engines._pace import Pace
from nas.engines._pool import Entry, Pool, fits
from nas.engines._surrogate import ErrorModel, squared_distances
from nas.engines._viability import Viability, hopeless
from nas.engines._warp import SHIFT
from nas.space import OpenValue, Setting, all_settings, count_settings, mutate, sample
from nas.trials import Candidate, Limit, Objective, Trial

__all__ = ["Candidate", "CheapAware"]

Array = NDArray[np.float64]

FIRST = 512  # candidates described before the first proposal; a smaller space is described in full
MUTATIONS, RANDOM = 64, 32  # candidates described for each proposal
STRATIFIED = 6  # proposals spread over the costs, after the cheapest and before the model's
WEIGHED = 1500  # most candidates weighed for a proposal
LEARNT_FROM = 800  # most trials that the model learns from
EVERY = 2  # in so many proposals, one is the best of a stratum of cost, not of all
GOLDEN = 0.6180339887  # its multiples, less whole numbers, spread evenly at any count
QUICK = 0.5  # where time is limited, the first candidates are of this share, which has the fewest FLOPs
MARGIN = 0.1  # the reference point lies beyond the front by this share of its extent


class CheapAware:
    """Proposes the candidate with the greatest expected gain of hypervolume, costs on log axes.

    First come the cheapest candidates by each cost, then some spread over the costs. What still runs
    counts as if it had come out as foretold. Shorter trainings count for what they were learnt to tell.
    `seconds_left` is given where time is what is limited.
    """

    def __init__(
        self,
        open_values: Sequence[OpenValue],
        objectives: Sequence[Objective],
        describe: Callable[[Setting], Candidate],
        limits: Sequence[Limit] = (),
        seed: int = 0,
        seconds_left: Callable[[], float] | None = None,
    ) -> None:
        self._values = tuple(open_values)
        self._trained = [objective for objective in objectives if objective.trained]
        self._cheap = [objective for objective in objectives if not objective.trained]
        self._rng = np.random.default_rng(seed)
        self._pool = Pool(self._values, self._cheap, limits, describe)
        self._spent: set[str] = set()  # ids proposed or told
        self._running: dict[str, Entry] = {}
        self._believed: set[str] = set()  # of the running, those the models count on
        self._told: dict[str, Entry] = {}
        self._errors: dict[str, dict[int, list[float]]] = {}  # by id and epochs, one for each quality
        self._failed: dict[str, Entry] = {}
        self._guessing: set[str] = set()  # of those told, by id
        self._models: list[ErrorModel] = []
        self._viability: Viability | None = None  # once something came to nothing
        self._hindsight = Hindsight()
        self._pace = Pace(seconds_left) if seconds_left else None
        self._current = False  # whether the models know all that was told
        self._start: list[Entry] | None = None  # the cheapest, not proposed yet
        self._flatness: float | None = None

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that has ended; one of another space is passed over."""
        self._spent.add(trial.id)
        entry = self._pool.entry(trial.setting) if fits(self._values, trial.setting) else None
        if entry is None:
            return
        self._spent.add(entry.id)
        self._pool.free.pop(entry.id, None)
        self._running.pop(entry.id, None)
        self._current = False
        known = all(objective.name in trial.values for objective in self._trained)
        if trial.state in ("complete", "stopped") and known:
            values = [(objective.maximize, trial.values[objective.name]) for objective in self._trained]
            errors = [1.0 - value if maximize else value for maximize, value in values]
            self._told[entry.id] = entry
            self._errors.setdefault(entry.id, {})[max(1, trial.epochs)] = errors
            self._failed.pop(entry.id, None)
            if self._pace:
                self._pace.tell(entry.id, entry.flops, trial)
        elif trial.state == "failed" or not entry.excess:
            self._failed[entry.id] = entry

    def ask(self) -> Setting:
        """Propose a setting that was neither proposed nor told, while the space has one within the limits."""
        if self._start is None:
            self._start = self._begin()
        entry = self._next()
        if entry is None:
            return sample(self._values, self._rng)
        self._spent.add(entry.id)
        self._running[entry.id] = entry
        self._pool.free.pop(entry.id, None)
        return entry.setting

    def flatness(self) -> float | None:
        """Give the share of the front's hypervolume that the best candidate was expected to add.

        None before the first proposal of the model. Both volumes are taken up to the same reference
        point, so the share doesn't depend on units.
        """
        return self._flatness

    def _begin(self) -> list[Entry]:
        """Describe the first candidates and give the cheapest by each cost."""
        small = count_settings(self._values) <= FIRST
        drawn = (
            all_settings(self._values) if small else (sample(self._values, self._rng) for _ in range(FIRST))
        )
        settings: list[Setting] = list(drawn)
        self._pool.add(settings, self._spent)
        entries = [entry for entry in map(self._pool.entry, settings) if entry is not None]
        if entries:
            self._pool.standardize(entries)
        if entries and not any(not entry.excess for entry in entries):
            nearest = min(entries, key=lambda entry: entry.excess)
            entries.append(self._pool.descend([nearest], lambda entry: (entry.excess,), self._rng))
            self._pool.add([entries[-1].setting], self._spent)
        allowed = [entry for entry in entries if not entry.excess]
        start = []
        for axis in range(len(self._cheap) if allowed else 0):

            def cost(entry: Entry, axis: int = axis) -> tuple[float, ...]:
                return entry.excess, float(entry.costs[axis]), float(entry.costs.sum())

            start.append(self._pool.descend(allowed, cost, self._rng))
        return start

    def _next(self) -> Entry | None:
        while self._start:
            cheapest = self._start.pop(0)
            if cheapest.id not in self._spent:
                return cheapest
        tried = len(self._told) + len(self._running)
        if len(self._told) < 4 or tried < len(self._cheap) + STRATIFIED:
            return self._spread(tried)
        return self._best()

    def _widen(self, bases: Sequence[Setting]) -> None:
        """Describe more candidates: mutations of some settings, and random ones."""
        settings: list[Setting] = [sample(self._values, self._rng) for _ in range(RANDOM)]
        for _ in range(MUTATIONS if bases else 0):
            setting = bases[int(self._rng.integers(len(bases)))]
            for _ in range(int(self._rng.integers(1, 4))):
                setting = mutate(self._values, setting, self._rng)
            settings.append(setting)
        self._pool.add(settings, self._spent)

    def _spread(self, tried: int) -> Entry | None:
        """Take the candidate least like those tried, from a stratum of cost that changes each time."""
        if not self._pool.free:
            self._widen([entry.setting for entry in self._told.values()])
        free = list(self._pool.free.values())
        if not free:
            return None
        if self._pace and all(entry.flops for entry in free):  # those that take less time tell as much
            free = sorted(free, key=lambda entry: entry.flops)[: math.ceil(len(free) * QUICK)]
        ranks = self._rng.random(len(free))
        if self._cheap:
            costs = np.stack([entry.costs for entry in free])
            ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0).mean(axis=1)
        ordered = np.argsort(ranks, kind="stable")
        size = max(8, len(free) // 20)
        place = int((tried * GOLDEN) % 1.0 * max(1, len(free) - size))
        stratum: list[Entry] = [free[at] for at in ordered[place : place + size]]
        seen = [*self._told.values(), *self._running.values()]
        if not seen:
            return stratum[0]
        away = squared_distances(self._pool.inputs(stratum), self._pool.inputs(seen)).min(axis=1)
        return stratum[int(np.argmax(away))]

    def _best(self) -> Entry | None:
        """Take the candidate with the greatest expected gain."""
        if not self._current:
            self._learn()
            self._look_back()
        new = [name for name in self._running if name not in self._believed]
        if new:
            rows = self._pool.inputs([self._running[name] for name in new])
            for model in self._models:
                model.believe(rows)
            self._believed.update(new)
        seen = [*self._told.values(), *self._running.values()]
        points = self._points(seen)
        front = _front(points)
        self._widen([seen[at].setting for at in front])
        weighed = self._weighed()
        if not weighed:
            return None
        rows = self._pool.inputs(weighed)
        beliefs = [Belief(*model.predict(rows), SHIFT) for model in self._models]
        likely = np.ones(len(weighed), dtype=bool)
        if self._viability is not None and (found := self._viability.likely(rows)).any():
            likely = found
        costs = np.stack([entry.costs for entry in weighed])
        free = self._free(points[front], costs)
        promised = np.where(likely, expected_gain(free, beliefs, costs), 0.0)
        gains = promised * self._hindsight.trust(costs)
        self._flatness = float(gains.max() / max(free.volume, 1e-12))
        worth = np.ones(len(weighed))
        if self._pace:
            worth = self._pace.worth(np.array([entry.flops for entry in weighed]))
        gains *= worth
        self._pool.gains.update(zip((entry.id for entry in weighed), gains.tolist(), strict=True))
        self._pool.trim(2 * WEIGHED)
        turn, rest = divmod(len(self._told) + len(self._running), EVERY)
        chosen = int(np.argmax(gains))
        if self._cheap and not rest:
            at_cost = np.where(likely, self._gains_at_cost(points[front], costs, beliefs[0], turn), 0.0)
            at_cost *= worth
            chosen = int(np.argmax(at_cost)) if at_cost.any() else chosen
        entry = weighed[chosen]
        self._hindsight.promise(entry.id, entry.costs, free, float(promised[chosen]), float(promised.max()))
        return entry

    def _learn(self) -> None:
        """Fit the models to what was told; what runs is to be believed anew."""
        told = list(self._told.values())
        worst = np.array([max(self._last(entry)) for entry in told])
        guessing = hopeless(worst)
        self._guessing = {entry.id for entry, lost in zip(told, guessing, strict=True) if lost}
        told = [entry for entry in told if entry.id not in self._guessing] or told
        if len(told) > LEARNT_FROM:
            told = self._telling(told)
        inputs = self._pool.inputs(told)
        rows, lags, errors = [], [], []
        longest = max(max(by_epochs) for by_epochs in self._errors.values())
        for place, entry in enumerate(told):
            for epochs, error in self._errors[entry.id].items():
                rows.append(place)
                lags.append(np.log(longest / epochs) / np.log(max(2, longest)))
                errors.append(error)
        if not self._models:
            pool = self._pool
            self._models = [ErrorModel(pool.groups, pool.measured_groups, pool.drawn) for _ in self._trained]
        lag = np.array(lags) - min(lags)
        for model, column in zip(self._models, np.array(errors).T, strict=True):
            model.fit(inputs[rows], column, lag)
        tried = [*self._told.values(), *self._failed.values()]
        known = self._viability.trials if self._viability else 0
        if (self._failed or self._guessing) and len(tried) >= 1.05 * known:
            viable = [entry.id not in self._failed and entry.id not in self._guessing for entry in tried]
            self._viability = Viability(self._pool.inputs(tried), np.array(viable))
        self._believed.clear()
        self._current = True

    def _look_back(self) -> None:
        """Hold what has ended against what was expected of it."""
        for name in self._hindsight.ended(self._running):
            beliefs = None
            if name in self._told and name not in self._guessing:
                row = self._pool.inputs([self._told[name]])
                beliefs = [Belief(*model.predict(row), SHIFT) for model in self._models]
            self._hindsight.settle(name, beliefs)

    def _last(self, entry: Entry) -> list[float]:
        """Give the errors after the longest training."""
        by_epochs = self._errors[entry.id]
        return by_epochs[max(by_epochs)]

    def _telling(self, told: list[Entry]) -> list[Entry]:
        """Choose the trials that say most about the front: those nearest to it, and others evenly."""
        import moocore

        last = np.array([self._last(entry) for entry in told])
        ranks = moocore.pareto_rank(np.column_stack([last, [entry.costs for entry in told]]))
        ordered = np.argsort(ranks, kind="stable")
        near = LEARNT_FROM * 3 // 4
        others = np.linspace(near, len(told) - 1, LEARNT_FROM - near).astype(np.intp)
        return [told[at] for at in sorted({*ordered[:near].tolist(), *ordered[others].tolist()})]

    def _points(self, entries: Sequence[Entry]) -> Array:
        """Give the errors that are believed and the costs: (entries, objectives), to be minimized."""
        rows = self._pool.inputs(entries)
        errors = np.column_stack([np.exp(model.predict(rows)[0]) - SHIFT for model in self._models])
        for place, entry in enumerate(entries):
            if entry.id in self._guessing:
                errors[place] = self._last(entry)
        return np.column_stack([errors, np.stack([entry.costs for entry in entries])])

    def _weighed(self) -> list[Entry]:
        """Choose the candidates to weigh: new ones, those that promised most, and some by chance."""
        pool = self._pool
        names = list(pool.free)
        if len(names) > WEIGHED:
            ranked = sorted(names, key=lambda name: -pool.gains.get(name, np.inf))
            rest = ranked[WEIGHED * 3 // 4 :]
            lucky = self._rng.choice(len(rest), WEIGHED // 4, replace=False)
            names = [*ranked[: WEIGHED * 3 // 4], *(rest[at] for at in lucky)]
        return [pool.free[name] for name in names]

    def _free(self, front: Array, costs: Array) -> Cells:
        """Cut what the front leaves undominated, up to a reference point beyond it and all costs."""
        best, worst = front.min(axis=0), front.max(axis=0)
        qualities = len(self._trained)
        worst[qualities:] = np.maximum(worst[qualities:], costs.max(axis=0))
        return cells(front, worst + MARGIN * np.maximum(worst - best, 1e-3))

    def _gains_at_cost(self, front: Array, costs: Array, belief: Belief, turn: int) -> Array:
        """Give the expected gain in the first quality of the candidates in a stratum; elsewhere nothing.

        The strata take turns, by each cost evenly over its logarithm, so that no range of costs is left
        out for long, even where the hypervolume gives it little weight or the model is wrong.
        """
        axis, qualities = turn % costs.shape[1], len(self._trained)
        column = front[:, qualities + axis]
        low, high = column.min(), max(column.max(), np.quantile(costs[:, axis], 0.9))
        middle = low + turn * GOLDEN % 1.0 * (high - low)
        near = np.argsort(np.abs(costs[:, axis] - middle), kind="stable")[: max(16, len(costs) // 10)]
        points = np.column_stack([front[:, 0], front[:, qualities:]])
        chosen = Belief(belief.mean[near], belief.deviation[near], belief.shift)
        gains = np.zeros(len(costs))
        worst = (1.0 + MARGIN) * float(front[:, 0].max())
        gains[near] = expected_gain_at_cost(points, worst, chosen, costs[near])
        return gains


def _front(points: Array) -> list[int]:
    import moocore

    return [int(at) for at in np.flatnonzero(moocore.is_nondominated(points))]
