"""Qualities of regression and their standard errors, compared with scikit-learn and with resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from nas.backends import TargetScale
from nas.evaluation.number_metrics import NumberAnswers, constant_numbers


def number_answers(examples: int = 300, seed: int = 0) -> NumberAnswers:
    """Return answers to two numbers of different units, of which one has more error."""
    rng = np.random.default_rng(seed)
    truth = (rng.gamma(3, size=(examples, 2)) * [1, 500] + [5, -2000]).astype(np.float32)
    predicted = truth + rng.normal(size=(examples, 2)) * [0.4, 500]
    losses = (((predicted - truth) / TargetScale.of(truth).deviations) ** 2).mean(axis=1)
    return NumberAnswers(truth, predicted, losses)


def test_the_qualities_equal_those_of_scikit_learn():
    given = number_answers()
    found = given.metrics()
    assert found["r2"] == pytest.approx(metrics.r2_score(given.truth, given.predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(given.truth, given.predicted))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(given.truth, given.predicted))
    assert found["loss"] == pytest.approx(given.losses.mean())
    second = given.select(1).metrics()
    assert second["r2"] == pytest.approx(metrics.r2_score(given.truth[:, 1], given.predicted[:, 1]))


def test_standard_errors_are_the_deviation_over_many_splits():
    splits = [number_answers(400, seed) for seed in range(400)]
    found, stated = [one.metrics() for one in splits], [one.standard_errors() for one in splits]
    assert found[0].keys() == stated[0].keys() == {"loss", "r2", "mae", "rmse"}
    for name in ("r2", "mae", "rmse"):
        deviation = np.std([one[name] for one in found], ddof=1)
        assert np.mean([one[name] for one in stated]) == pytest.approx(deviation, rel=0.12), name


def test_a_number_that_does_not_vary_is_left_out_of_r2():
    given = number_answers()
    truth, predicted = (np.pad(part, [(0, 0), (0, 1)]) for part in (given.truth, given.predicted))
    more = NumberAnswers(truth, predicted, given.losses)
    assert more.metrics()["r2"] == pytest.approx(given.metrics()["r2"])
    assert more.standard_errors()["r2"] == pytest.approx(given.standard_errors()["r2"])
    perfect = NumberAnswers(truth, truth, given.losses)
    assert perfect.metrics()["rmse"] == perfect.standard_errors()["rmse"] == 0.0
    assert TargetScale.of(truth).deviations[2] == 1.0


def test_the_constant_answer_is_that_of_scikit_learn():
    truth = number_answers().truth
    scale = TargetScale.of(number_answers(seed=1).truth)
    found = constant_numbers(truth, scale)
    mean, median = (np.tile(one(truth, axis=0), (len(truth), 1)) for one in (np.mean, np.median))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, mean.astype(float)), abs=1e-6)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, median))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, mean))
    squares = ((truth - mean) / scale.deviations) ** 2
    assert found["val_loss"] == pytest.approx(squares.mean(), rel=1e-4)


def test_contributions_have_the_metric_as_mean_and_its_standard_error():
    given = number_answers()
    errors = given.standard_errors()
    for name, value in given.metrics().items():
        found = given.contributions(name)
        assert found.shape == (300,)
        assert found.mean() == pytest.approx(value), name
        assert found.std() / 300**0.5 == pytest.approx(errors[name], rel=0.02), name
