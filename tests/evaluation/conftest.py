"""The evaluator and the data that the tests of this folder share."""

from __future__ import annotations

import pytest

from nas.data import DataOptions, load_dataset
from nas.evaluation import Evaluator


@pytest.fixture(scope="package")
def evaluator():
    return Evaluator()


@pytest.fixture(scope="package")
def digits(tmp_path_factory):
    """Return the folder of a saved data set of 150 training images."""
    options = DataOptions(image_size=8, train_limit=150)
    return load_dataset("digits", options).save(tmp_path_factory.mktemp("digits") / "data")
