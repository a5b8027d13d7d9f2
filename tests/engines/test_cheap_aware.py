from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pytest
from scipy.optimize import check_grad

from nas.engines._hindsight import PRIOR, Hindsight
from nas.engines._improvement import LEAST, Belief, cells, expected_gain
from nas.engines._pace import FEW, Pace
from nas.engines._pool import Pool
from nas.engines._surrogate import ErrorModel, squared_distances
from nas.engines._viability import hopeless
from nas.engines._warp import SHIFT, Warp
from nas.engines.cheap_aware import CheapAware
from nas.space import OpenValue, Setting, active, sample
from nas.testing.tabular_benchmark import Table
from nas.trials import Candidate, Limit, Objective, Trial

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[3] / "shared"))
ACCURACY = Objective("accuracy", True, True)

VALUES = (
    OpenValue("depth", (1, 2, 3, 4)),
    *(
        OpenValue(f"conv.{n}", ("none", "small", "large"), ("depth", frozenset(range(n, 5))))
        for n in (1, 2, 3, 4)
    ),
    OpenValue("width", (8, 16, 32, 64)),
)
WEIGHT = {"none": 0.0, "small": 1.0, "large": 3.0}


def weight(setting: Setting) -> float:
    return sum(WEIGHT[str(value)] for name, value in setting.items() if name.startswith("conv"))


def describe(setting: Setting) -> Candidate:
    convs = [str(v) for name, v in setting.items() if name.startswith("conv") and v != "none"]
    width = float(setting["width"])
    costs = {
        "params": 100 + width * width * weight(setting),
        "flops": 1e4 + 900 * width * (1 + weight(setting)),
        "latency_ms": 0.5 + 0.1 * len(convs) + 0.001 * width * weight(setting),
    }
    name = f"{width}/{'-'.join(convs)}"  # 'none' leaves no trace
    return Candidate(name, costs, {"convs": float(len(convs))})


def accuracy(setting: Setting) -> float:
    gain = 1 - np.exp(-0.35 * weight(setting))
    return float(0.1 + 0.85 * gain * (1 - 0.3 * np.exp(-float(setting["width"]) / 20)))


def trial(setting: Setting, number: int = 0, epochs: int = 10, **more: float) -> Trial:
    candidate = describe(setting)
    values = {"accuracy": accuracy(setting), **candidate.costs, **more}
    return Trial(number, setting, candidate.id, "complete", values, epochs)


def engine(
    *costs: str,
    limits: tuple[Limit, ...] = (),
    seed: int = 0,
    seconds_left: Callable[[], float] | None = None,
) -> CheapAware:
    return CheapAware(VALUES, (ACCURACY, *map(Objective, costs)), describe, limits, seed, seconds_left)


def shared_table(name: str, costs: tuple[str, ...]) -> Table:
    path = SHARED / "tables" / f"{name}_cifar10.csv"
    if not path.exists():
        pytest.skip("the shared tables are not here")
    return Table(path, costs)


def run(searcher: CheapAware, count: int) -> list[Setting]:
    asked = []
    for number in range(count):
        asked.append(searcher.ask())
        searcher.tell(trial(asked[-1], number))
    return asked


@pytest.mark.parametrize(("trained", "cheap"), [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)])
def test_expected_gain_is_that_of_sampling(trained: int, cheap: int) -> None:
    rng = np.random.default_rng(10 * trained + cheap)
    points = rng.uniform(0.1, 0.9, (12, trained + cheap))
    reference = np.ones(trained + cheap)
    free = cells(points, reference)
    assert free.volume == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-9)
    costs = rng.uniform(0.0, 0.8, (3, cheap))
    beliefs = [Belief(rng.uniform(-2.2, -0.8, 3), rng.uniform(0.1, 0.4, 3), SHIFT) for _ in range(trained)]
    # Samples gain over a front whose first error is better by the least improvement that counts.
    better = points.copy()
    better[:, 0] *= 1 - LEAST
    bound = np.array([1 - LEAST, *reference[1:]])
    base = moocore.hypervolume(better, ref=bound)
    for place, exact in enumerate(expected_gain(free, beliefs, costs)):
        draws = 3000
        errors = [np.exp(rng.normal(b.mean[place], b.deviation[place], draws)) - SHIFT for b in beliefs]
        gains = [
            moocore.hypervolume(np.vstack([better, [*error, *costs[place]]]), ref=bound) - base
            for error in zip(*errors, strict=True)
        ]
        assert exact == pytest.approx(np.mean(gains), abs=5 * np.std(gains) / np.sqrt(draws) + 1e-5)


