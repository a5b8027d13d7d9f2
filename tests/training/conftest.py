"""One training of six epochs that the tests of this folder share, and the working folder in which it ran."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nas import cli
from nas.architecture import Design
from nas.data import DataOptions, load_dataset
from nas.record.mlflow_store import connect
from nas.training.train import TrainingOptions, train_network

YAML = """
name: tiny
stem: {width: 6, normalization: after}
stages:
- {width: 8, conv: separable, convs: 2, normalization: before, shrink: max_pool}
training: {batch_size: 32, learning_rate: 0.01}
"""


@pytest.fixture(scope="package")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.yaml").write_text(YAML)
    return folder


@pytest.fixture(autouse=True)
def _working_folder(work, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(work)


@pytest.fixture(scope="package")
def digits():
    return load_dataset("digits", DataOptions(image_size=8, train_limit=150))


@pytest.fixture(scope="package")
def make_design():
    """Return a function that returns the design of tiny.yaml with changes."""

    def make(**changes):
        data = {
            "input_shape": [8, 8, 1],
            "classes": 10,
            "stem": {"width": 6, "normalization": "after"},
            "stages": [
                {"width": 8, "conv": "separable", "convs": 2, "normalization": "before", "shrink": "max_pool"}
            ],
            "training": {"batch_size": 32, "learning_rate": 0.01},
        }
        return Design.from_dict({**data, **changes})

    return make


@pytest.fixture(scope="package")
def trained(work, digits, make_design):
    """The result of the shared training."""
    before = Path.cwd()
    os.chdir(work)
    try:
        return train_network(make_design(), digits, TrainingOptions(work / "plain", epochs=6), name="tiny")
    finally:
        os.chdir(before)


@pytest.fixture
def run_command():
    """Return a function that runs the command line in this process and returns its exit code."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        return ended.value.code or 0

    return run


@pytest.fixture
def training_runs():
    """Return a function that returns the MLflow runs of trainings with a name."""

    def find(name):
        store = connect()
        runs = store.client.search_runs([store.experiment_id], "tags.`nas.kind` = 'training'")
        return [run for run in runs if run.info.run_name == name]

    return find
