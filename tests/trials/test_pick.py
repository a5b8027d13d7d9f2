"""Picking a trial by rule, by number and with conditions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.errors import InputError
from nas.trials import Criteria, Trial, parse_objectives, pick_trial
from nas.trials.pick import Condition, parse_conditions

CRITERIA = Criteria(parse_objectives(["accuracy", "params"]))

TRIALS = [
    Trial(number, {}, str(number), state, {"accuracy": accuracy, "params": params}, 3)
    for number, state, accuracy, params in (
        (0, "complete", 0.60, 100),
        (1, "complete", 0.95, 1_000),
        (2, "complete", 0.96, 100_000),
        (3, "complete", 0.70, 90_000),
        (4, "stopped", 0.99, 50),
    )
]


@pytest.mark.parametrize(
    ("choice", "where", "number"),
    [
        ("best", "", 2),
        ("smallest", "", 0),
        ("smallest-within 1%", "", 1),
        ("smallest-within 0.5 %", "", 2),
        ("smallest-within 36%", "", 0),
        ("smallest-within 1%", "params > 1000", 2),
        ("knee", "", 1),
        ("3", "", 3),
        ("best", "params < 50000", 1),
        ("smallest", "accuracy >= 0.9", 1),
        ("best", "params <= 1e3 and accuracy < 0.9", 0),
        ("best", "params > 1000, params < 95000", 3),
    ],
)
def test_pick(choice, where, number):
    assert pick_trial(TRIALS, CRITERIA, choice, where).number == number


def test_a_condition_may_name_an_objective():
    assert parse_conditions("loss < 0.1, latency <= 1") == [
        Condition("val_loss", "<", 0.1),
        Condition("latency_ms", "<=", 1.0),
    ]


def test_conditions_are_parsed():
    assert parse_conditions("a<1 and b >= 2.5") == [Condition("a", "<", 1.0), Condition("b", ">=", 2.5)]


@pytest.mark.parametrize(
    ("choice", "where", "message"),
    [
        ("bst", "", "did you mean 'best'"),
        ("9", "", "the search has no trial 9"),
        ("smallest-within", "", "did you mean 'smallest-within N%'"),
        ("fastest-within 1%", "", "got trials without latency_ms; use best"),
        ("best", "params << 3", "'params < 50000"),
        ("best", "parms < 3", "did you mean 'params'"),
        ("best", "params < 3", "no trial that meets 'params < 3'"),
        ("best", "params < 3e", "a condition must be"),
    ],
)
def test_an_impossible_choice_is_one_clear_error(choice, where, message):
    with pytest.raises(InputError, match=message):
        pick_trial(TRIALS, CRITERIA, choice, where)


def test_no_rule_picks_a_trial_below_the_quality_floor():
    guarded = replace(CRITERIA, guess=0.9)
    assert pick_trial(TRIALS, guarded, "smallest").number == 1
    assert pick_trial(TRIALS, guarded, "0").number == 0
    with pytest.raises(InputError, match=r"reaches the least accuracy of 0\.97, the best has 0\.96"):
        pick_trial(TRIALS, replace(CRITERIA, min_quality=0.97), "best")
