"""Observations of earlier searches improve the model, and change nothing else."""

from __future__ import annotations

from collections.abc import Callable

import moocore
import numpy as np
import pytest
from toy_engine_space import ACCURACY, VALUES, accuracy, describe, run_engine

from nas.engines import create_engine
from nas.engines._candidate_pool import CandidatePool
from nas.engines._earlier_trials import EarlierTrials
from nas.engines.cheap_aware import CheapAware
from nas.space import Setting, sample
from nas.trials import Criteria, EarlierSearch, Objective, Observation

CRITERIA = Criteria((ACCURACY, Objective("params"), Objective("flops")))


def settings(count: int, seed: int = 0) -> list[Setting]:
    rng = np.random.default_rng(seed)
    return [sample(VALUES, rng) for _ in range(count)]


def earlier(
    same_data: bool, quality: Callable[[Setting], float] = accuracy, count: int = 40, epochs: int = 10
) -> EarlierSearch:
    observations = [
        Observation(setting, epochs, {"accuracy": quality(setting)}) for setting in settings(count)
    ]
    return EarlierSearch("first", count, same_data, tuple(observations))


def make_engine(*searches: EarlierSearch, seed: int = 0) -> CheapAware:
    return CheapAware(VALUES, CRITERIA, describe, (), seed, earlier=searches)


def best_accuracy(engine: CheapAware, trials: int) -> float:
    return max(accuracy(setting) for setting in run_engine(engine, trials))


def volume(engine: CheapAware, trials: int) -> float:
    found = run_engine(engine, trials)
    rows = [[1 - accuracy(s), *(np.log(describe(s).costs[c]) for c in ("params", "flops"))] for s in found]
    return float(moocore.hypervolume(np.array(rows), ref=np.array([1.0, 13.0, 14.0])))


def test_trials_on_the_same_data_replace_the_space_filling_design() -> None:
    cold = [volume(make_engine(seed=seed), 8) for seed in range(4)]
    warm = [volume(make_engine(earlier(True), seed=seed), 8) for seed in range(4)]
    assert np.mean(warm) > np.mean(cold)
    engine = make_engine(earlier(True))
    run_engine(engine, 3)  # the cheapest by each cost, then the first by the model
    assert engine.flatness() is not None


def test_observed_settings_stay_available() -> None:
    """The space has 88 networks: all are proposed, those of the earlier search as well."""
    engine = make_engine(earlier(True))
    ids = {describe(setting).id for setting in run_engine(engine, 30)}
    assert ids & {describe(setting).id for setting in settings(40)}


@pytest.mark.parametrize("same_data", [True, False])
def test_the_front_has_only_trials_of_this_search(same_data: bool) -> None:
    """A perfect network of the earlier search would otherwise leave nothing to gain."""
    engine = make_engine(earlier(same_data, lambda setting: 0.2 + 0.8 * accuracy(setting)))
    run_engine(engine, 12)
    assert engine.flatness()
    engine.ask()
    assert len(engine._observed) == len({entry.id for entry in engine._observed.values()}) <= 12


def test_other_data_with_other_accuracies_tells_which_networks_are_good() -> None:
    """The accuracies are rescaled and noisy; those of another search are on a third scale."""
    rng = np.random.default_rng(3)

    def rescaled(low: float, high: float) -> Callable[[Setting], float]:
        return lambda setting: (
            low + (high - low) * accuracy(setting) + float(rng.normal(0, 0.02 * (high - low)))
        )

    searches = earlier(False, rescaled(0.3, 0.6)), earlier(False, rescaled(0.9, 0.99))
    unseen = settings(60, seed=9)

    def correlation(engine: CheapAware) -> float:
        run_engine(engine, 10)
        engine._fit()
        inputs = engine._pool.inputs([engine._pool.entry(setting) for setting in unseen])
        predicted = engine._models[0].predict(inputs)[0]
        return float(np.corrcoef(predicted, [-accuracy(setting) for setting in unseen])[0, 1])

    assert correlation(make_engine(*searches)) > max(0.9, correlation(make_engine()))


def test_settings_of_another_space_are_left_out() -> None:
    found = [Observation({"other": 1}, 10, {"accuracy": 0.5})]
    found += [Observation(s, 10, {"accuracy": 0.6}) for s in settings(3, seed=1)]
    for same_data in (True, False):
        pool = CandidatePool(VALUES, CRITERIA.costs, (), describe)
        trials = EarlierTrials([EarlierSearch("first", 4, same_data, tuple(found))], VALUES, CRITERIA, pool)
        assert len(trials.same) == (3 if same_data else 0)
        assert [len(entries) for entries, _ in trials.other] == ([] if same_data else [3])


def test_the_model_has_a_source_for_each_search_on_other_data() -> None:
    pool = CandidatePool(VALUES, CRITERIA.costs, (), describe)
    searches = [earlier(False, count=5), earlier(True, count=6), earlier(False, count=7)]
    trials = EarlierTrials(searches, VALUES, CRITERIA, pool)
    inputs = pool.inputs([entry for entry, _, _ in trials.same])
    levels = CRITERIA.level(np.array([errors for _, _, errors in trials.same]))
    inputs, levels, lags, sources = trials.add_other(pool, inputs, levels, np.zeros(6))
    assert len(inputs) == len(levels) == 18
    assert np.bincount(sources).tolist() == [6, 5, 7]
    assert (lags == (sources > 0)).all()
    for source in (1, 2):
        assert np.median(levels[sources == source]) == pytest.approx(np.median(levels[sources == 0]))


def test_the_default_engine_is_created_with_earlier_searches() -> None:
    engine = create_engine("cheap-aware", VALUES, CRITERIA, (), describe, earlier=[earlier(True)])
    assert isinstance(engine, CheapAware)
    assert len(engine._earlier.same) == 40
