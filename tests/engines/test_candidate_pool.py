from __future__ import annotations

import numpy as np
from toy_engine_space import VALUES, describe

from nas.engines._candidate_pool import CandidatePool, is_in_space
from nas.space import OpenValue, Setting, is_active, sample
from nas.trials import Candidate, Limit, Objective


def test_inputs_are_the_covariates_that_vary_over_the_initial_candidates() -> None:
    features = [{"conv": 3.0, "input": 1.0}, {"conv": 1.0, "input": 1.0, "pool": 2.0}, {"input": 1.0}]
    values = (OpenValue("kind", ("a", "b", "c")),)

    def describe_kind(setting: Setting) -> Candidate:
        index = "abc".index(str(setting["kind"]))
        return Candidate(str(index), {"params": 10.0**index, "flops": 5.0}, features[index])

    pool = CandidatePool(values, (Objective("params"),), (), describe_kind)
    entries = [entry for kind in "abc" if (entry := pool.entry({"kind": kind})) is not None]
    pool.standardize(entries)
    covariates = pool.inputs(entries)[:, np.isin(pool.groups, pool.covariate_groups)]
    raw = np.array([[3, 0, 0], [1, np.log(10), 2], [0, np.log(100), 0]])  # conv, log params, pool
    np.testing.assert_allclose(covariates, (raw - raw.mean(axis=0)) / raw.std(axis=0))


def test_available_candidates_are_within_the_limits_and_not_excluded() -> None:
    rng = np.random.default_rng(0)
    settings = [sample(VALUES, rng) for _ in range(200)]
    limit = Limit("params", 3000.0)
    pool = CandidatePool(VALUES, (Objective("params"),), (limit,), describe)
    excluded = {describe(settings[0]).id}
    pool.add(settings, excluded)
    within = {describe(s).id for s in settings if not limit.excess(describe(s).costs)}
    assert set(pool.available) == within - excluded


def test_trim_keeps_the_candidates_of_the_greatest_gain() -> None:
    rng = np.random.default_rng(1)
    pool = CandidatePool(VALUES, (), (), describe)
    pool.add([sample(VALUES, rng) for _ in range(400)], set())
    names = list(pool.available)
    pool.gains.update({name: float(rank) for rank, name in enumerate(names)})
    pool.trim(len(names) // 2)
    assert set(pool.available) == set(names)  # not twice as many
    pool.trim(20)
    assert set(pool.available) == set(pool.gains) == set(names[-20:])


def test_a_setting_in_the_space_has_the_active_values_and_no_others() -> None:
    setting = {"depth": 1, "conv.1": "small", "width": 8}
    assert is_in_space(VALUES, setting)
    assert {value.name for value in VALUES if is_active(value, setting)} == set(setting)
    assert not is_in_space(VALUES, {**setting, "conv.2": "small"})
    assert not is_in_space(VALUES, {**setting, "width": 9})
    assert not is_in_space(VALUES, {"depth": 1, "width": 8})
