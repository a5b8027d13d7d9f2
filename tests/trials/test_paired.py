"""Standard errors over seeds and examples, corrected p-values, and letters of ties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.trials.paired import combine, holm, seed_error, tie_letters


def answers(rng, seeds: int, difficulty: np.ndarray, spread: float, skill: float = 2.5) -> np.ndarray:
    """Return right answers (seeds, examples) of a network whose seeds and examples differ in skill."""
    skills = skill + rng.normal(0, spread, (seeds, 1))
    noise = rng.normal(0, 0.5, (seeds, len(difficulty)))
    return (rng.random(noise.shape) < 1 / (1 + np.exp(difficulty - skills - noise))).astype(float)


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.3), (5, 0.3), (5, 0.6)])
def test_standard_errors_and_p_values_hold_over_many_repetitions(seeds, spread):
    rng = np.random.default_rng(1)
    means, differences = [], []
    for _ in range(300):
        difficulty = rng.normal(0, 2, 300)
        first, second = (answers(rng, seeds, difficulty, spread) for _ in range(2))
        means.append(combine([(1.0, first)]))
        differences.append(combine([(1.0, first), (-1.0, second)]))
    for found in (means, differences):
        deviation = np.std([one.mean for one in found])
        stated = np.sqrt(np.mean([one.error**2 for one in found]))
        assert stated == pytest.approx(deviation, rel=0.15)
    assert 0.005 < np.mean([one.p < 0.05 for one in differences]) < 0.08


def test_examples_in_common_make_a_difference_more_exact():
    rng = np.random.default_rng(2)
    difficulty = rng.normal(0, 3, 500)
    first, second = (answers(rng, 5, difficulty, 0.1, skill) for skill in (3.0, 2.0))
    single = [combine([(1.0, table)]).error for table in (first, second)]
    assert combine([(1.0, first), (-1.0, second)]).error < 0.8 * np.hypot(*single)


def test_many_examples_leave_the_error_of_the_seeds():
    by_seed = np.array([0.2, 0.5, 0.6])
    table = np.repeat(by_seed[:, None], 50_000, axis=1)
    found = combine([(1.0, table)], is_share=False)
    assert found.error == pytest.approx(by_seed.std(ddof=1) / 3**0.5)
    assert found.degrees == pytest.approx(2.0)
    assert seed_error(table) == pytest.approx(found.error)


def test_equal_answers_are_tied_and_their_error_is_not_0():
    table = np.ones((3, 100))
    assert combine([(1.0, table)]).error == pytest.approx(0.01, rel=0.01)
    assert combine([(1.0, table), (-1.0, table)]).p == 1.0
    exact = combine([(1.0, table)], is_share=False)
    assert exact.error == 0.0
    assert exact.p == 0.0
    assert combine([(1.0, table), (-1.0, table)], is_share=False).p == 1.0


def test_one_seed_has_no_standard_error():
    found = combine([(1.0, np.ones((1, 10))), (-1.0, np.zeros((2, 10)))])
    assert (found.mean, found.error, found.p) == (1.0, None, None)
    assert seed_error(np.ones((1, 10))) is None


def test_p_values_are_corrected_as_holm_does():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_best_members_have_the_first_letters():
    assert tie_letters([7, 3, 5], [(7, 3), (3, 5)]) == {7: "a", 3: "ab", 5: "b"}
    assert tie_letters([4, 2], []) == {4: "a", 2: "b"}
    assert tie_letters([4], []) == {4: "a"}
    assert tie_letters([], []) == {}


@given(st.integers(1, 8), st.sets(st.integers(0, 27)))
def test_members_share_a_letter_if_and_only_if_they_are_tied(count, chosen):
    pairs = list(combinations(range(count), 2))
    ties = [pairs[index] for index in chosen if index < len(pairs)]
    letters = tie_letters(range(count), ties)
    assert all(letters.values())
    for pair in pairs:
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) == (pair in ties)
