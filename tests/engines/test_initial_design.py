from __future__ import annotations

import numpy as np
import pytest
from toy_engine_space import VALUES, describe, make_engine, run_engine, shared_table

from nas.engines._candidate_pool import CandidatePool
from nas.engines._initial_design import fastest_share, space_filling_candidate
from nas.engines.cheap_aware import CheapAware
from nas.space import sample
from nas.trials import Objective


def test_the_first_proposals_are_the_cheapest_by_each_cost() -> None:
    proposed = [describe(s).costs for s in run_engine(make_engine("params", "latency_ms"), 2)]
    rng = np.random.default_rng(0)
    drawn = [describe(sample(VALUES, rng)).costs for _ in range(2000)]
    for cost in ("params", "latency_ms"):
        assert min(costs[cost] for costs in proposed) == min(costs[cost] for costs in drawn)


@pytest.mark.parametrize(
    "costs",
    [("params", "latency_ms_pixel3"), ("flops", "latency_ms_raspi4"), ("latency_ms_raspi4", "params")],
)
def test_the_cheapest_rows_of_a_table_are_found_and_ties_are_broken_by_other_costs(
    costs: tuple[str, ...],
) -> None:
    table = shared_table("nb201", costs)
    columns = [table.column(cost) for cost in costs]
    for seed in range(3):
        engine = CheapAware(table.open_values, table.criteria, table.describe, seed=seed)
        for own, other in (columns, columns[::-1]):
            row = table.row(engine.ask())
            assert own[row] == own.min()
            assert other[row] == other[own == own.min()].min()


def entries(count: int) -> tuple[CandidatePool, list]:
    rng = np.random.default_rng(0)
    pool = CandidatePool(VALUES, (Objective("params"),), (), describe)
    found = {entry.id: entry for _ in range(count) if (entry := pool.entry(sample(VALUES, rng)))}
    return pool, list(found.values())


def test_the_space_filling_design_covers_the_range_of_costs() -> None:
    pool, drawn = entries(300)
    costs = sorted(float(entry.costs[0]) for entry in drawn)
    tried: list = []
    rng = np.random.default_rng(1)
    for _ in range(6):
        left = [entry for entry in drawn if entry not in tried]
        tried.append(space_filling_candidate(pool, left, tried, rng))
    ranks = np.searchsorted(costs, [float(entry.costs[0]) for entry in tried]) / len(costs)
    assert np.diff(np.sort([0.0, *ranks, 1.0])).max() < 0.45


def test_the_fastest_share_has_the_fewest_flops() -> None:
    _, drawn = entries(50)
    fastest = fastest_share(drawn)
    assert len(fastest) == (len(drawn) + 1) // 2
    others = [entry.flops for entry in drawn if entry not in fastest]
    assert max(entry.flops for entry in fastest) <= min(others)
