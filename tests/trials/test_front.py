"""The front of trials as trials, rows and CSV, and the hypervolume over trials."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from random_trials import ONE, THREE, TWO, random_trials, trial

from nas.trials import Criteria, Trial, front_csv, hypervolume_curve, pareto_front, trial_rows


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_the_front_follows_its_definition(objectives) -> None:
    trials = random_trials(80)

    def dominates(a: Trial, b: Trial) -> bool:
        signs = [-1 if objective.maximize else 1 for objective in objectives]
        pairs = [
            (sign * a.values[objective.name], sign * b.values[objective.name])
            for sign, objective in zip(signs, objectives, strict=True)
        ]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    complete = [t for t in trials if t.state == "complete"]
    expected = {t.number for t in complete if not any(dominates(other, t) for other in complete)}
    found = pareto_front(trials, Criteria(objectives))
    assert {t.number for t in found} == expected
    accuracies = [t.values["accuracy"] for t in found]
    assert accuracies == sorted(accuracies, reverse=True)


def test_only_complete_trials_with_all_values_are_on_the_front() -> None:
    trials = [
        trial(0, 0.9, 100),
        trial(1, 0.99, 10, state="stopped"),
        trial(2, 0.99, 10, state="over_limit"),
        trial(3, math.nan, 10),
        Trial(4, {}, "x", "complete", {"accuracy": 0.95}),
        trial(5, 0.9, 100),
    ]
    assert [t.number for t in pareto_front(trials, Criteria(TWO))] == [0, 5]
    assert pareto_front([], Criteria(TWO)) == []


def test_rows_are_plain_data() -> None:
    rows = trial_rows([trial(4, 0.75, 20), trial(3, 0.5, 10)], THREE)
    assert json.loads(json.dumps(rows)) == [
        {"trial": 4, "id": "000000000004", "accuracy": 0.75, "params": 20, "flops": 4000, "latency_ms": 0.02},
        {"trial": 3, "id": "000000000003", "accuracy": 0.5, "params": 10, "flops": 2000, "latency_ms": 0.01},
    ]
    assert list(rows[0]) == ["trial", "id", "accuracy", "params", "flops", "latency_ms"]


def test_csv_round_trip() -> None:
    trials = random_trials(40)
    read = list(csv.DictReader(io.StringIO(front_csv(trials, Criteria(TWO)))))
    front = pareto_front(trials, Criteria(TWO))
    assert [
        (int(row["trial"]), float(row["accuracy"]), row["run_id"], row["setting.conv"]) for row in read
    ] == [(t.number, t.values["accuracy"], t.run_id, "separable") for t in front]
    assert front_csv([], Criteria(TWO)) == "trial,id\n"


def test_hypervolume_equals_a_calculation_by_hand() -> None:
    trials = [
        trial(0, 0.5, 100),
        trial(1, 0.4, 100),  # dominated
        trial(2, 0.2, 10),
        trial(3, 1.0, 1, state="stopped"),
        trial(4, 0.8, 1000),
    ]
    criteria = Criteria(TWO, examples=96, bounds={"params": (10, 10_000)})
    assert criteria.resolution == pytest.approx(0.04)

    def height(accuracy: float) -> float:
        return math.log(1.04 / (1.04 - accuracy)) / math.log(1.04 / 0.04)

    first, second, third = 2 / 3 * height(0.5), height(0.2) / 3, (height(0.8) - height(0.5)) / 3
    curve = [first, first, first + second, first + second, first + second + third]
    assert hypervolume_curve(trials, criteria) == pytest.approx(curve)
    assert hypervolume_curve([], criteria) == []


def test_the_scale_is_logarithmic_down_to_the_resolution_of_the_validation_split() -> None:
    criteria = Criteria(TWO, examples=10**6)
    halved = np.diff(criteria.level(np.array([0.4, 0.2, 0.1, 0.05])))
    assert halved == pytest.approx(np.full(3, -math.log(2)), rel=1e-3)
    few = Criteria(TWO, examples=96)
    error = few.resolution  # twice its standard error
    assert 2 * math.sqrt(error * (1 - error) / 96) == pytest.approx(error)
    assert few.level(0.0) == pytest.approx(math.log(0.04))


def test_the_floor_is_the_geometric_mean_of_the_errors_of_guessing_and_of_the_best() -> None:
    criteria = Criteria(TWO, examples=10**9, guess=0.9)
    assert criteria.floor(0.01) == pytest.approx(math.sqrt(0.9 * 0.01), rel=1e-4)
    assert criteria.floor(0.95) == 0.95  # worse than guessing: the best network is still of use
    assert replace(criteria, min_quality=0.8).floor(0.01) == pytest.approx(0.2)
    assert Criteria(TWO).floor(0.01) == math.inf
    # At a rung the floor lies at the same share of the way to guessing, on the log scale.
    assert criteria.floor_at(0.1, 0.01) == pytest.approx(0.3, rel=1e-3)
    strict = replace(criteria, min_quality=1 - 0.9**0.25 * 0.01**0.75)
    assert strict.floor_at(0.1, 0.01) == pytest.approx(0.9**0.25 * 0.1**0.75, rel=1e-3)


def test_a_network_below_the_floor_is_not_on_the_front_and_has_no_volume() -> None:
    trials = [trial(0, 0.2, 10), trial(1, 0.99, 1000), trial(2, 0.85, 100)]
    criteria = Criteria(TWO, examples=1000, guess=0.9, bounds={"params": (10, 10_000)})
    assert [t.number for t in pareto_front(trials, criteria)] == [1]
    assert [t.number for t in pareto_front(trials, replace(criteria, min_quality=0.15))] == [1, 2, 0]
    curve = hypervolume_curve(trials, criteria)
    assert curve[0] == 0.0
    assert 0 < curve[1] == curve[2]


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
@pytest.mark.parametrize("guess", [None, 0.9])
def test_the_hypervolume_never_falls(objectives, guess) -> None:
    trials = random_trials(60, seed=4)
    criteria = Criteria(objectives, guess=guess)
    curve = hypervolume_curve(trials, criteria)
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(curve))
    assert 0 < curve[-1] <= 1
    bounds = {}
    for objective in criteria.costs:
        values = [t.values[objective.name] for t in trials if objective.name in t.values]
        bounds[objective.name] = min(values), max(values)
    front_only = hypervolume_curve(pareto_front(trials, criteria), replace(criteria, bounds=bounds))
    assert front_only[-1] == pytest.approx(curve[-1])
