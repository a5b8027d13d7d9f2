from __future__ import annotations

from dataclasses import replace

import moocore
import numpy as np
import pytest
from toy_engine_space import (
    ACCURACY,
    VALUES,
    accuracy,
    describe,
    make_engine,
    make_trial,
    run_engine,
    shared_table,
)

from nas.engines.cheap_aware import CheapAware
from nas.space import OpenValue, SearchSpace, Setting, is_active, sample
from nas.trials import Candidate, Criteria, Limit, Objective, Trial


@pytest.mark.trains
@pytest.mark.parametrize("costs", [(), ("params",), ("params", "flops"), ("params", "flops", "latency_ms")])
def test_finds_the_front_with_any_number_of_costs(costs: tuple[str, ...]) -> None:
    objectives = (ACCURACY, *map(Objective, costs))

    def volume(settings: list[Setting]) -> float:
        rows = [[1 - accuracy(s), *(np.log(describe(s).costs[c]) for c in costs)] for s in settings]
        return float(
            moocore.hypervolume(np.array(rows), ref=np.array([1.0, 13.0, 14.0, 1.0][: len(objectives)]))
        )

    rng = np.random.default_rng(0)
    best = volume([sample(VALUES, rng) for _ in range(4000)])
    random = np.median([volume([sample(VALUES, rng) for _ in range(30)]) for _ in range(20)])
    found = np.median([volume(run_engine(make_engine(*costs, seed=seed), 30)) for seed in (0, 1)])
    assert best - found <= 0.5 * (best - random) + 1e-9


def test_64_pending_proposals_are_different_networks() -> None:
    engine = make_engine("params")
    run_engine(engine, 12)
    names = [describe(engine.ask()).id for _ in range(64)]
    assert len(set(names)) == 64


def test_observed_networks_are_not_proposed_again() -> None:
    engine = make_engine("params", "flops")
    rng = np.random.default_rng(5)
    observed = [sample(VALUES, rng) for _ in range(40)]
    for setting in observed:
        engine.tell(make_trial(setting))
    ids = {describe(setting).id for setting in observed}
    proposed = [describe(setting).id for setting in run_engine(engine, 25)]
    assert not ids & set(proposed)
    assert len(set(proposed)) == 25


def test_settings_are_proposed_after_the_space_is_exhausted() -> None:
    tiny = (OpenValue("depth", (1, 2)), OpenValue("width", (8, 16)))
    engine = CheapAware(tiny, Criteria((ACCURACY,)), lambda s: Candidate(repr(sorted(s.items())), {}))
    proposed = []
    for number in range(8):
        proposed.append(engine.ask())
        engine.tell(
            Trial(number, proposed[-1], repr(sorted(proposed[-1].items())), "complete", {"accuracy": 0.5}, 1)
        )
    assert len({repr(sorted(setting.items())) for setting in proposed[:4]}) == 4


@pytest.mark.parametrize(("maximum", "count"), [(3000.0, 30), (250.0, 6)])  # 6 networks have at most 250
def test_nothing_over_a_limit_is_proposed(maximum: float, count: int) -> None:
    limit = Limit("params", maximum)
    for setting in run_engine(make_engine("flops", limits=(limit,)), count):
        assert not limit.excess(describe(setting).costs)


def test_conditional_values_are_complete() -> None:
    for setting in run_engine(make_engine("params"), 25):
        assert set(setting) == {value.name for value in VALUES if is_active(value, setting)}


def test_failing_networks_are_avoided() -> None:
    engine = make_engine("params")
    proposed = []
    for number in range(50):
        setting = engine.ask()
        proposed.append(setting)
        trial = make_trial(setting, number)
        engine.tell(replace(trial, state="failed", values={}) if setting["width"] == 64 else trial)
    wide = [setting["width"] == 64 for setting in proposed]
    assert np.mean(wide[25:]) < 0.2


def test_two_trained_objectives() -> None:
    objectives = (ACCURACY, Objective("mean_iou", True, True), Objective("params"))
    engine = CheapAware(VALUES, Criteria(objectives), describe)
    best: list[float] = []
    for number in range(30):
        setting = engine.ask()
        iou = accuracy(setting) * (0.6 if setting["depth"] == 4 else 0.9)
        engine.tell(make_trial(setting, number, mean_iou=iou))
        best.append(iou)
    assert max(best) > 0.7
    assert engine.flatness() is not None


