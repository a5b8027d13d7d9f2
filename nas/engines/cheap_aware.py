"""The default engine: costs are known before training, so only the error is modelled.

A Gaussian process predicts the error of every candidate. With the costs known, the expected hypervolume
improvement is then exact: errors count by their logarithm up to the quality floor, costs by their logarithm.
The engine proposes the candidate with the greatest expected gain. Where a search is limited by time, gains
are weighted by training time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engines._candidate_pool import CandidatePool, PoolEntry, is_in_space
from nas.engines._cost_cooling import CostCooling
from nas.engines._earlier_trials import EarlierTrials
from nas.engines._expected_improvement import (
    Boxes,
    ErrorPosterior,
    decompose,
    expected_hypervolume_improvement,
)
from nas.engines._feasibility import FeasibilityModel, at_chance_level
from nas.engines._gaussian_process import ErrorModel
from nas.engines._initial_design import cheapest_candidates, fastest_share, space_filling_candidate
from nas.space import OpenValue, Setting, count_settings, iterate_settings, mutate, sample
from nas.trials import Candidate, Criteria, EarlierSearch, Limit, Trial

__all__ = ["CheapAware"]

Array = NDArray[np.float64]

INITIAL_CANDIDATES = 512  # described before the first proposal; a smaller space is described in full
MUTATIONS, RANDOM = 64, 32  # candidates described for each proposal
SPACE_FILLING = 6  # proposals of the space-filling design, after the cheapest and before the model's
MIN_OBSERVED = 4  # trials that the model needs
MAX_SCORED = 1500  # candidates scored for a proposal
MAX_FITTED_TRIALS = 800  # trials that the model is fitted to
MIN_FEASIBILITY = 0.75  # probability that a candidate is feasible below which it brings no gain
REFERENCE_MARGIN = 0.1  # distance of the reference point beyond the front, as a share of the front's extent


class CheapAware:
    """Proposes the candidate with the greatest expected hypervolume improvement, costs on log axes.

    The initial design is a space-filling sample over the whole range of costs. Running trials are
    imputed with the predicted mean. Short trainings are observations at another fidelity.
    """

    def __init__(
        self,
        open_values: Sequence[OpenValue],
        criteria: Criteria,
        describe: Callable[[Setting], Candidate],
        limits: Sequence[Limit] = (),
        seed: int = 0,
        seconds_left: Callable[[], float] | None = None,
        earlier: Sequence[EarlierSearch] = (),
    ) -> None:
        """Set the space and the criteria.

        describe: returns the id, costs and features of a setting before training.
        seconds_left: returns the remaining seconds of a search that is limited by time, else None.
        earlier: observations for the models only; their settings are proposed like any other.
        """
        self._values = tuple(open_values)
        self._criteria = criteria
        self._trained, self._cheap = criteria.qualities, criteria.costs
        self._rng = np.random.default_rng(seed)
        self._pool = CandidatePool(self._values, self._cheap, limits, describe)
        self._earlier = EarlierTrials(earlier, self._values, criteria, self._pool)
        self._excluded: set[str] = set()  # ids that were proposed or observed
        self._running: dict[str, PoolEntry] = {}
        self._imputed: set[str] = set()  # ids of the running candidates that the models include
        self._observed: dict[str, PoolEntry] = {}
        self._errors: dict[str, dict[int, list[float]]] = {}  # by id and epochs, one for each quality
        self._failed: dict[str, PoolEntry] = {}
        self._below_floor: set[str] = set()  # ids of candidates that were below it at equal epochs
        self._models: list[ErrorModel] = []  # one for each quality
        self._feasibility: FeasibilityModel | None = None  # once a trial was infeasible
        self._cooling = CostCooling(seconds_left) if seconds_left else None
        self._is_fitted = False  # whether the models include all observations
        self._first: list[PoolEntry] | None = None  # to propose before any other
        self._flatness: float | None = None

    def tell(self, trial: Trial) -> None:
        """Observe a trial that has ended; a setting of another space is ignored.

        Candidates are identified by the id of `describe`, which distinguishes designs: `trial.id` is that of
        the architecture alone, and other designs with the same architecture must stay available.
        """
        entry = self._pool.entry(trial.setting) if is_in_space(self._values, trial.setting) else None
        if entry is None:
            return
        self._excluded.add(entry.id)
        self._pool.available.pop(entry.id, None)
        self._running.pop(entry.id, None)
        self._is_fitted = False
        has_quality = all(objective.name in trial.values for objective in self._trained)
        if trial.state in ("complete", "stopped") and has_quality:
            errors = [objective.error(trial.values[objective.name]) for objective in self._trained]
            self._observed[entry.id] = entry
            self._errors.setdefault(entry.id, {})[max(1, trial.epochs)] = errors
            self._failed.pop(entry.id, None)
            if self._cooling:
                self._cooling.observe(entry.id, entry.flops, trial)
        elif trial.state == "failed" or not entry.excess:
            self._failed[entry.id] = entry

    def ask(self) -> Setting:
        """Propose a setting that is new and within the limits; a random one if none is left."""
        if self._first is None:
            self._first = self._start()
        entry = self._next()
        if entry is None:
            return sample(self._values, self._rng)
        self._excluded.add(entry.id)
        self._running[entry.id] = entry
        self._pool.available.pop(entry.id, None)
        return entry.setting

    def flatness(self) -> float | None:
        """Return the share of the front's hypervolume that the best candidate was expected to add.

        None before the first proposal of the model. Both volumes have the same reference point, so the share
        doesn't depend on units.
        """
        return self._flatness

    def sample_levels(self, settings: Sequence[Setting], count: int) -> Array | None:
        """Draw the levels of the first quality's error at settings from the posterior: (count, settings).

        None while too few trials are observed.
        """
        if self._first is None:
            self._first = self._start()
        if len(self._observed) < MIN_OBSERVED:
            return None
        if not self._is_fitted:
            self._fit()
        entries = [self._pool.entry(setting) for setting in settings]
        inputs = self._pool.inputs([entry for entry in entries if entry is not None])
        return self._models[0].sample(inputs, count, self._rng)

    def _start(self) -> list[PoolEntry]:
        """Describe the initial candidates and return those to propose first.

        Without a quality floor these are the cheapest by each cost, which are on the front anyway.
        """
        small = count_settings(self._values) <= INITIAL_CANDIDATES
        drawn = (
            iterate_settings(self._values)
            if small
            else (sample(self._values, self._rng) for _ in range(INITIAL_CANDIDATES))
        )
        settings: list[Setting] = list(drawn)
        self._pool.add(settings, self._excluded)
        entries = [entry for entry in map(self._pool.entry, settings) if entry is not None]
        if entries:
            self._pool.standardize(entries)
        if entries and all(entry.excess for entry in entries):
            nearest = min(entries, key=lambda entry: entry.excess)
            entries.append(self._pool.minimize([nearest], lambda entry: (entry.excess,), self._rng))
            self._pool.add([entries[-1].setting], self._excluded)
        if self._criteria.has_floor:
            return []
        return cheapest_candidates(self._pool, [entry for entry in entries if not entry.excess], self._rng)

    def _next(self) -> PoolEntry | None:
        while self._first:
            first = self._first.pop(0)
            if first.id not in self._excluded:
                return first
        tried = len(self._observed) + len(self._running) + len(self._failed)
        needed = 1 if self._earlier.same else MIN_OBSERVED
        filling = 0 if self._earlier else SPACE_FILLING
        if len(self._observed) < needed or tried < len(self._cheap) + filling:
            return self._space_filling()
        return self._largest_gain()

    def _space_filling(self) -> PoolEntry | None:
        if not self._pool.available:
            self._extend_pool([entry.setting for entry in self._observed.values()])
        entries: Sequence[PoolEntry] = list(self._pool.available.values())
        if not entries:
            return None
        if self._cooling:
            entries = fastest_share(entries)
        tried = [*self._observed.values(), *self._running.values(), *self._failed.values()]
        return space_filling_candidate(self._pool, entries, tried, self._rng)

    def _largest_gain(self) -> PoolEntry | None:
        """Return the candidate with the greatest expected gain."""
        if not self._is_fitted:
            self._fit()
        self._impute_running()
        tried = [*self._observed.values(), *self._running.values()]
        tried = [entry for entry in tried if entry.id not in self._below_floor] or tried
        points = self._points(tried)
        on_front = _non_dominated(points)
        front = points[on_front]
        self._extend_pool([tried[index].setting for index in on_front])
        entries = self._candidates()
        if not entries:
            return None
        inputs = self._pool.inputs(entries)
        posteriors = [ErrorPosterior(*model.predict(inputs)) for model in self._models]
        costs = np.stack([entry.costs for entry in entries])
        boxes = self._decompose(front, costs)
        gains = expected_hypervolume_improvement(boxes, posteriors, costs)
        if self._feasibility is not None:
            probable = self._feasibility.predict(inputs)
            gains *= probable >= min(MIN_FEASIBILITY, probable.max())
        self._flatness = float(gains.max() / max(boxes.volume, 1e-12))
        if self._cooling:
            gains *= self._cooling.weights(np.array([entry.flops for entry in entries]))
        self._pool.gains.update(zip((entry.id for entry in entries), gains.tolist(), strict=True))
        self._pool.trim(2 * MAX_SCORED)
        return entries[int(np.argmax(gains))]

    def _extend_pool(self, bases: Sequence[Setting]) -> None:
        """Describe more candidates: mutations of the base settings, and random ones."""
        settings: list[Setting] = [sample(self._values, self._rng) for _ in range(RANDOM)]
        for _ in range(MUTATIONS if bases else 0):
            setting = bases[int(self._rng.integers(len(bases)))]
            for _ in range(int(self._rng.integers(1, 4))):
                setting = mutate(self._values, setting, self._rng)
            settings.append(setting)
        self._pool.add(settings, self._excluded)

    def _candidates(self) -> list[PoolEntry]:
        """Select the candidates to score: new ones, those of the greatest last gain, and a random sample."""
        pool = self._pool
        names = list(pool.available)
        if len(names) > MAX_SCORED:
            ranked = sorted(names, key=lambda name: -pool.gains.get(name, np.inf))
            rest = ranked[MAX_SCORED * 3 // 4 :]
            drawn = self._rng.choice(len(rest), MAX_SCORED // 4, replace=False)
            names = [*ranked[: MAX_SCORED * 3 // 4], *(rest[index] for index in drawn)]
        return [pool.available[name] for name in names]

    def _fit(self) -> None:
        """Fit the models to all observations; the running trials have to be imputed again."""
        observed = list(self._observed.values())
        self._below_floor = self._find_below_floor()
        if len(observed) > MAX_FITTED_TRIALS:
            observed = self._informative_trials(observed)
        observations = [
            *((entry, *one) for entry in observed for one in self._errors[entry.id].items()),
            *self._earlier.same,
        ]
        max_epochs = max(epochs for _, epochs, _ in observations)
        lags = np.array([np.log(max_epochs / e) / np.log(max(2, max_epochs)) for _, e, _ in observations])
        inputs, levels, lags, sources = self._earlier.add_other(
            self._pool,
            self._pool.inputs([entry for entry, _, _ in observations]),
            self._criteria.level(np.array([errors for _, _, errors in observations])),
            lags,
        )
        if not self._models:
            pool = self._pool
            self._models = [ErrorModel(pool.groups, pool.covariate_groups, pool.drawn) for _ in self._trained]
        for model, column in zip(self._models, levels.T, strict=True):
            model.fit(inputs, column, lags, sources)
        self._fit_feasibility()
        self._imputed.clear()
        self._is_fitted = True

    def _fit_feasibility(self) -> None:
        """Fit the classifier once a trial was infeasible, and again after 5 % more trials."""
        tried = [*self._observed.values(), *self._failed.values()]
        fitted = self._feasibility.trials if self._feasibility else 0
        if (self._failed or self._below_floor) and len(tried) >= 1.05 * fitted:
            infeasible = self._failed.keys() | self._below_floor
            feasible = [entry.id not in infeasible for entry in tried]
            self._feasibility = FeasibilityModel(self._pool.inputs(tried), np.array(feasible))

    def _find_below_floor(self) -> set[str]:
        """Return the ids of observed candidates that are below the quality floor at their latest epochs.

        Halving promotes none of them, so they bring no gain, whatever the model predicts at full length.
        Without a floor these are the candidates at chance level.
        """
        best: dict[int, float] = {}
        for by_epochs in self._errors.values():
            for epochs, errors in by_epochs.items():
                best[epochs] = min(errors[0], best.get(epochs, errors[0]))
        latest = {name: max(by_epochs) for name, by_epochs in self._errors.items()}
        found = np.array([self._errors[name][epochs][0] for name, epochs in latest.items()])
        if not self._criteria.has_floor:
            below = at_chance_level(found)
        else:
            least = min(best.values())
            floors = {
                epochs: self._criteria.floor_at(rung_least, least) for epochs, rung_least in best.items()
            }
            below = found > np.array([floors[epochs] for epochs in latest.values()])
        return {name for name, is_below in zip(latest, below, strict=True) if is_below}

    def _impute_running(self) -> None:
        """Impute running trials with the predicted mean."""
        new = [name for name in self._running if name not in self._imputed]
        if new:
            rows = self._pool.inputs([self._running[name] for name in new])
            for model in self._models:
                model.impute(rows)
            self._imputed.update(new)

    def _latest_errors(self, entry: PoolEntry) -> list[float]:
        """Return the errors after the longest training."""
        by_epochs = self._errors[entry.id]
        return by_epochs[max(by_epochs)]

    def _informative_trials(self, observed: list[PoolEntry]) -> list[PoolEntry]:
        """Select the trials that the models are fitted to: those nearest to the front, and others evenly."""
        import moocore

        errors = np.array([self._latest_errors(entry) for entry in observed])
        ranks = moocore.pareto_rank(np.column_stack([errors, [entry.costs for entry in observed]]))
        order = np.argsort(ranks, kind="stable")
        near = MAX_FITTED_TRIALS * 3 // 4
        others = np.linspace(near, len(observed) - 1, MAX_FITTED_TRIALS - near).astype(np.intp)
        return [observed[index] for index in sorted({*order[:near].tolist(), *order[others].tolist()})]

    def _points(self, entries: Sequence[PoolEntry]) -> Array:
        """Return the posterior mean levels and the costs: (entries, objectives), all minimized."""
        inputs = self._pool.inputs(entries)
        levels = np.column_stack([model.predict(inputs)[0] for model in self._models])
        return np.column_stack([levels, np.stack([entry.costs for entry in entries])])

    def _decompose(self, front: Array, costs: Array) -> Boxes:
        """Return the non-dominated space up to a reference point.

        It is at the quality floor, or beyond the front where there is none, and beyond all costs.
        """
        best, worst = front.min(axis=0), front.max(axis=0)
        qualities = len(self._trained)
        worst[qualities:] = np.maximum(worst[qualities:], costs.max(axis=0))
        reference = worst + REFERENCE_MARGIN * np.maximum(worst - best, 1e-3)
        least = float(np.exp(best[0]) - self._criteria.resolution)
        reference[0] = min(reference[0], float(self._criteria.level(self._criteria.floor(least))))
        return decompose(front, reference)


def _non_dominated(points: Array) -> list[int]:
    import moocore

    return [int(index) for index in np.flatnonzero(moocore.is_nondominated(points))]
