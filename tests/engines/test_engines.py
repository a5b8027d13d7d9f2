"""The contract that every engine passes; a new engine is one more row of ENGINES."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nas.engines import Engine
from nas.engines.cheap_aware import CheapAware
from nas.engines.keras_tuner_engine import KerasTunerEngine, _Process
from nas.engines.optuna_engine import OptunaEngine
from nas.errors import InputError
from nas.space import OpenValue, SearchSpace, Setting, active, sample
from nas.trials import Candidate, Limit, Trial, parse_objectives
from nas.trials.trial import State

OBJECTIVES = parse_objectives(["accuracy", "params"])
SPACES = Path(__file__).parents[2] / "search_spaces"

TOY = (
    OpenValue("depth", (1, 2, 3, 4)),
    OpenValue("width", (8, 16, 24, 32, 48, 64, 96, 128)),
    OpenValue("conv", ("standard", "separable", "grouped")),
    OpenValue("rate", (0.0, 0.1, 0.25, 0.5)),
    OpenValue("kernel.3", (3, 5, 7), ("depth", frozenset({3, 4}))),
    OpenValue("kernel.4", (3, 5, 7), ("depth", frozenset({4}))),
)
"""Best accuracy: depth 4, kernels 5, rate 0.1. Fewest parameters: width 8, separable. Both can be had."""


def toy_values(setting: Setting) -> dict[str, float]:
    kernels = [setting[name] for name in ("kernel.3", "kernel.4") if name in setting]
    lost = 0.15 * (4 - setting["depth"]) + 0.5 * abs(setting["rate"] - 0.1)
    lost += sum(0.05 * abs(kernel - 5) for kernel in kernels)
    factor = {"standard": 9.0, "separable": 1.0, "grouped": 3.0}[setting["conv"]]
    return {"accuracy": 0.95 - lost, "params": 100.0 * setting["width"] * factor}


def toy_loss(setting: Setting) -> float:
    """How far a setting is from the best of both objectives: 0 to about 1.5."""
    values = toy_values(setting)
    return 0.95 - values["accuracy"] + math.log(values["params"] / 800) / math.log(144)


def describe(setting: Setting) -> Candidate:
    name = repr(sorted(setting.items()))
    costs = {"params": toy_values(setting)["params"]} if "conv" in setting else {"params": 1000.0 + len(name)}
    return Candidate(name, costs)


@dataclass(frozen=True)
class Row:
    """How an engine is made, and how many trials it needs before it must have learnt something."""

    make: Callable[[Sequence[OpenValue], Sequence[Limit], int], Engine]
    trials: int = 0  # 0: does not learn
    asks: int = 40  # in tests of one engine's life; few where one costs a second and more
    pending: int = 10  # asked for at once
    seeds: tuple[int, ...] = (1, 2, 3)
    replaces: bool = True  # a later tell leaves no trace of the earlier one


def optuna_row(sampler: str, trials: int) -> Row:
    return Row(lambda values, limits, seed: OptunaEngine(values, OBJECTIVES, limits, sampler, seed), trials)


def keras_tuner_row(oracle: str, trials: int) -> Row:
    return Row(
        lambda values, limits, seed: KerasTunerEngine(values, OBJECTIVES, limits, oracle, seed), trials
    )


ENGINES = {
    "optuna-tpe": optuna_row("tpe", 80),
    "optuna-nsga2": optuna_row("nsga2", 160),
    "optuna-random": optuna_row("random", 0),
    "keras-tuner-bayesian": replace(keras_tuner_row("bayesian", 18), asks=8, pending=4, seeds=(1, 2)),
    "keras-tuner-random": keras_tuner_row("random", 0),
    "cheap-aware": Row(
        lambda values, limits, seed: CheapAware(values, OBJECTIVES, describe, limits, seed),
        36,
        replaces=False,
    ),
}

every = pytest.mark.parametrize("row", ENGINES.values(), ids=ENGINES)
learning = pytest.mark.parametrize(
    "row",
    [row for row in ENGINES.values() if row.trials],
    ids=[n for n, row in ENGINES.items() if row.trials],
)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load(SPACES / "xception_like.yaml").bind((16, 16, 1), 10)


def trial(
    number: int, setting: Setting, state: State = "complete", epochs: int = 3, **values: float
) -> Trial:
    name = describe(setting).id
    return Trial(number, setting, name, state, values or toy_values(setting), epochs)


def settings(count: int, seed: int, values: Sequence[OpenValue] = TOY) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [sample(values, rng) for _ in range(count)]


def assert_valid(setting: Setting, values: Sequence[OpenValue]) -> None:
    assert set(setting) == {value.name for value in values if active(value, setting)}
    for value in values:
        if value.name in setting:
            assert setting[value.name] in value.choices
            assert type(setting[value.name]) in {type(choice) for choice in value.choices}


def run(engine: Engine, count: int, first: int = 0) -> list[Setting]:
    asked = []
    for number in range(first, first + count):
        asked.append(engine.ask())
        engine.tell(trial(number, asked[-1]))
    return asked


@every
def test_settings_of_a_shipped_space_build(row: Row, space: SearchSpace) -> None:
    engine = row.make(space.open_values, (), 0)
    for number in range(14):
        setting = engine.ask()
        assert_valid(setting, space.open_values)
        architecture = space.design(setting).architecture
        engine.tell(trial(number, setting, accuracy=0.5, params=1000.0 + len(architecture.layers)))


@every
def test_settings_are_valid_where_values_depend_on_others(row: Row) -> None:
    asked = run(row.make(TOY, (), 3), row.asks)
    for setting in asked:
        assert_valid(setting, TOY)
    assert len({setting["depth"] for setting in asked}) > 1


@every
def test_pending_told_in_another_order(row: Row) -> None:
    engine = row.make(TOY, (), 1)
    for number, setting in enumerate(settings(16, seed=1)):
        engine.tell(trial(number, setting))
    asked = [engine.ask() for _ in range(row.pending)]
    for number in np.random.default_rng(0).permutation(row.pending):
        assert_valid(asked[number], TOY)
        engine.tell(trial(16 + int(number), asked[number]))
    run(engine, 2, first=26)


@every
def test_every_state_of_asked_and_unknown_trials(row: Row) -> None:
    engine = row.make(TOY, (Limit("params", 20_000.0),), 2)
    foreign = settings(row.asks, seed=9)
    for number in range(row.asks):
        for setting in (engine.ask() if number % 4 else foreign[number], foreign[-1 - number]):
            values = toy_values(setting)
            if values["params"] > 20_000:
                engine.tell(trial(number, setting, "over_limit", 0, params=values["params"]))
            elif number % 5 == 0:
                engine.tell(replace(trial(number, setting, "failed", 0), values={}, reason="out of memory"))
            else:
                low = {**values, "accuracy": values["accuracy"] - 0.2}
                engine.tell(trial(number, setting, "stopped", 1, **low))
                if number % 2:
                    engine.tell(trial(number, setting, "complete", 3, **values))
    assert_valid(engine.ask(), TOY)


@every
def test_failures_in_a_row_are_no_reason_to_stop(row: Row) -> None:
    engine = row.make(TOY, (), 0)
    for number in range(12):
        setting = engine.ask()
        assert_valid(setting, TOY)
        engine.tell(replace(trial(number, setting, "failed"), values={}))


@every
def test_nothing_but_over_limit(row: Row) -> None:
    engine = row.make(TOY, (Limit("params", 1.0),), 0)
    for number in range(12):
        setting = engine.ask()
        engine.tell(trial(number, setting, "over_limit", 0, params=toy_values(setting)["params"]))
    assert_valid(engine.ask(), TOY)


@every
def test_a_space_that_is_used_up(row: Row) -> None:
    tiny = (OpenValue("depth", (1, 2)), OpenValue("bias", (True, False)), OpenValue("rate", (0, 0.5)))
    engine = row.make(tiny, (), 0)
    for number in range(16):
        setting = engine.ask()
        assert setting["bias"] in (True, False)
        engine.tell(trial(number, setting, accuracy=0.5, params=100.0))


@every
def test_a_trial_of_another_space_does_no_harm(row: Row) -> None:
    engine, untold = row.make(TOY, (), 5), row.make(TOY, (), 5)
    engine.tell(trial(0, {"other": 3}, accuracy=0.99, params=1.0))
    engine.tell(trial(1, {**settings(1, 0)[0], "width": 9}, accuracy=0.99, params=1.0))
    assert [engine.ask() for _ in range(3)] == [untold.ask() for _ in range(3)]


@every
def test_the_seed_decides(row: Row) -> None:
    first, again, other = (run(row.make(TOY, (), seed), min(18, row.asks)) for seed in (4, 4, 5))
    assert first == again
    assert first != other


@every
def test_the_latest_tell_counts(row: Row) -> None:
    if not row.replaces:
        pytest.skip("it learns from each fidelity by itself")
    told_twice, told_once = row.make(TOY, (), 6), row.make(TOY, (), 6)
    record = settings(30, seed=6)
    rng = np.random.default_rng(1)
    for number, setting in enumerate(record):
        values = {**toy_values(setting), "accuracy": float(rng.random())}
        told_twice.tell(trial(number, setting, "stopped", 1, **values))
    for engine in (told_twice, told_once):
        for number, setting in enumerate(record):
            engine.tell(trial(number, setting))
    assert [told_twice.ask() for _ in range(2)] == [told_once.ask() for _ in range(2)]


@learning
def test_later_proposals_are_better_than_random_ones(row: Row) -> None:
    chance = np.array([toy_loss(setting) for setting in settings(2000, seed=0)])
    later = [
        np.mean(
            [toy_loss(setting) for setting in run(row.make(TOY, (), seed), row.trials)[row.trials // 2 :]]
        )
        for seed in row.seeds
    ]
    # A mean of n random ones deviates by std / sqrt(n); n is 9 and more, so 0.5 is 1.5 sigma, for each seed.
    assert max(later) < chance.mean() - 0.5 * chance.std(), (later, chance.mean(), chance.std())


@learning
def test_a_replayed_record_is_used(row: Row) -> None:
    chance = np.array([toy_loss(setting) for setting in settings(2000, seed=0)])
    means = []
    for seed in row.seeds:
        engine = row.make(TOY, (), seed)
        for number, setting in enumerate(settings(60, seed=100 + seed)):
            engine.tell(trial(number, setting))
        means.append(np.mean([toy_loss(engine.ask()) for _ in range(row.asks // 4)]))
    assert np.mean(means) < chance.mean() - 0.5 * chance.std(), (means, chance.mean(), chance.std())


@pytest.mark.parametrize("name", ["optuna-tpe", "optuna-nsga2"])
def test_proposals_keep_to_the_limits(name: str) -> None:
    limit = Limit("params", 4_000.0)

    def over(setting: Setting) -> bool:
        return limit.excess(toy_values(setting)) > 0

    shares = []
    for seed in (1, 2, 3):
        engine = ENGINES[name].make(TOY, (limit,), seed)
        asked = []
        for number in range(100):
            asked.append(engine.ask())
            values = toy_values(asked[-1])
            # accuracy rises with parameters here: without the limit, large networks would be wanted
            wide = {"accuracy": min(1.0, values["params"] / 1e5), "params": values["params"]}
            if over(asked[-1]):
                engine.tell(trial(number, asked[-1], "over_limit", 0, params=values["params"]))
            else:
                engine.tell(trial(number, asked[-1], **wide))
        shares.append(np.mean([over(setting) for setting in asked[50:]]))
    by_chance = np.mean([over(setting) for setting in settings(2000, seed=0)])
    assert np.mean(shares) < 0.6 * by_chance, (shares, by_chance)


@pytest.mark.parametrize("name", ["optuna-tpe", "optuna-nsga2"])
def test_an_order_of_hashes_does_not_decide(name: str) -> None:
    code = f"import tests.test_engines as t; print(t.run(t.ENGINES[{name!r}].make(t.TOY, (), 4), 45)[-3:])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=SPACES.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_keras_tuners_process_predicts_as_scikit_learns() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    rng = np.random.default_rng(0)
    x = rng.random((30, 4))
    y = 5 + np.sin(3 * x[:, 0]) + (x[:, 1:] ** 2).sum(axis=1)
    plain = GaussianProcessRegressor(Matern(nu=2.5), normalize_y=True, alpha=1e-4, random_state=0)
    quick = _Process(plain)
    unfitted = quick.predict(x, return_std=True)
    np.testing.assert_array_equal(unfitted, (np.zeros(30), np.ones(30)))
    quick.fit(x, y)
    points = rng.random((50, 4))
    for ours, theirs in zip(quick.predict(points), plain.predict(points, return_std=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@every
def test_nothing_is_printed(row: Row, capfd: pytest.CaptureFixture[str]) -> None:
    run(row.make(TOY, (), 0), 11)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("engine", [OptunaEngine, KerasTunerEngine])
def test_an_unknown_sampler_is_refused_with_the_nearest(engine: type) -> None:
    with pytest.raises(InputError, match=r"no (sampler|oracle) 'radnom'; did you mean 'random'"):
        engine(TOY, OBJECTIVES, (), "radnom")
