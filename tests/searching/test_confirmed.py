"""What follows from trainings with new seeds, and the files that keep them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from random_trials import trial

from nas.errors import RecordError
from nas.searching import Plan
from nas.searching.confirmed import confirm_members, confirmed_values
from nas.searching.confirmed_trainings import ConfirmedTraining, read_trainings, trainings_text

PLAN = Plan.parse({"space": {}, "objectives": ("accuracy", "loss", "params")})
EXAMPLES = 400


def train(number: int, seed: int, share: float, rng, **changes) -> ConfirmedTraining:
    """Return a training whose answers are right with a probability, on both splits."""
    right = [(rng.random(EXAMPLES) < share).astype(float) for _ in range(2)]
    validation, test = ({"accuracy": float(one.mean()), "loss": 1 - float(one.mean())} for one in right)
    return ConfirmedTraining(number, f"{number:012x}", seed, validation, test, *right, **changes)


@pytest.fixture
def trials():
    """Return a front of three, and a dominated trial; the search finds the first better than it is."""
    found = [(0, 0.99, 30_000), (1, 0.96, 20_000), (2, 0.80, 10_000), (3, 0.5, 40_000)]
    return [trial(n, share, params, values={"val_loss": 1 - share}) for n, share, params in found]


@pytest.fixture
def trainings():
    rng = np.random.default_rng(0)
    return [train(n, seed, share, rng) for n, share in enumerate((0.95, 0.95, 0.80)) for seed in range(3)]


ASKED = [(number, seed) for seed in range(3) for number in range(3)]


def test_the_confirmed_front_is_that_of_the_test_means(trials, trainings):
    found = confirm_members("s", PLAN, trials, trainings, ASKED)
    assert found.searched == (0, 1, 2)
    assert {member.trial.number for member in found.members} == {0, 1, 2}
    errors = [member.test.mean for member in found.members]
    assert errors == sorted(errors, reverse=True)
    by_number = {member.trial.number: member for member in found.members}
    assert (by_number[0].test.mean > by_number[1].test.mean) == (0 in found.confirmed)
    assert {1, 2} <= set(found.confirmed)


def test_members_of_equal_quality_are_tied_and_others_are_not(trials, trainings):
    found = confirm_members("s", PLAN, trials, trainings, ASKED)
    letters = {member.trial.number: member.ties for member in found.members}
    assert letters[0] == letters[1] == "a"
    assert letters[2] == "b"
    assert found.smallest_tie.trial.number == 1
    tied = {one.trials: one.is_tie for one in found.comparisons}
    assert {frozenset(pair): tie for pair, tie in tied.items()} == {
        frozenset({0, 1}): True, frozenset({0, 2}): False, frozenset({1, 2}): False,
    }  # fmt: skip


def test_optimism_is_the_search_minus_the_new_seeds(trials, trainings):
    found = confirm_members("s", PLAN, trials, trainings, ASKED)
    member = next(member for member in found.members if member.trial.number == 0)
    validation = np.mean([one.validation["accuracy"] for one in trainings[:3]])
    assert found.optimism_of(member)[0] == pytest.approx(0.99 - validation)
    test = np.mean([[found.optimism_of(one)[n] for one in found.members] for n in (0, 1)], axis=1)
    assert [one.mean for one in found.optimism] == pytest.approx(test)
    assert all(0 < one.error < 0.03 for one in found.optimism)


def test_a_loss_is_optimistic_if_the_search_has_less(trials, trainings):
    plan = Plan.parse({"space": {}, "objectives": ("loss", "params")})
    found = confirm_members("s", plan, trials, trainings, ASKED)
    member = next(member for member in found.members if member.trial.number == 0)
    assert found.optimism_of(member)[0] == pytest.approx(member.validation.mean - 0.01)
    assert found.members[0].test.mean == min(member.test.mean for member in found.members)


def test_one_training_of_a_member_is_not_compared(trials, trainings):
    found = confirm_members("s", PLAN, trials, trainings[:7], ASKED)
    single = next(member for member in found.members if member.trial.number == 2)
    assert (single.ties, single.test.error, found.missing) == (None, None, 2)
    assert [set(one.trials) for one in found.comparisons] == [{0, 1}]
    assert "test_accuracy_se" not in confirmed_values(single, PLAN.criteria.qualities)
    assert json.dumps(found.as_data(), allow_nan=False)


def test_failed_trainings_and_those_of_other_networks_are_left_out(trials, trainings):
    rng = np.random.default_rng(1)
    more = [train(0, 3, 0.5, rng, failed="the loss is nan"), train(9, 0, 0.5, rng)]
    found = confirm_members("s", PLAN, trials, [*trainings, *more], [*ASKED, (0, 3)])
    assert [one.failed for one in found.members if one.trial.number == 0] == [1]
    assert found.missing == 1
    assert found.seeds == 4
    assert 9 not in {member.trial.number for member in found.members}


def test_no_training_gives_no_member(trials):
    data = confirm_members("s", PLAN, trials, [], ASKED).as_data()
    assert (data["members"], data["optimism"], data["missing"]) == ([], None, 9)
    assert json.dumps(data, allow_nan=False)


def test_the_folds_of_the_seeds_have_other_validation_examples(trials, trainings):
    plan = PLAN.model_copy(update={"folds": 3})
    found = confirm_members("s", plan, trials, trainings, ASKED)
    member = next(member for member in found.members if member.trial.number == 0)
    values = [one.validation["accuracy"] for one in trainings[:3]]
    assert member.validation.error == pytest.approx(np.std(values, ddof=1) / 3**0.5)


def test_values_for_the_runs_of_trials_have_means_and_errors(trials, trainings):
    found = confirm_members("s", PLAN, trials, trainings, ASKED)
    values = confirmed_values(found.members[0], PLAN.criteria.qualities)
    assert set(values) == {
        "confirmed_accuracy", "confirmed_accuracy_se", "confirmed_loss",
        "test_accuracy", "test_accuracy_se", "test_loss",
    }  # fmt: skip
    assert values["test_accuracy"] == found.members[0].test.mean


def test_trainings_are_read_as_they_were_written(trainings):
    rng = np.random.default_rng(0)
    numbers = train(5, 0, 0.5, rng, seconds=2.5)
    object.__setattr__(numbers, "test_examples", rng.normal(size=7).astype(np.float32))
    read = read_trainings(trainings_text([*trainings, numbers]))
    for one, other in zip([*trainings, numbers], read, strict=True):
        assert np.array_equal(one.test_examples, other.test_examples)
        assert np.array_equal(one.validation_examples, other.validation_examples)
        plain = [{k: v for k, v in vars(x).items() if not k.endswith("_examples")} for x in (one, other)]
        assert plain[0] == plain[1]
    assert len(trainings_text(trainings)) < 9 * 2 * EXAMPLES


@pytest.mark.parametrize("text", ["{", "[]", '{"trainings": [{}]}', '{"trainings": [{"trial": 1}]}'])
def test_damaged_trainings_are_an_error(text):
    with pytest.raises(RecordError, match=r"confirmed_trainings.json must hold trainings"):
        read_trainings(text)
    assert read_trainings("") == []
