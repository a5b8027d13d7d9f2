"""The contract that every engine passes; a new engine is one more row of CASES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_optimum import (
    OBJECTIVES,
    TOY,
    assert_valid,
    describe,
    draw_settings,
    make_trial,
    run_engine,
    toy_loss,
    toy_values,
)

from nas.engines import Engine, create_engine
from nas.errors import InputError
from nas.space import OpenValue, SearchSpace
from nas.trials import Criteria, Limit

SPACES = Path(__file__).parents[2] / "search_spaces"


@dataclass(frozen=True)
class Row:
    """How an engine is created, and the number of trials after which its proposals must have improved."""

    make: Callable[[Sequence[OpenValue], Sequence[Limit], int], Engine]
    trials: int = 0  # 0: does not learn
    asks: int = 40  # proposals in a test; few where one takes a second or more
    pending: int = 10  # proposals at the same time
    seeds: tuple[int, ...] = (1, 2, 3)
    slow: bool = False  # takes over 2 s in several tests
    replaces: bool = True  # a later report replaces the earlier one


def case(name: str, sampler: str = "", trials: int = 0) -> Row:
    def make(values: Sequence[OpenValue], limits: Sequence[Limit], seed: int) -> Engine:
        return create_engine(name, values, Criteria(OBJECTIVES), limits, describe, sampler=sampler, seed=seed)

    return Row(make, trials)


CASES = {
    "optuna-tpe": case("optuna", "tpe", 80),
    "optuna-nsga2": case("optuna", "nsga2", 160),
    "optuna-random": case("optuna", "random"),
    "keras-tuner-bayesian": replace(
        case("keras-tuner", "bayesian", 18), asks=8, pending=4, seeds=(1, 2), slow=True
    ),
    "keras-tuner-random": case("keras-tuner", "random"),
    "cheap-aware": replace(case("cheap-aware", trials=36), replaces=False),
}


def over(rows: dict[str, Row]) -> pytest.MarkDecorator:
    """Run a test for each row; slow ones are not part of `make check`."""
    marks = {name: [pytest.mark.trains] if row.slow else [] for name, row in rows.items()}
    return pytest.mark.parametrize("row", [pytest.param(r, marks=marks[n], id=n) for n, r in rows.items()])


every = over(CASES)
learning = over({name: row for name, row in CASES.items() if row.trials})


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load(SPACES / "xception_like.yaml").bind((16, 16, 1), 10)


@every
def test_proposals_build_networks_of_a_shipped_space(row: Row, space: SearchSpace) -> None:
    engine = row.make(space.open_values, (), 0)
    for number in range(14):
        setting = engine.ask()
        assert_valid(setting, space.open_values)
        architecture = space.design(setting).architecture
        engine.tell(make_trial(number, setting, accuracy=0.5, params=1000.0 + len(architecture.layers)))


@every
def test_proposals_respect_conditional_values(row: Row) -> None:
    proposed = run_engine(row.make(TOY, (), 3), row.asks)
    for setting in proposed:
        assert_valid(setting, TOY)
    assert len({setting["depth"] for setting in proposed}) > 1


@every
def test_pending_trials_are_reported_in_another_order(row: Row) -> None:
    engine = row.make(TOY, (), 1)
    for number, setting in enumerate(draw_settings(16, seed=1)):
        engine.tell(make_trial(number, setting))
    proposed = [engine.ask() for _ in range(row.pending)]
    for number in np.random.default_rng(0).permutation(row.pending):
        assert_valid(proposed[number], TOY)
        engine.tell(make_trial(16 + int(number), proposed[number]))
    run_engine(engine, 2, first=26)


@every
def test_every_state_of_proposed_and_unknown_trials(row: Row) -> None:
    engine = row.make(TOY, (Limit("params", 20_000.0),), 2)
    others = draw_settings(row.asks, seed=9)
    for number in range(row.asks):
        for setting in (engine.ask() if number % 4 else others[number], others[-1 - number]):
            values = toy_values(setting)
            if values["params"] > 20_000:
                engine.tell(make_trial(number, setting, "over_limit", 0, params=values["params"]))
            elif number % 5 == 0:
                engine.tell(
                    replace(make_trial(number, setting, "failed", 0), values={}, reason="out of memory")
                )
            else:
                short = {**values, "accuracy": values["accuracy"] - 0.2}
                engine.tell(make_trial(number, setting, "stopped", 1, **short))
                if number % 2:
                    engine.tell(make_trial(number, setting, "complete", 3, **values))
    assert_valid(engine.ask(), TOY)


@every
def test_consecutive_failures_are_allowed(row: Row) -> None:
    engine = row.make(TOY, (), 0)
    for number in range(12):
        setting = engine.ask()
        assert_valid(setting, TOY)
        engine.tell(replace(make_trial(number, setting, "failed"), values={}))


@every
def test_only_trials_over_a_limit(row: Row) -> None:
    engine = row.make(TOY, (Limit("params", 1.0),), 0)
    for number in range(12):
        setting = engine.ask()
        engine.tell(make_trial(number, setting, "over_limit", 0, params=toy_values(setting)["params"]))
    assert_valid(engine.ask(), TOY)


@every
def test_an_exhausted_space(row: Row) -> None:
    tiny = (OpenValue("depth", (1, 2)), OpenValue("bias", (True, False)), OpenValue("rate", (0, 0.5)))
    engine = row.make(tiny, (), 0)
    for number in range(16):
        setting = engine.ask()
        assert setting["bias"] in (True, False)
        engine.tell(make_trial(number, setting, accuracy=0.5, params=100.0))


@every
def test_a_trial_of_another_space_is_ignored(row: Row) -> None:
    engine, other = row.make(TOY, (), 5), row.make(TOY, (), 5)
    engine.tell(make_trial(0, {"other": 3}, accuracy=0.99, params=1.0))
    engine.tell(make_trial(1, {**draw_settings(1, 0)[0], "width": 9}, accuracy=0.99, params=1.0))
    assert [engine.ask() for _ in range(3)] == [other.ask() for _ in range(3)]


@every
def test_proposals_are_reproducible_by_seed(row: Row) -> None:
    first, again, other = (run_engine(row.make(TOY, (), seed), min(18, row.asks)) for seed in (4, 4, 5))
    assert first == again
    assert first != other


@every
def test_a_later_report_replaces_the_earlier_one(row: Row) -> None:
    if not row.replaces:
        pytest.skip("the engine learns from each fidelity separately")
    reported_twice, reported_once = row.make(TOY, (), 6), row.make(TOY, (), 6)
    record = draw_settings(30, seed=6)
    rng = np.random.default_rng(1)
    for number, setting in enumerate(record):
        values = {**toy_values(setting), "accuracy": float(rng.random())}
        reported_twice.tell(make_trial(number, setting, "stopped", 1, **values))
    for engine in (reported_twice, reported_once):
        for number, setting in enumerate(record):
            engine.tell(make_trial(number, setting))
    assert [reported_twice.ask() for _ in range(2)] == [reported_once.ask() for _ in range(2)]


@learning
def test_later_proposals_are_better_than_random(row: Row) -> None:
    random = np.array([toy_loss(setting) for setting in draw_settings(2000, seed=0)])
    later = [
        np.mean(
            [
                toy_loss(setting)
                for setting in run_engine(row.make(TOY, (), seed), row.trials)[row.trials // 2 :]
            ]
        )
        for seed in row.seeds
    ]
    # The mean of n random settings has a deviation of std / sqrt(n). With n >= 9, 0.5 is 1.5 sigma per seed.
    assert max(later) < random.mean() - 0.5 * random.std(), (later, random.mean(), random.std())


@learning
def test_a_replayed_record_improves_proposals(row: Row) -> None:
    random = np.array([toy_loss(setting) for setting in draw_settings(2000, seed=0)])
    means = []
    for seed in row.seeds:
        engine = row.make(TOY, (), seed)
        for number, setting in enumerate(draw_settings(60, seed=100 + seed)):
            engine.tell(make_trial(number, setting))
        means.append(np.mean([toy_loss(engine.ask()) for _ in range(row.asks // 4)]))
    assert np.mean(means) < random.mean() - 0.5 * random.std(), (means, random.mean(), random.std())


@every
def test_nothing_is_printed(row: Row, capfd: pytest.CaptureFixture[str]) -> None:
    run_engine(row.make(TOY, (), 0), 11)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "sampler", "message"),
    [
        ("optuan", "", "unknown engine 'optuan'; did you mean 'optuna'"),
        ("optuna", "radnom", "no sampler 'radnom'; did you mean 'random'"),
        ("keras-tuner", "radnom", "no oracle 'radnom'; did you mean 'random'"),
        ("cheap-aware", "tpe", "engine cheap-aware has no samplers, got 'tpe'"),
    ],
)
def test_an_unknown_engine_or_sampler_is_refused(name: str, sampler: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_engine(name, TOY, Criteria(OBJECTIVES), (), describe, sampler=sampler)
