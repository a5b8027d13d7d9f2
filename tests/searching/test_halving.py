"""Successive halving with several objectives: which trials are promoted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.searching.halving import Halving, rungs
from nas.trials import OBJECTIVES, Criteria, Trial, parse_objectives

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


def best_at_full_length() -> Trial:
    """Return a cheap trial that was poor at the rungs and is better than all at full length.

    Next to it no trial is ahead of those that were trained further, so that rule promotes none.
    """
    ended = trial(99, 0.01, 1, epochs=9)
    return replace(ended, values={**ended.values, "accuracy": 0.999})


@pytest.mark.parametrize(
    ("epochs", "reduction", "expected"),
    [(27, 3, (1, 3, 9, 27)), (10, 3, (1, 3, 10)), (8, 2, (1, 2, 4, 8)), (1, 3, (1,)), (2, 3, (2,))],
)
def test_rungs(epochs, reduction, expected):
    assert rungs(epochs, reduction) == expected


def test_one_in_reduction_is_promoted_at_equal_costs():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY, PARAMS), 10**6))
    trials = [trial(number, 0.1 * number, 1000) for number in range(6)]
    assert set(halving.promotable([*trials, best_at_full_length()])) == {5}  # 5 dominates 4 at equal cost
    assert halving.promotable([trials[1], best_at_full_length()]) == []
    assert halving.promotable(trials, busy=frozenset({5})) == []


def test_without_costs_the_best_are_promoted():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY,), 4))
    trials = [trial(number, 0.05 * number, 1000) for number in range(9)]
    assert set(halving.promotable(trials)) == {8, 7, 6}


def test_a_small_network_is_compared_with_small_ones():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY, PARAMS), 10_000))
    rng = np.random.default_rng(0)
    trials = [trial(n, 0.5 + 0.02 * n + rng.normal() * 0.002, 100 * 1.5**n) for n in range(24)]
    chosen = sorted(halving.promotable([*trials, best_at_full_length()]))
    by_accuracy = sorted(range(24), key=lambda n: -trials[n].values["accuracy"])[: len(chosen)]
    assert chosen != sorted(by_accuracy)
    assert chosen[0] < 6
    assert chosen[-1] > 17
    assert len(chosen) <= 24 // 3


def test_losses_over_1_are_compared_beyond_noise():
    criteria = Criteria(parse_objectives(["loss", "params"]), examples=100)
    halving = Halving((1, 3), 3, criteria)
    rows = np.array([[2.0, 5.0], [2.5, 5.0]])  # the standard error of a loss of 2 is about 0.2
    assert list(halving._dominated(rows, np.array([[1.7, 5.0]]), 2.0)) == [False, True]


def test_a_loss_is_read_from_the_curve():
    criteria = Criteria(parse_objectives(["loss", "params"]), examples=100)
    trials = [
        Trial(n, {}, str(n), "stopped", {"val_loss": loss, "params": 10.0}, 1,
              curve=({"epoch": 1.0, "loss": 1.0, "val_loss": loss},), seconds={"train": 1.0})
        for n, loss in enumerate([2.0, 0.5, 1.0])
    ]  # fmt: skip
    assert Halving((1, 3), 3, criteria).promotable(trials, last=True) == [1]


def test_a_dominated_tiny_network_is_not_promoted():
    halving = Halving((1, 3), 3, Criteria((ACCURACY, PARAMS, FLOPS), 1000))
    good = [trial(n, 0.9, 100 + n) for n in range(3)]
    bad = [trial(10 + n, 0.2, 1000 + n) for n in range(9)]
    assert set(halving.promotable([*good, *bad])) <= {0, 1, 2}


def test_a_trial_below_the_quality_floor_is_never_promoted():
    criteria = Criteria((ACCURACY, PARAMS), 10**6, guess=0.9)
    halving = Halving((1, 3, 9), 3, criteria)
    good = [trial(n, 0.9 + 0.01 * n, 1000 * (n + 1)) for n in range(3)]
    tiny = [trial(10 + n, 0.6 + 0.01 * n, 10 * (n + 1)) for n in range(6)]  # the floor at this rung is 0.75
    for last in (False, True):
        chosen = halving.promotable([*good, *tiny], last=last)
        assert chosen
        assert set(chosen) <= {0, 1, 2}
    relaxed = Halving((1, 3, 9), 3, replace(criteria, min_quality=0.2))
    assert {10, 15} <= set(relaxed.promotable([*good, *tiny], last=True))


def test_a_trial_below_the_floor_of_an_earlier_rung_is_not_promoted_from_a_later_one():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY, PARAMS), 10**6, guess=0.9))
    early = trial(0, 0.1, 10, epochs=3)  # it reached the second rung before there was a better one
    assert halving.promotable([early], last=True) == [0]
    assert halving.promotable([early, trial(1, 0.95, 1000)], last=True) == [1]


def test_a_difference_within_noise_does_not_stop_a_network():
    few, many = (Halving((1, 3), 2, Criteria((ACCURACY, PARAMS), n)) for n in (50, 10**6))
    trials = [trial(0, 0.91, 10), trial(1, 0.90, 20), trial(2, 0.5, 20), trial(3, 0.5, 20)]
    assert set(few.promotable(trials)) == {0, 1}
    assert set(many.promotable(trials)) == {0}


def test_higher_rungs_come_first_and_trials_are_compared_at_equal_epochs():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY,), 100))
    trials = [trial(n, 0.1 * n, 1, epochs=3 if n >= 6 else 1) for n in range(9)]
    assert halving.promotable(trials) == [8]
    assert halving.next_rung(0) == 1
    assert halving.next_rung(1) == 3
    assert halving.next_rung(3) == 9


def test_failed_trials_are_ignored():
    halving = Halving((1, 3), 3, Criteria((ACCURACY,), 100))
    failed = Trial(number=9, setting={}, id="9", state="failed")
    assert halving.promotable([trial(0, 0.5, 1), best_at_full_length()]) == []
    assert halving.promotable([trial(0, 0.5, 1), best_at_full_length(), failed]) == []


def test_a_front_member_is_promoted_at_once_if_that_is_quick():
    halving = Halving((1, 3, 9), 9, Criteria((ACCURACY, PARAMS), 10**6))
    results = [(0.5, 10), (0.7, 20), (0.65, 30)]  # the second dominates the last
    trials = [trial(n, accuracy, params) for n, (accuracy, params) in enumerate(results)]
    slow = [replace(t, seconds={"trace": 1.0, "train": 4.0}) for t in trials]
    done = best_at_full_length()
    assert halving.promotable([slow[0], done]) == []  # too few to promote one in nine
    quick = [replace(t, seconds={"trace": 1.0, "train": 0.1}) for t in trials]
    assert halving.promotable([quick[0], slow[2], done]) == [0]
    assert set(halving.promotable([*quick, done])) == {0, 1}
    assert halving.promotable([trials[0], done]) == []  # their times are unknown


def test_a_front_member_ahead_of_all_that_were_trained_further_is_promoted_at_once():
    halving = Halving((1, 3, 9), 9, Criteria((ACCURACY, PARAMS), 1000))
    first = [trial(0, 0.5, 10), trial(1, 0.7, 20)]
    assert set(halving.promotable(first)) == {0, 1}  # no trial was trained further yet
    assert halving.promotable(first, busy=frozenset({0})) == [
        1
    ]  # better than the cheaper one that was promoted
    assert halving.promotable(first, busy=frozenset({1})) == [0]  # cheaper than all that were promoted
    at_full_length = [trial(2, 0.6, 10, epochs=9), trial(3, 0.75, 20, epochs=9)]
    assert halving.promotable([*first, *at_full_length]) == []
    for accuracy, expected in ((0.77, []), (0.79, [4])):  # by less and by more than two standard errors
        assert halving.promotable([*first, *at_full_length, trial(4, accuracy, 20)]) == expected


@pytest.mark.parametrize(("busy", "expected"), [((), [0]), ((0,), [])])
def test_without_costs_only_the_best_trial_is_ahead(busy, expected):
    halving = Halving((1, 3), 3, Criteria((ACCURACY,), 1000))
    assert halving.promotable([trial(0, 0.7, 1), trial(1, 0.6, 1)], busy=frozenset(busy)) == expected


def test_seconds_to_train_on_are_predicted_from_the_epochs_so_far():
    ended = replace(trial(0, 0.5, 10, epochs=3), seconds={"build": 9.0, "train": 6.0, "validate": 2.0})
    assert ended.seconds_to(9) == pytest.approx(12.0)
    assert np.isnan(trial(0, 0.5, 10).seconds_to(9))


def test_trials_that_are_dominated_beyond_noise_need_no_weights_any_more():
    halving = Halving((1, 3, 9), 3, Criteria((ACCURACY, PARAMS), 100))  # a standard error of 3 % at .9
    front, within, beyond = trial(0, 0.95, 100, 9), trial(1, 0.94, 200, 9), trial(2, 0.7, 300, 9)
    small = trial(3, 0.5, 10, 9)
    paused, behind, poor = trial(4, 0.9, 150, 3), trial(5, 0.89, 400, 3), trial(6, 0.3, 400, 3)
    failed = replace(trial(7, 0.1, 900, 3), state="failed")
    trials = [front, within, beyond, small, paused, behind, poor, failed]
    assert halving.dominated(trials) == [poor, beyond]
    assert halving.dominated(trials, ended=True) == [paused, behind, poor, beyond]
    assert halving.dominated([]) == []
