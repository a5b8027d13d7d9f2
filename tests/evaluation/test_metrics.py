"""Qualities and their standard errors, compared with scikit-learn and with resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from nas.evaluation.metrics import Answers, PixelAnswers, confusion_matrix, constant_answer, mean_metrics


def answers(examples: int = 300, classes: int = 3, seed: int = 0, separation: float = 1.0) -> Answers:
    """Return answers to imbalanced classes from noisy logits; some scores are equal."""
    rng = np.random.default_rng(seed)
    shares = np.arange(classes, 0, -1) ** 2.0
    truth = rng.choice(classes, examples, p=shares / shares.sum())
    logits = np.round(rng.normal(size=(examples, classes)) + separation * np.eye(classes)[truth], 1)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(examples), truth]
    scores = logits[:, 1] - logits[:, 0] if classes == 2 else None
    return Answers(truth, logits.argmax(axis=1), losses, scores, classes)


def pixel_answers(images: int, seed: int = 0, classes: int = 3) -> PixelAnswers:
    """Return answers to images whose share of correct pixels differs from image to image."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (images, 50))
    wrong = rng.random((images, 50)) < rng.uniform(0, 0.6, (images, 1))
    predicted = np.where(wrong, (truth + 1) % classes, truth)
    is_true, is_predicted = (np.eye(classes)[part].astype(bool) for part in (truth, predicted))
    losses = rng.exponential(1 + wrong).sum(axis=1)
    return PixelAnswers(
        losses, (~wrong).sum(axis=1), np.full(images, 50),
        (is_true & is_predicted).sum(axis=1), (is_true | is_predicted).sum(axis=1),
    )  # fmt: skip


def test_mean_metrics_divide_by_the_number_of_answers():
    assert mean_metrics(np.array([6.0, 3.0, 4.0])) == {"loss": 1.5, "accuracy": 0.75}
    assert mean_metrics(np.zeros(3)) == {"loss": 0.0, "accuracy": 0.0}


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_qualities_equal_those_of_scikit_learn(classes):
    given = answers(classes=classes)
    found = given.metrics()
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(given.truth, given.predicted))
    expected = metrics.balanced_accuracy_score(given.truth, given.predicted)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    expected = metrics.f1_score(given.truth, given.predicted, average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert np.array_equal(
        confusion_matrix(given.truth, given.predicted, classes),
        metrics.confusion_matrix(given.truth, given.predicted, labels=range(classes)),
    )
    assert ("auc" in found) == (classes == 2)


def test_the_area_under_the_curve_counts_equal_scores_half():
    given = answers(classes=2)
    assert len(np.unique(given.scores)) < len(given.scores)
    expected = metrics.roc_auc_score(given.truth, given.scores)
    assert given.metrics()["auc"] == pytest.approx(expected, abs=1e-12)
    probabilities = 1 / (1 + np.exp(-given.scores))
    assert given.metrics()["loss"] == pytest.approx(metrics.log_loss(given.truth, probabilities))


def test_classes_that_do_not_occur_are_left_out():
    truth, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 1])
    found = Answers(truth, predicted, np.ones(5), None, 5).metrics()
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found["balanced_accuracy"] == metrics.balanced_accuracy_score(truth, predicted)
    expected = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_standard_errors_are_the_deviation_over_many_splits(classes):
    splits = [answers(400, classes, seed) for seed in range(400)]
    found = [split.metrics() for split in splits]
    stated = [split.standard_errors() for split in splits]
    for name in found[0]:
        deviation = np.std([one[name] for one in found], ddof=1)
        assert np.mean([one[name] for one in stated]) == pytest.approx(deviation, rel=0.12), name


def test_a_recall_of_few_examples_has_a_standard_error():
    truth = np.repeat([0, 1], [61, 3])
    found = Answers(truth, np.zeros(64, int), np.ones(64), None, 2).standard_errors()
    assert 0.1 < found["balanced_accuracy"] < 0.2


def test_standard_errors_of_segmentation_are_the_deviation_over_many_splits():
    splits = [pixel_answers(60, seed) for seed in range(400)]
    found = [split.metrics() for split in splits]
    stated = [split.standard_errors() for split in splits]
    for name in ("loss", "accuracy", "mean_iou"):
        deviation = np.std([one[name] for one in found], ddof=1)
        assert np.mean([one[name] for one in stated]) == pytest.approx(deviation, rel=0.12), name


def test_mean_iou_leaves_out_classes_that_do_not_occur():
    one = np.array([1.0])
    given = PixelAnswers(one, one, 6 * one, np.array([[3, 2, 0]]), np.array([[4, 3, 0]]))
    assert given.metrics()["mean_iou"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert given.standard_errors() == {"loss": 0.0, "accuracy": 0.0, "mean_iou": 0.0}
    assert PixelAnswers(one, one, one, np.zeros((1, 3)), np.zeros((1, 3))).metrics()["mean_iou"] == 0.0


def test_the_constant_answer_is_the_majority_and_the_shares_of_the_classes():
    counts = np.array([95, 5, 20])
    found = constant_answer(counts)
    truth, predicted = np.repeat(range(3), counts), np.zeros(120, int)
    assert found["accuracy"] == pytest.approx(95 / 120)
    assert found["balanced_accuracy"] == pytest.approx(1 / 3)
    expected = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)
    expected = metrics.jaccard_score(truth, predicted, average="macro", zero_division=0)
    assert found["mean_iou"] == pytest.approx(expected)
    shares = np.tile(counts / 120, (120, 1))
    assert found["val_loss"] == pytest.approx(metrics.log_loss(truth, shares))
    assert found["auc"] == 0.5


@pytest.mark.parametrize("given", [answers(2000, 2), answers(2000, 4), pixel_answers(2000)])
def test_contributions_have_the_metric_as_mean_and_its_standard_error(given):
    errors = given.standard_errors()
    for name, value in given.metrics().items():
        found = given.contributions(name)
        assert found.shape == (2000,)
        assert found.mean() == pytest.approx(value), name
        assert found.std() / 2000**0.5 == pytest.approx(errors[name], rel=0.02), name


def test_accuracy_is_contributed_by_the_right_answers():
    given = answers()
    assert np.array_equal(given.contributions("accuracy"), given.truth == given.predicted)
    one_class = Answers(np.zeros(3, int), np.zeros(3, int), np.ones(3), np.ones(3), 2)
    assert one_class.contributions("auc").tolist() == [0.5, 0.5, 0.5]