@pytest.mark.trains
def test_flatness_decreases() -> None:
    engine = make_engine("params")
    assert engine.flatness() is None
    run_engine(engine, 12)
    early = engine.flatness()
    run_engine(engine, 50)
    late = engine.flatness()
    assert early is not None
    assert late is not None
    assert 0 <= late < 0.5 * early


def test_trials_that_are_trained_further_and_settings_of_another_space() -> None:
    engine = make_engine("params")
    rng = np.random.default_rng(7)
    for number in range(20):
        setting = sample(VALUES, rng)
        low = replace(
            make_trial(setting, number, epochs=1, accuracy=0.7 * accuracy(setting)), state="stopped"
        )
        engine.tell(low)
        if number % 3 == 0:
            engine.tell(make_trial(setting, number, epochs=10))
    engine.tell(Trial(99, {"other": 3}, "strange", "complete", {"accuracy": 1.0, "params": 1.0}, 10))
    assert len(run_engine(engine, 5)) == 5


@pytest.mark.parametrize(("name", "costs"), [("nb201", ("params",)), ("nbmacro", ("params", "flops"))])
def test_regret_on_a_table_is_half_of_random_search(name: str, costs: tuple[str, ...]) -> None:
    table = shared_table(name, costs)
    columns = [1 - table.column("test_accuracy"), *(np.log(table.column(cost)) for cost in costs)]
    points = np.stack(columns, axis=1)
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    reference = np.full(points.shape[1], 1.1)
    engine = CheapAware(table.open_values, table.criteria, table.describe)
    rows = []
    for number in range(45):
        setting = engine.ask()
        engine.tell(table.trial(number, setting))
        rows.append(table.row(setting))
    rng = np.random.default_rng(0)
    random = [
        moocore.hypervolume(points[rng.choice(len(points), 45, replace=False)], ref=reference)
        for _ in range(21)
    ]
    whole = moocore.hypervolume(points, ref=reference)
    assert whole - moocore.hypervolume(points[rows], ref=reference) < 0.5 * (whole - np.median(random))


def test_designs_that_share_an_architecture_are_all_proposed() -> None:
    """A resumed search still proposes the other trainings of an architecture.

    `Trial.id` names the architecture alone, and is also the key of its design with the default training.
    """
    data = {
        "stages": {"count": 1, "width": {"choice": [2, 4, 6, 8]}},
        "training": {"optimizer": {"choice": ["adam", "sgd"]}},
    }
    space = SearchSpace(data).bind((8, 8, 1), 10)
    engine = CheapAware(
        space.open_values, Criteria((ACCURACY,)), lambda s: Candidate(space.design(s).key, {})
    )

    def tell(number: int, setting: Setting) -> None:
        quality = {"accuracy": float(setting["stages.width"]) / 10}
        name = space.design(setting).architecture.id
        engine.tell(Trial(number, setting, name, "complete", quality, 1))

    recorded = [{"stages.width": width, "training.optimizer": "sgd"} for width in (2, 4, 6, 8)]
    for number, setting in enumerate(recorded):
        tell(number, setting)
    proposed = []
    for number in range(4, 8):
        proposed.append(engine.ask())
        tell(number, proposed[-1])
    assert len({space.design(setting).architecture.id for setting in (*recorded, *proposed)}) == 4
    assert len({space.design(setting).key for setting in (*recorded, *proposed)}) == 8


@pytest.mark.trains
def test_networks_below_the_quality_floor_are_avoided() -> None:
    criteria = Criteria((ACCURACY, Objective("params")), examples=10_000, guess=0.9)
    engine = CheapAware(VALUES, criteria, describe)
    narrow = []
    for number in range(50):
        setting = engine.ask()
        narrow.append(setting["width"] <= 16)
        good = make_trial(setting, number)
        # Narrow networks are little better than guessing after a short training, and halving stops them.
        bad = replace(good, state="stopped", epochs=1, values={**good.values, "accuracy": 0.15})
        engine.tell(bad if narrow[-1] else replace(good, state="stopped", epochs=1))
        if not narrow[-1]:
            engine.tell(good)
    assert any(narrow[:8])  # the initial design covers the whole range of costs
    assert np.mean(narrow[20:]) < 0.2