def test_boxes_are_disjoint_and_fill_what_is_free() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (25, 3))
    free = cells(points, np.ones(3))
    for probe in rng.uniform(0, 1, (400, 3)):
        inside = (probe[0] < free.level) & (free.low <= probe[1:]).all(1) & (probe[1:] < free.high).all(1)
        dominated = (points <= probe).all(axis=1).any()
        assert inside.sum() == (0 if dominated else 1)


def readings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 3))
    return x, np.exp(-2 + 0.6 * np.sin(2 * x[:, 0]) + 0.4 * x[:, 1])


def test_gradient_of_the_loss() -> None:
    x, errors = readings(20, 0)
    x = np.column_stack([x[:, :1], x[:, 1:2] > 0, x[:, 1:], x[:, 0] > 0])  # two values, and a cost
    model = ErrorModel(np.array([0, 0, 1, 1, 2]), [1], x)
    lags = np.where(np.arange(20) % 3 == 0, 0.5, 0.0)
    model.fit(x, errors, lags)
    apart = np.stack([squared_distances(x[:, c], x[:, c]) for c in ([0, 1], [2, 3], [4])])
    data = apart, model._effects(x, x), model._targets, lags
    for seed in (0, 1):
        p = model._prior + np.random.default_rng(seed).normal(0, 0.5, len(model._prior))
        size = np.abs(model._loss(p, *data)[1]).max()
        away = check_grad(lambda q: model._loss(q, *data)[0], lambda q: model._loss(q, *data)[1], p)
        assert away < 1e-4 * size
    with np.errstate(all="raise"):
        assert model._loss(model._prior + 1e3, *data)[0] == 1e10  # far off: refused, not overflown


