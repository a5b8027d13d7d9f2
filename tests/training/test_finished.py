"""A training that has ended is found by its folder, measured and exported like a trial."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.data import load_dataset
from nas.errors import InputError
from nas.record.mlflow_store import connect

pytestmark = pytest.mark.trains

DATA = ("--data", "digits", "--image-size", "8", "--train-limit", "150")


@pytest.fixture(scope="module")
def folder(work):
    """The folder of a training by the command line, with balanced class weights."""
    import os

    from nas import cli

    before = Path.cwd()
    os.chdir(work)
    try:
        arguments = ["train", "tiny.yaml", *DATA, "--epochs", "3", "--class-weight", "balanced"]
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--out", "trained/balanced", "--format", "keras"])
        assert not ended.value.code
    finally:
        os.chdir(before)
    return work / "trained" / "balanced"


def test_a_training_is_found_by_its_folder(folder):
    found = nas.find("trained/balanced")
    content = json.loads((folder / "training.json").read_text())
    assert content["asked"]["training"]["class_weight"] == "balanced"
    (trial,) = found.trials
    assert found.pick("best") is trial
    assert found.name == "balanced"
    best = content["curve"][content["best"] - 1]
    assert trial.values["accuracy"] == best["val_accuracy"]
    assert trial.values["test_accuracy"] == content["results"]["test"]["test_accuracy"]
    assert trial.training.class_weight == "balanced"
    assert found.plan.signature.classes == tuple("0123456789")
    dataset = load_dataset(found.plan.data, found.plan)
    assert dataset.fingerprint == found.plan.fingerprint
    right = found.model(trial).predict(dataset.test.x, verbose=0).argmax(axis=1) == dataset.test.y
    assert np.mean(right) == pytest.approx(trial.values["test_accuracy"])
    with pytest.raises(InputError, match="a report must be of a search, got the training"):
        found.report("report.html")


@pytest.mark.usefixtures("folder")
def test_a_training_is_exported_and_measured(run_command, capsys):
    arguments = ["export", "trained/balanced", "--format", "keras,litert", "--precision", "int8"]
    assert run_command(*arguments, "--out", "exported") == 0
    assert Path("exported/classes.csv").exists()  # the data is known
    capsys.readouterr()
    (file,) = Path("exported").glob("*.tflite")
    assert run_command("measure", file, "trained/balanced", *DATA, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    test_accuracy = nas.find("trained/balanced").trials[0].values["test_accuracy"]
    assert rows[1]["quality"]["accuracy"] == pytest.approx(test_accuracy, abs=1e-9)
    assert rows[0]["device"]["precision"] == "int8"
    assert rows[0]["quality"]["accuracy"] == pytest.approx(test_accuracy, abs=0.05)


@pytest.mark.usefixtures("folder")
def test_a_training_is_registered_with_its_own_run(run_command, capsys, training_runs):
    arguments = ["export", "trained/balanced", "--format", "litert", "--out", "served", "--register", "tiny"]
    assert run_command(*arguments) == 0
    assert "Registered as version 1 of tiny, its candidate." in capsys.readouterr().out
    version = connect().client.get_model_version_by_alias("tiny", "candidate")
    (run,) = (run for run in training_runs("train tiny") if run.data.params["folder"].endswith("/balanced"))
    assert version.run_id == run.info.run_id
    assert "## Input and output" in version.description


def test_a_training_that_has_not_ended_or_is_damaged_is_one_sentence(folder):
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    content = json.loads((other / "training.json").read_text())
    del content["results"]
    (other / "training.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="must have ended, got 'trained/other' after epoch 3 of 3; res"):
        nas.find("trained/other")
    (other / "training.json").write_text('{"results": 1}')
    with pytest.raises(InputError, match=r"training\.json must be readable, .* repeat the command"):
        nas.find("trained/other")
