"""Halving: who goes on, with several objectives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.searching.halving import Halving, rungs
from nas.trials import OBJECTIVES, Trial

ACCURACY, PARAMS, FLOPS = (OBJECTIVES[name] for name in ("accuracy", "params", "flops"))


def trial(number: int, accuracy: float, params: float, epochs: int = 1, full: int = 9) -> Trial:
    curve = [{"epoch": epoch, "val_accuracy": accuracy} for epoch in range(1, epochs + 1)]
    return Trial(
        number=number,
        setting={},
        id=str(number),
        state="complete" if epochs == full else "stopped",
        values={"accuracy": accuracy, "params": params, "flops": params},
        epochs=epochs,
        curve=curve,
    )


def out_of_reach() -> Trial:
    """One trained in full that was poor at first, cheap, and then better than all: none is ahead of it."""
    ended = trial(99, 0.01, 1, epochs=9)
    return replace(ended, values={**ended.values, "accuracy": 0.999})


@pytest.mark.parametrize(
    ("epochs", "reduction", "expected"),
    [(27, 3, (1, 3, 9, 27)), (10, 3, (1, 3, 10)), (8, 2, (1, 2, 4, 8)), (1, 3, (1,)), (2, 3, (2,))],
)
def test_rungs(epochs, reduction, expected):
    assert rungs(epochs, reduction) == expected


def test_one_in_reduction_goes_on_where_costs_are_equal():
    rule = Halving((1, 3, 9), 3, (ACCURACY, PARAMS), examples=10**6)
    trials = [trial(number, 0.1 * number, 1000) for number in range(6)]
    assert set(rule.promotable([*trials, out_of_reach()])) == {5}  # 4 is beaten by 5 at equal cost
    assert rule.promotable([trials[1], out_of_reach()]) == []
    assert rule.promotable(trials, busy=frozenset({5})) == []


def test_without_costs_it_is_plain_successive_halving():
    rule = Halving((1, 3, 9), 3, (ACCURACY,), examples=4)
    trials = [trial(number, 0.05 * number, 1000) for number in range(9)]
    assert set(rule.promotable(trials)) == {8, 7, 6}


def test_a_small_network_is_not_ended_by_a_large_ones_accuracy():
    rule = Halving((1, 3, 9), 3, (ACCURACY, PARAMS), examples=10_000)
    rng = np.random.default_rng(0)
    trials = [trial(n, 0.5 + 0.02 * n + rng.normal() * 0.002, 100 * 1.5**n) for n in range(24)]
    chosen = sorted(rule.promotable([*trials, out_of_reach()]))
    by_accuracy = sorted(range(24), key=lambda n: -trials[n].values["accuracy"])[: len(chosen)]
    assert chosen != sorted(by_accuracy)
    assert chosen[0] < 6
    assert chosen[-1] > 17
    assert len(chosen) <= 24 // 3


def test_a_tiny_network_that_a_no_dearer_one_beats_does_not_go_on():
    rule = Halving((1, 3), 3, (ACCURACY, PARAMS, FLOPS), examples=1000)
    good = [trial(n, 0.9, 100 + n) for n in range(3)]
    bad = [trial(10 + n, 0.2, 1000 + n) for n in range(9)]
    assert set(rule.promotable([*good, *bad])) <= {0, 1, 2}


def test_noise_alone_does_not_end_a_network():
    few, many = (Halving((1, 3), 2, (ACCURACY, PARAMS), examples=n) for n in (50, 10**6))
    trials = [trial(0, 0.91, 10), trial(1, 0.90, 20), trial(2, 0.5, 20), trial(3, 0.5, 20)]
    assert set(few.promotable(trials)) == {0, 1}
    assert set(many.promotable(trials)) == {0}


def test_higher_rungs_come_first_and_compare_at_equal_epochs():
    rule = Halving((1, 3, 9), 3, (ACCURACY,), examples=100)
    trials = [trial(n, 0.1 * n, 1, epochs=3 if n >= 6 else 1) for n in range(9)]
    assert rule.promotable(trials) == [8]
    assert rule.next_rung(0) == 1
    assert rule.next_rung(1) == 3
    assert rule.next_rung(3) == 9


def test_failed_and_over_limit_trials_do_not_count():
    rule = Halving((1, 3), 3, (ACCURACY,), examples=100)
    failed = Trial(number=9, setting={}, id="9", state="failed")
    assert rule.promotable([trial(0, 0.5, 1), out_of_reach()]) == []
    assert rule.promotable([trial(0, 0.5, 1), out_of_reach(), failed]) == []


def test_what_is_quick_and_on_the_front_goes_on_at_once():
    rule = Halving((1, 3, 9), 9, (ACCURACY, PARAMS), examples=10**6)
    took = [(0.5, 10), (0.7, 20), (0.65, 30)]  # the last is beaten by the second
    trials = [trial(n, accuracy, params) for n, (accuracy, params) in enumerate(took)]
    slow = [replace(t, seconds={"trace": 1.0, "train": 4.0}) for t in trials]
    done = out_of_reach()
    assert rule.promotable([slow[0], done]) == []  # too few for one in nine
    quick = [replace(t, seconds={"trace": 1.0, "train": 0.1}) for t in trials]
    assert rule.promotable([quick[0], slow[2], done]) == [0]
    assert set(rule.promotable([*quick, done])) == {0, 1}
    assert rule.promotable([trials[0], done]) == []  # how long they took is not known


def test_what_is_ahead_of_all_that_were_trained_further_goes_on_at_once():
    rule = Halving((1, 3, 9), 9, (ACCURACY, PARAMS), examples=1000)
    first = [trial(0, 0.5, 10), trial(1, 0.7, 20)]
    assert set(rule.promotable(first)) == {0, 1}  # nothing went further yet
    assert rule.promotable(first, busy=frozenset({0})) == [1]  # better than what goes on costs less
    assert rule.promotable(first, busy=frozenset({1})) == [0]  # cheaper than all that go on
    at_full_length = [trial(2, 0.6, 10, epochs=9), trial(3, 0.75, 20, epochs=9)]
    assert rule.promotable([*first, *at_full_length]) == []
    for accuracy, expected in ((0.77, []), (0.79, [4])):  # by less and by more than two deviations
        assert rule.promotable([*first, *at_full_length, trial(4, accuracy, 20)]) == expected


@pytest.mark.parametrize(("busy", "expected"), [((), [0]), ((0,), [])])
def test_without_costs_only_the_best_is_ahead(busy, expected):
    rule = Halving((1, 3), 3, (ACCURACY,), examples=1000)
    assert rule.promotable([trial(0, 0.7, 1), trial(1, 0.6, 1)], busy=frozenset(busy)) == expected


def test_seconds_to_go_on_are_those_of_the_epochs_so_far():
    ended = replace(trial(0, 0.5, 10, epochs=3), seconds={"build": 9.0, "train": 4.0, "validate": 2.0})
    assert ended.seconds_to(9) == pytest.approx(12.0)
    assert np.isnan(trial(0, 0.5, 10).seconds_to(9))
