"""The front of trials as trials, rows and CSV, and the hypervolume over trials."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math

import pytest
from random_trials import ONE, THREE, TWO, random_trials, trial

from nas.trials import Trial, front_csv, hypervolume_curve, pareto_front, trial_rows
from nas.trials.front import _bounds


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
    found = pareto_front(trials, objectives)
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
    assert [t.number for t in pareto_front(trials, TWO)] == [0, 5]
    assert pareto_front([], TWO) == []


def test_rows_are_plain_data() -> None:
    rows = trial_rows([trial(4, 0.75, 20), trial(3, 0.5, 10)], THREE)
    assert json.loads(json.dumps(rows)) == [
        {"trial": 4, "id": "000000000004", "accuracy": 0.75, "params": 20, "flops": 4000, "latency_ms": 0.02},
        {"trial": 3, "id": "000000000003", "accuracy": 0.5, "params": 10, "flops": 2000, "latency_ms": 0.01},
    ]
    assert list(rows[0]) == ["trial", "id", "accuracy", "params", "flops", "latency_ms"]


def test_csv_round_trip() -> None:
    trials = random_trials(40)
    read = list(csv.DictReader(io.StringIO(front_csv(trials, TWO))))
    front = pareto_front(trials, TWO)
    assert [
        (int(row["trial"]), float(row["accuracy"]), row["run_id"], row["setting.conv"]) for row in read
    ] == [(t.number, t.values["accuracy"], t.run_id, "separable") for t in front]
    assert front_csv([], TWO) == "trial,id\n"


def test_hypervolume_equals_a_calculation_by_hand() -> None:
    trials = [
        trial(0, 0.5, 100),
        trial(1, 0.4, 100),  # dominated
        trial(2, 0.2, 10),
        trial(3, 1.0, 1, state="stopped"),
        trial(4, 0.8, 1000),
    ]
    curve = hypervolume_curve(trials, TWO, {"params": (10, 10_000)})
    third = 1 / 3
    first = 0.5 * 2 * third
    assert curve == pytest.approx(
        [first, first, first + 0.2 * third, first + 0.2 * third, first + 0.2 * third + 0.3 * third]
    )
    assert hypervolume_curve([], TWO) == []


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_the_hypervolume_never_falls(objectives) -> None:
    trials = random_trials(60, seed=4)
    curve = hypervolume_curve(trials, objectives)
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(curve))
    assert 0 < curve[-1] <= 1
    front_only = hypervolume_curve(pareto_front(trials, objectives), objectives, _bounds(trials, objectives))
    assert front_only[-1] == pytest.approx(curve[-1])