def categories(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Six values of five choices each: their places (count, 6), and their inputs one-hot (count, 30)."""
    places = rng.integers(5, size=(count, 6))
    return places, (places[:, :, None] == np.arange(5)).reshape(count, 30) / np.sqrt(2)


def test_effects_are_those_of_all_values_and_all_pairs_of_them() -> None:
    rng = np.random.default_rng(5)
    places, x = categories(rng, 4000)
    model = ErrorModel(np.repeat(np.arange(6), 5), [], x)
    single, pairs = model._effects(x[:20], x[:30])
    same = places[:20, None, :] == places[None, :30, :]
    each = (same - 0.2) / 0.8
    np.testing.assert_allclose(single, each.mean(axis=2), atol=0.05)
    both = [each[:, :, i] * each[:, :, j] for i, j in itertools.combinations(range(6), 2)]
    np.testing.assert_allclose(pairs, np.mean(both, axis=0), atol=0.05)
    own = model._effects.of_each(x[:20])
    np.testing.assert_allclose(own[0], np.diag(single), atol=1e-9)
    np.testing.assert_allclose(own[1], np.diag(pairs), atol=1e-9)


def test_effects_of_single_values_are_learnt_from_unlike_networks() -> None:
    rng = np.random.default_rng(6)
    places, x = categories(rng, 400)
    effects = rng.normal(0, 0.1, (6, 5))
    errors = np.exp(-2 + effects[np.arange(6), places].sum(axis=1))
    model = ErrorModel(np.repeat(np.arange(6), 5), [], x)
    model.fit(x[:60], errors[:60], np.zeros(60))
    truth = np.log(errors[60:] + SHIFT)
    off = model.predict(x[60:])[0] - truth
    assert np.std(off) < 0.25 * np.std(truth)  # half without the effects


def test_model_foretells_what_it_has_not_seen() -> None:
    x, errors = readings(160, 1)
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:60], errors[:60], np.zeros(60))
    mean, deviation = model.predict(x[60:])
    off = np.log(errors[60:] + SHIFT) - mean
    assert np.abs(off).mean() < 0.25 * np.std(np.log(errors))
    assert 0.5 < np.sqrt(np.mean((off / deviation) ** 2)) < 3.0


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.0), (0.02, 0.5)])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_model_foretells_from_noisy_readings(seed: int, noise: float, least: float) -> None:
    x, errors = readings(160, seed)
    read = errors * np.exp(np.random.default_rng(seed).normal(0, noise, 160))
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:60], read[:60], np.zeros(60))
    mean, deviation = model.predict(x[60:])
    off = np.log(errors[60:] + SHIFT) - mean
    assert np.abs(off).mean() < 0.25 * np.std(np.log(errors))
    assert least < np.sqrt(np.mean((off / deviation) ** 2)) < 1.5


@pytest.mark.parametrize("name", ["nb201", "nbmacro"])
def test_real_errors_are_as_far_off_as_the_model_says(name: str) -> None:
    table = shared_table(name, ("params",))
    at = np.random.default_rng(0).choice(len(table.rows), 700, replace=False)
    pool = Pool(table.open_values, table.objectives[1:], (), table.describe)
    entries = [entry for row in at if (entry := pool.entry(table.setting(int(row)))) is not None]
    x, errors = pool.inputs(entries), 1.0 - table.column("val_accuracy")[at]
    model = ErrorModel(pool.groups, pool.measured_groups, pool.drawn)
    model.fit(x[:100], errors[:100], np.zeros(100))
    mean, deviation = model.predict(x[100:])
    within = np.abs(np.log(errors[100:] + SHIFT) - mean) < 2.0 * deviation
    assert 0.8 < within.mean() < 0.995


def test_inputs_are_all_that_differs_among_the_first_candidates() -> None:
    features = [{"conv": 3.0, "input": 1.0}, {"conv": 1.0, "input": 1.0, "pool": 2.0}, {"input": 1.0}]
    values = (OpenValue("kind", ("a", "b", "c")),)

    def known(setting: Setting) -> Candidate:
        place = "abc".index(str(setting["kind"]))
        return Candidate(str(place), {"params": 10.0**place, "flops": 5.0}, features[place])

    pool = Pool(values, (Objective("params"),), (), known)
    entries = [entry for kind in "abc" if (entry := pool.entry({"kind": kind})) is not None]
    pool.standardize(entries)
    measured = pool.inputs(entries)[:, np.isin(pool.groups, pool.measured_groups)]
    raw = np.array([[3, 0, 0], [1, np.log(10), 2], [0, np.log(100), 0]])  # conv, log params, pool
    np.testing.assert_allclose(measured, (raw - raw.mean(axis=0)) / raw.std(axis=0))


def test_belief_keeps_the_mean_and_lessens_the_doubt() -> None:
    x, errors = readings(50, 2)
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:30], errors[:30], np.zeros(30))
    mean, deviation = model.predict(x[30:])
    model.believe(x[30:35])
    after_mean, after = model.predict(x[30:])
    np.testing.assert_allclose(after_mean, mean, atol=0.02)
    assert (after <= deviation + 1e-6).all()
    assert (after[:5] < 0.7 * deviation[:5]).all()


def test_short_trainings_tell_of_full_ones() -> None:
    x, errors = readings(200, 3)
    noise = np.exp(np.random.default_rng(4).normal(0, 0.05, 200))
    early = 1.8 * errors**0.9 * noise  # biased, scaled and noisy
    alone, both = ErrorModel(np.arange(3), [0, 1, 2], x), ErrorModel(np.arange(3), [0, 1, 2], x)
    alone.fit(x[:12], errors[:12], np.zeros(12))
    both.fit(
        np.vstack([x[:12], x[:100]]), np.concatenate([errors[:12], early[:100]]),
        np.concatenate([np.zeros(12), np.full(100, 0.5)]),
    )  # fmt: skip
    truth = np.log(errors[100:] + SHIFT)
    off = [np.sqrt(np.mean((model.predict(x[100:])[0] - truth) ** 2)) for model in (alone, both)]
    assert off[1] < 0.6 * off[0]


def test_warp_and_back() -> None:
    logs = np.log(np.linspace(0.01, 1.0, 50))
    warp = Warp(logs)
    np.testing.assert_allclose(warp.back(warp.forward(logs)), logs, atol=1e-9)
    assert (np.diff(warp.forward(logs)) > 0).all()


def test_only_a_shared_worst_error_is_guessing() -> None:
    assert hopeless(np.array([0.9, 0.9, 0.9, 0.3, 0.5])).tolist() == [True, True, True, False, False]
    assert not hopeless(np.array([0.9, 0.7, 0.6, 0.3])).any()


def test_first_come_the_cheapest() -> None:
    asked = [describe(setting).costs for setting in run(engine("params", "latency_ms"), 2)]
    every = [
        describe(setting).costs for setting in (sample(VALUES, np.random.default_rng(s)) for s in range(2000))
    ]
    for cost in ("params", "latency_ms"):
        assert min(costs[cost] for costs in asked) == min(costs[cost] for costs in every)


@pytest.mark.parametrize(
    "costs",
    [("params", "latency_ms_pixel3"), ("flops", "latency_ms_raspi4"), ("latency_ms_raspi4", "params")],
)
def test_the_cheapest_of_measured_costs_are_found_and_of_equals_the_one_cheap_otherwise(
    costs: tuple[str, ...],
) -> None:
    table = shared_table("nb201", costs)
    columns = [table.column(cost) for cost in costs]
    for seed in range(3):
        searcher = CheapAware(table.open_values, table.objectives, table.describe, seed=seed)
        for own, other in (columns, columns[::-1]):
            row = table.row(searcher.ask())
            assert own[row] == own.min()
            assert other[row] == other[own == own.min()].min()


@pytest.mark.parametrize("costs", [(), ("params",), ("params", "flops"), ("params", "flops", "latency_ms")])
def test_finds_the_front_with_any_number_of_costs(costs: tuple[str, ...]) -> None:
    objectives = (ACCURACY, *map(Objective, costs))

    def volume(settings: list[Setting]) -> float:
        rows = [[1 - accuracy(s), *(np.log(describe(s).costs[c]) for c in costs)] for s in settings]
        return float(
            moocore.hypervolume(np.array(rows), ref=np.array([1.0, 13.0, 14.0, 1.0][: len(objectives)]))
        )

    rng = np.random.default_rng(0)
    everything = volume([sample(VALUES, rng) for _ in range(4000)])
    chance = np.median([volume([sample(VALUES, rng) for _ in range(30)]) for _ in range(20)])
    found = np.median([volume(run(engine(*costs, seed=seed), 30)) for seed in (0, 1)])
    assert everything - found <= 0.5 * (everything - chance) + 1e-9


def test_64_pending_proposals_are_different_networks() -> None:
    searcher = engine("params")
    run(searcher, 12)
    names = [describe(searcher.ask()).id for _ in range(64)]
    assert len(set(names)) == 64


def test_nothing_is_proposed_that_is_known() -> None:
    searcher = engine("params", "flops")
    rng = np.random.default_rng(5)
    told = [sample(VALUES, rng) for _ in range(40)]
    for setting in told:
        searcher.tell(trial(setting))
    known = {describe(setting).id for setting in told}
    asked = [describe(setting).id for setting in run(searcher, 25)]
    assert not known & set(asked)
    assert len(set(asked)) == 25


def test_a_used_up_space_still_gives_settings() -> None:
    tiny = (OpenValue("depth", (1, 2)), OpenValue("width", (8, 16)))
    searcher = CheapAware(tiny, (ACCURACY,), lambda s: Candidate(repr(sorted(s.items())), {}))
    asked = []
    for number in range(8):
        asked.append(searcher.ask())
        searcher.tell(
            Trial(number, asked[-1], repr(sorted(asked[-1].items())), "complete", {"accuracy": 0.5}, 1)
        )
    assert len({repr(sorted(setting.items())) for setting in asked[:4]}) == 4


@pytest.mark.parametrize(("maximum", "count"), [(3000.0, 30), (250.0, 6)])  # six networks are under 250
def test_nothing_over_a_limit_is_proposed(maximum: float, count: int) -> None:
    limit = Limit("params", maximum)
    for setting in run(engine("flops", limits=(limit,)), count):
        assert not limit.excess(describe(setting).costs)


def test_conditional_values_are_complete() -> None:
    for setting in run(engine("params"), 25):
        assert set(setting) == {value.name for value in VALUES if active(value, setting)}


def test_failures_are_learnt_from() -> None:
    searcher = engine("params")
    asked = []
    for number in range(50):
        setting = searcher.ask()
        asked.append(setting)
        done = trial(setting, number)
        searcher.tell(replace(done, state="failed", values={}) if setting["width"] == 64 else done)
    wide = [setting["width"] == 64 for setting in asked]
    assert np.mean(wide[25:]) < 0.2


def test_promises_are_trusted_by_what_came_of_them_at_like_costs() -> None:
    free = cells(np.array([[0.5, 0.0]]), np.array([1.0, 1.0]))  # one point: error 0.5 at the least cost

    def gain(error: float, cost: float) -> float:
        return (0.5 * (1 - LEAST) - error) * (1.0 - cost)

    at = np.array([[0.0], [0.5], [0.9]])
    hindsight = Hindsight()
    assert hindsight.trust(at).tolist() == [1.0, 1.0, 1.0]
    for number in range(6):
        hindsight.promise(f"broken{number}", at[0], free, 0.1, 0.2)  # half of what the best promised
        hindsight.promise(f"kept{number}", at[2], free, gain(0.4, 0.9), gain(0.4, 0.9))
    assert hindsight.ended({"kept5"}) == [f"{how}{n}" for n in range(6) for how in ("broken", "kept")][:-1]
    for number in range(6):
        hindsight.settle(f"broken{number}", None)
        hindsight.settle(f"kept{number}", [Belief(np.log([0.4]), np.array([1e-9]))])
    assert hindsight.trust(at) == pytest.approx([PRIOR / (PRIOR + 6 * 0.5), 1.0, 1.0], rel=1e-3)
    hindsight.promise("more", at[1], free, gain(0.4, 0.5), gain(0.4, 0.5))
    hindsight.settle("more", [Belief(np.log([0.1]), np.array([1e-9]))])
    share = gain(0.1, 0.5) / gain(0.4, 0.5)
    assert hindsight.trust(at)[1] == pytest.approx((PRIOR + share) / (PRIOR + 1), rel=1e-3)
    assert hindsight.ended(()) == []


def test_what_ended_is_held_against_what_was_expected_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[tuple[str, bool]] = []
    settle = Hindsight.settle

    def noted(self: Hindsight, name: str, beliefs: object) -> None:
        settled.append((name, beliefs is None))
        settle(self, name, beliefs)  # type: ignore[arg-type]

    monkeypatch.setattr(Hindsight, "settle", noted)
    searcher = engine("params", "flops")
    names = []
    for number in range(30):
        setting = searcher.ask()
        names.append(describe(setting).id)
        lost = number % 10 == 9
        searcher.tell(replace(trial(setting, number), state="failed", values={}) if lost else trial(setting))
    assert [name for name, _ in settled] == names[-len(settled) - 1 : -1]  # once each, but for the last
    assert len(settled) > 15
    nothing = {names.index(name) for name, came_to_nothing in settled if came_to_nothing}
    assert {9, 19} <= nothing
    assert len(nothing) < len(settled) // 2
    trusted = engine("params", "flops")
    monkeypatch.setattr(Hindsight, "trust", lambda _, costs: np.where(costs[:, 0] < 8.0, 1.0, 0.0))
    asked = run(trusted, 60)
    dear = [np.log(describe(setting).costs["params"]) >= 8.0 for setting in asked[20:]]
    assert 0 < sum(dear) <= len(dear) // 2  # every other time costs take turns, whatever is trusted


def lasting(setting: Setting, number: int, epochs: int = 9) -> Trial:
    """Give a trial that took a second, and for each epoch a tenth of one and what its FLOPs ask for."""
    an_epoch = 0.1 + 1e-5 * describe(setting).costs["flops"]
    seconds = {
        "trace": 0.8,
        "build": 0.2,
        "train": 0.9 * epochs * an_epoch,
        "validate": 0.1 * epochs * an_epoch,
    }
    return replace(trial(setting, number, epochs), seconds=seconds)


def test_times_are_foretold_from_flops() -> None:
    rng = np.random.default_rng(0)
    pace = Pace(lambda: 100.0)
    settings = [sample(VALUES, rng) for _ in range(40)]
    flops = np.array([describe(setting).costs["flops"] for setting in settings])
    for number, setting in enumerate(settings[:FEW]):
        assert (pace.seconds(flops) == 1.0).all()
        pace.tell(str(number), flops[number], lasting(setting, number, epochs=1 + 4 * number))
    longest = 1 + 4 * (FEW - 1)
    assert pace.seconds(flops) == pytest.approx(1.0 + longest * (0.1 + 1e-5 * flops), rel=1e-6)
    assert (pace.seconds(np.append(flops, 0.0)) == 1.0).all()  # not known of all


def test_gains_are_weighed_by_seconds_less_and_less_and_must_fit_into_what_is_left() -> None:
    left = 100.0
    pace = Pace(lambda: left)
    rng = np.random.default_rng(1)
    for number, setting in enumerate(sample(VALUES, rng) for _ in range(FEW)):
        pace.tell(str(number), describe(setting).costs["flops"], lasting(setting, number))
    flops = np.array([2e4, 2e5, 5e5])
    seconds = pace.seconds(flops)  # 3.7, 19.9 and 46.9
    assert pace.worth(flops) == pytest.approx(1 / seconds)
    left = 50.0
    assert pace.worth(flops) == pytest.approx(seconds**-0.5)
    left = 20.0
    assert pace.worth(flops) == pytest.approx([seconds[0] ** -0.2, seconds[1] ** -0.2, 0.0])
    left = 1.0
    assert (pace.worth(flops) > 0).all()  # nothing fits: then it makes no difference


def test_where_no_times_are_known_seconds_left_make_no_difference() -> None:
    def plain(setting: Setting) -> Candidate:
        return replace(describe(setting), costs={"params": describe(setting).costs["params"]})

    objectives = (ACCURACY, Objective("params"))
    weighing, not_weighing = (
        CheapAware(VALUES, objectives, plain, seconds_left=left) for left in (lambda: 60.0, None)
    )
    assert run(weighing, 20) == run(not_weighing, 20)


@pytest.mark.parametrize("costs", [("params",), ("params", "latency_ms")])
def test_where_time_is_limited_it_brings_more(costs: tuple[str, ...]) -> None:
    def after(budget: float, timed: bool, seed: int) -> float:
        spent, points = 0.0, []
        searcher = engine(*costs, seed=seed, seconds_left=(lambda: budget - spent) if timed else None)
        while True:
            ended = lasting(searcher.ask(), len(points))
            spent += sum(ended.seconds.values())
            if spent > budget:
                break
            searcher.tell(ended)
            points.append([1 - ended.values["accuracy"], *(np.log(ended.values[name]) for name in costs)])
        reference = [1.0, *(np.log({"params": 1e5, "latency_ms": 3.0}[name]) for name in costs)]
        return float(moocore.hypervolume(np.array(points), ref=reference))

    timed, untimed = (np.median([after(300.0, which, seed) for seed in range(7)]) for which in (True, False))
    assert timed > untimed


def test_two_qualities() -> None:
    objectives = (ACCURACY, Objective("mean_iou", True, True), Objective("params"))
    searcher = CheapAware(VALUES, objectives, describe)
    best: list[float] = []
    for number in range(30):
        setting = searcher.ask()
        iou = accuracy(setting) * (0.6 if setting["depth"] == 4 else 0.9)
        searcher.tell(trial(setting, number, mean_iou=iou))
        best.append(iou)
    assert max(best) > 0.7
    assert searcher.flatness() is not None


def test_flatness_falls() -> None:
    searcher = engine("params")
    assert searcher.flatness() is None
    run(searcher, 12)
    early = searcher.flatness()
    run(searcher, 50)
    late = searcher.flatness()
    assert early is not None
    assert late is not None
    assert 0 <= late < 0.5 * early


def test_trained_further_and_another_space() -> None:
    searcher = engine("params")
    rng = np.random.default_rng(7)
    for number in range(20):
        setting = sample(VALUES, rng)
        low = replace(trial(setting, number, epochs=1, accuracy=0.7 * accuracy(setting)), state="stopped")
        searcher.tell(low)
        if number % 3 == 0:
            searcher.tell(trial(setting, number, epochs=10))
    searcher.tell(Trial(99, {"other": 3}, "strange", "complete", {"accuracy": 1.0, "params": 1.0}, 10))
    assert len(run(searcher, 5)) == 5


@pytest.mark.parametrize(("name", "costs"), [("nb201", ("params",)), ("nbmacro", ("params", "flops"))])
def test_half_the_regret_of_random_search_on_a_table(name: str, costs: tuple[str, ...]) -> None:
    table = shared_table(name, costs)
    columns = [1 - table.column("test_accuracy"), *(np.log(table.column(cost)) for cost in costs)]
    points = np.stack(columns, axis=1)
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    reference = np.full(points.shape[1], 1.1)
    searcher = CheapAware(table.open_values, table.objectives, table.describe)
    rows = []
    for number in range(45):
        setting = searcher.ask()
        searcher.tell(table.trial(number, setting))
        rows.append(table.row(setting))
    rng = np.random.default_rng(0)
    chance = [
        moocore.hypervolume(points[rng.choice(len(points), 45, replace=False)], ref=reference)
        for _ in range(21)
    ]
    whole = moocore.hypervolume(points, ref=reference)
    assert whole - moocore.hypervolume(points[rows], ref=reference) < 0.5 * (whole - np.median(chance))
