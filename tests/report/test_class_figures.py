"""Figures by class, label and number, compared with scikit-learn."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn import metrics

from nas.evaluation import Answers, LabelAnswers, NumberAnswers
from nas.report import write_figures


def test_the_figures_of_each_class_equal_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 100), rng.integers(0, 4, 100)
    names = ["cat", "dog, small", "fox", "never"]
    paths = write_figures(Answers(truth, predicted, np.zeros(100), None, 4), names, tmp_path)
    assert [path.name for path in paths.values()] == ["classes.csv", "confusion.csv"]
    columns, *rows = csv.reader(paths["classes"].read_text().splitlines())
    assert columns == ["class", "examples", "precision", "recall", "f1"]
    assert [row[0] for row in rows] == names
    *shares, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(4), zero_division=0
    )
    assert [int(row[1]) for row in rows] == list(support)
    assert np.array([row[2:] for row in rows], float) == pytest.approx(np.array(shares).T)
    head, *matrix = csv.reader(paths["confusion"].read_text().splitlines())
    assert head == ["true \\ predicted", *names]
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(4))
    assert np.array_equal(np.array([row[1:] for row in matrix], int), confusion)


def test_the_figures_of_each_label_equal_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    truth = (rng.random((100, 4)) < [0.5, 0.2, 0.1, 0.0]).astype(np.int32)
    scores = rng.normal(size=(100, 4)) + truth
    paths = write_figures(LabelAnswers(truth, scores, np.zeros(100)), list("abcd"), tmp_path)
    assert [path.name for path in paths.values()] == ["classes.csv"]
    columns, *rows = csv.reader(paths["classes"].read_text().splitlines())
    assert columns == ["class", "examples", "precision", "recall", "f1", "average_precision"]
    *shares, support = metrics.precision_recall_fscore_support(truth, scores > 0, zero_division=0)
    assert [int(row[1]) for row in rows] == list(support)
    assert np.array([row[2:5] for row in rows], float) == pytest.approx(np.array(shares).T)
    expected = [*metrics.average_precision_score(truth[:, :3], scores[:, :3], average=None), 0.0]
    assert [float(row[5]) for row in rows] == pytest.approx(expected)


def test_the_figures_of_each_number_equal_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    truth = (rng.normal(size=(3000, 2)) * [1, 1000] + [0, 5000]).astype(np.float32)
    predicted = truth + rng.normal(size=truth.shape) * [0.5, 100]
    paths = write_figures(NumberAnswers(truth, predicted, np.zeros(3000)), ["age", "<b>weight"], tmp_path)
    assert [path.name for path in paths.values()] == ["numbers.csv", "predictions.csv"]
    columns, *rows = csv.reader(paths["numbers"].read_text().splitlines())
    assert columns == ["number", "mean", "deviation", "r2", "mae", "rmse"]
    assert [row[0] for row in rows] == ["age", "<b>weight"]
    expected = [
        truth.mean(axis=0, dtype=float),
        truth.std(axis=0, dtype=float),
        metrics.r2_score(truth, predicted, multioutput="raw_values"),
        metrics.mean_absolute_error(truth, predicted, multioutput="raw_values"),
        metrics.root_mean_squared_error(truth, predicted, multioutput="raw_values"),
    ]
    assert np.array([row[1:] for row in rows], float) == pytest.approx(np.array(expected).T, rel=1e-6)
    columns, *rows = csv.reader(paths["predictions"].read_text().splitlines())
    assert columns == ["true age", "true <b>weight", "predicted age", "predicted <b>weight"]
    assert np.array(rows, float) == pytest.approx(np.concatenate([truth, predicted], axis=1))
