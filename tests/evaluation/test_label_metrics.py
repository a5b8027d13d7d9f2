"""Qualities of several labels and their standard errors, compared with scikit-learn and with resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from nas.evaluation.label_metrics import LabelAnswers, average_precisions, constant_labels

SHARES = np.array([0.6, 0.3, 0.1])


def label_answers(examples: int = 300, seed: int = 0) -> LabelAnswers:
    """Return answers to labels of different frequency that are alike in an example; some scores are equal."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(examples, 1))
    truth = (rng.random((examples, 3)) < SHARES * (1 + 0.5 * np.tanh(common))).astype(np.int32)
    scores = np.round(1.5 * truth - 0.8 + rng.normal(size=(examples, 3)) + 0.5 * common, 1)
    losses = (np.log1p(np.exp(scores)) - truth * scores).mean(axis=1)
    return LabelAnswers(truth, scores, losses)


def test_the_qualities_equal_those_of_scikit_learn():
    given = label_answers()
    found = given.metrics()
    assert len(np.unique(given.scores[:, 0])) < len(given.scores) / 2
    expected = metrics.average_precision_score(given.truth, given.scores, average="macro")
    assert found["map"] == pytest.approx(expected, abs=1e-12)
    predicted = 1 / (1 + np.exp(-given.scores)) > 0.5
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(given.truth, predicted, average="macro"))
    assert found["label_accuracy"] == pytest.approx(1 - metrics.hamming_loss(given.truth, predicted))
    assert found["loss"] == pytest.approx(given.losses.mean())


def test_standard_errors_are_the_deviation_over_many_splits():
    splits = [label_answers(400, seed) for seed in range(400)]
    found, stated = [one.metrics() for one in splits], [one.standard_errors() for one in splits]
    assert found[0].keys() == stated[0].keys() == {"loss", "map", "macro_f1", "label_accuracy"}
    for name in found[0]:
        deviation = np.std([one[name] for one in found], ddof=1)
        assert np.mean([one[name] for one in stated]) == pytest.approx(deviation, rel=0.12), name


def test_labels_that_do_not_occur_are_left_out():
    given = label_answers()
    truth, scores = np.pad(given.truth, [(0, 0), (0, 1)]), np.pad(given.scores, [(0, 0), (0, 1)])
    scores[:, 3] = -1
    more = LabelAnswers(truth, scores, given.losses)
    assert np.isnan(average_precisions(truth, scores)[0]).tolist() == [False, False, False, True]
    for name in ("map", "macro_f1"):
        assert more.metrics()[name] == pytest.approx(given.metrics()[name])
        assert more.standard_errors()[name] == pytest.approx(given.standard_errors()[name])
    none = LabelAnswers(np.zeros((5, 2), int), -np.ones((5, 2)), np.ones(5))
    assert none.metrics() == {"loss": 1.0, "map": 0.0, "macro_f1": 0.0, "label_accuracy": 1.0}
    assert none.standard_errors()["map"] == 0.0


def test_all_labels_right_has_the_standard_error_of_one_wrong_example():
    truth = label_answers().truth[:48]
    perfect = LabelAnswers(truth, 2.0 * truth - 1, np.zeros(48))
    assert perfect.metrics()["map"] == perfect.metrics()["label_accuracy"] == 1.0
    share = 49 / 50
    expected = np.sqrt(share * (1 - share) / 48)
    assert perfect.standard_errors()["label_accuracy"] == pytest.approx(expected)


def test_the_constant_answer_is_that_of_scikit_learn():
    truth = label_answers().truth
    found = constant_labels(truth)
    shares = np.tile(truth.mean(axis=0), (len(truth), 1))
    assert found["map"] == pytest.approx(metrics.average_precision_score(truth, shares, average="macro"))
    everything = np.ones_like(truth)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, everything, average="macro"))
    assert found["label_accuracy"] == pytest.approx(np.mean((shares > 0.5) == truth))
    losses = [metrics.log_loss(truth[:, label], shares[:, label]) for label in range(3)]
    assert found["val_loss"] == pytest.approx(np.mean(losses))


def test_contributions_have_the_metric_as_mean_and_its_standard_error():
    given = label_answers()
    errors = given.standard_errors()
    for name, value in given.metrics().items():
        found = given.contributions(name)
        assert found.shape == (300,)
        assert found.mean() == pytest.approx(value), name
        assert found.std() / 300**0.5 == pytest.approx(errors[name], rel=0.02), name
