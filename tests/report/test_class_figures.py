"""Figures by class, compared with scikit-learn."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn import metrics

from nas.report import write_class_figures


def test_the_figures_of_each_class_equal_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 100), rng.integers(0, 4, 100)
    names = ["cat", "dog, small", "fox", "never"]
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(4))
    paths = write_class_figures(confusion, names, tmp_path)
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
    assert np.array_equal(np.array([row[1:] for row in matrix], int), confusion)
