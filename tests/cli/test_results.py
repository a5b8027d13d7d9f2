"""The results of a search on imbalanced data: standard errors, ties, figures by class."""

from __future__ import annotations

import contextlib
import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

import nas
from nas.cli.main import main
from nas.data import load_dataset
from nas.record.mlflow_store import connect

pytestmark = pytest.mark.trains

SPACE = {
    "name": "small",
    "stages": [{"width": {"choice": [2, 4, 8]}, "shrink": "max_pool"}],
    "training": {"batch_size": 16, "class_weight": {"choice": ["none", "balanced"]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a search of four networks for two classes of 120 and 24 training images."""
    folder = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    y = np.repeat([3, 7], [150, 30])
    x = rng.integers(0, 160, (180, 8, 8, 1)) + 5 * (y == 7)[:, None, None, None]
    np.savez(folder / "two.npz", x_train=x.astype(np.uint8), y_train=y, x_test=x.astype(np.uint8), y_test=y)
    lines: list[str] = []
    with contextlib.chdir(folder):
        nas.search(
            SPACE, data="two.npz", trials=4, epochs=2, halving=False, name="two", workers=0,
            objectives=("auc", "balanced_accuracy", "loss", "params"), progress=lines.append,
        )  # fmt: skip
    (folder / "progress.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Return a function that runs a command in the folder and returns its output."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(list(arguments))
        return str(capsys.readouterr().out)

    return run


def test_imbalanced_classes_are_told(folder):
    assert "Class 3 has 120 training examples, class 7 only 24" in (folder / "progress.txt").read_text()


def test_the_front_has_standard_errors_and_ties(run):
    rows = json.loads(run("front", "two", "--errors", "--json"))
    for row in rows:
        assert 0 <= row["auc"] <= 1
        assert 0 < row["auc_se"] < 0.3
        assert row["balanced_accuracy_se"] > 0
        assert row["val_loss_se"] > 0
    assert rows[0]["tied_with"] is None
    for above, row in pairwise(rows):
        within = above["auc"] - row["auc"] <= np.hypot(above["auc_se"], row["auc_se"])
        assert row["tied_with"] == (above["trial"] if within else None)
    shown = run("front", "two", "--errors")
    first = rows[0]
    assert f"{first['auc']:.1%} ± {100 * first['auc_se']:.1f}" in shown
    assert "tied with" in shown
    assert "tied with" not in run("front", "two")
    assert "tied_with" not in json.loads(run("front", "two", "--json"))[0]


def test_one_trial_is_shown_with_its_qualities(run):
    shown = run("show", "two", "0")
    values = json.loads(run("show", "two", "0", "--json"))
    assert f"{values['macro_f1']:.1%} ± {100 * values['macro_f1_se']:.1f}" in shown
    assert "auc_se" not in shown
    assert run("show", "two:0") == run("show", ":0") == shown


def test_an_exported_network_is_registered(run, capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    found = nas.find("two")
    shown = run("export", "two", "--pick", "1", "--format", "keras,litert", "--out", "reg", "--register", "m")
    assert (
        "Registered as version 1 of m, its candidate. To serve it: MLFLOW_TRACKING_URI=sqlite:///mlr" in shown
    )
    assert "mlflow models serve -m 'models:/m/1' --env-manager local" in shown
    version = connect().client.get_model_version_by_alias("m", "candidate")
    assert version.tags == {"search": "two", "trial": "1", "architecture": found.pick(1).id}
    assert version.run_id == found.pick(1).run_id
    assert "probabilities of the classes, in order: 0: 3, 1: 7" in version.description
    for arguments, message in (
        (["--register", "a/b"], "must be letters, digits"),
        (["--register", "m", "--fresh"], "--register needs the trained weights of one network, got --fresh"),
        (
            ["--register", "m", "--format", "python"],
            "needs a .tflite or .keras file, got python; add",
        ),
    ):
        with contextlib.suppress(SystemExit):
            main(["export", "two", "--out", "source", *arguments])
        assert message in capsys.readouterr().err
    assert not Path("source").exists()


def test_an_exported_network_has_figures_by_class_of_the_validation_split(run):
    found = nas.find("two")
    (trial,) = [trial for trial in found.trials if trial.number == 0]
    shown = run("export", "two", "--pick", "0", "--out", "best")
    validation = load_dataset("two.npz", found.plan).validation
    predicted = found.model(trial).predict(validation.x, verbose=0).argmax(axis=-1)
    head, *matrix = csv.reader(Path("best/confusion.csv").read_text().splitlines())
    assert head[1:] == ["3", "7"]
    expected = metrics.confusion_matrix(validation.y, predicted)
    assert np.array_equal(np.array([row[1:] for row in matrix], int), expected)
    _, first, _ = Path("best/classes.csv").read_text().splitlines()
    assert first.startswith(f"3,{expected[0].sum()},")
    assert "On the validation split" in shown
    assert "confusion" not in found.export(trial, "fresh", fresh=True).files


def test_a_network_is_exported_without_its_data(run, tmp_path):
    data = Path("two.npz")
    moved = data.rename(tmp_path / "two.npz")
    try:
        shown = run("export", "two", "--pick", "0", "--out", "without")
    finally:
        moved.rename(data.absolute())
    assert "No figures by class" in shown
    assert Path("without/model.keras").is_file()
    assert not Path("without/classes.csv").exists()
