"""A whole training: against one uninterrupted pass, its best weights, its end, its record in MLflow."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Design, read_yaml
from nas.backends import predict
from nas.cli import training as command
from nas.data import Split
from nas.errors import EvaluationError
from nas.evaluation import Evaluator, Job, read_state
from nas.record.mlflow_store import connect
from nas.training.train import TrainingOptions, train_network

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[3] / "shared"))
SCRIPT = "import sys; from nas import cli; cli.main(sys.argv[1:])"

DATA = ["--image-size", "8", "--train-limit", "150"]

pytestmark = [
    pytest.mark.trains,
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def uninterrupted(work, digits, make_design):
    """The evaluation of six epochs in one call."""
    data = digits.save(work / "saved")
    return Evaluator().evaluate(Job(make_design(), data, 6, 6, work / "uninterrupted"))


def test_training_epoch_by_epoch_equals_one_call(trained, uninterrupted):
    *_, last = trained.progress.curve
    expected = uninterrupted.curve
    assert [row["loss"] for row in trained.progress.curve] == [row["loss"] for row in expected]
    assert {name: last[name] for name in last if name != "seconds"} == {
        name: expected[-1][name] for name in last if name != "seconds"
    }


def test_the_best_weights_are_scored_on_the_test_split_and_exported(trained, digits, work, make_design):
    curve = trained.progress.curve
    best = max(range(6), key=lambda n: (curve[n]["val_accuracy"], -curve[n]["val_loss"]))
    assert trained.progress.best == best + 1
    assert trained.values["accuracy"] == curve[best]["val_accuracy"]
    checkpoint = work / "plain" / "best.npz"
    assert read_state(checkpoint).epochs == best + 1
    assert trained.test == Evaluator().score_test_split(make_design(), checkpoint, digits)

    import keras

    model = keras.saving.load_model(trained.files["keras"], compile=False)
    right = predict(model, digits.test.x).argmax(-1) == digits.test.y
    assert right.mean() == pytest.approx(trained.test["test_accuracy"], abs=1e-6)
    assert sorted(path.name for path in (work / "plain").iterdir() if path.is_dir()) == []


def test_figures_by_class_are_of_the_test_split(trained, digits):
    rows = trained.files["classes"].read_text().splitlines()[1:]
    assert [int(row.split(",")[1]) for row in rows] == np.bincount(digits.test.y).tolist()
    matrix = [row.split(",")[1:] for row in trained.files["confusion"].read_text().splitlines()[1:]]
    right = np.trace(np.array(matrix, int)) / len(digits.test)
    assert right == pytest.approx(trained.test["test_accuracy"], abs=1e-6)


def test_the_best_epoch_of_imbalanced_data_has_the_greatest_balanced_accuracy(digits, work, make_design):
    x, y = digits.train.x, digits.train.y
    kept = (y > 0) | (np.cumsum(y == 0) <= 3)
    uneven = replace(digits, train=Split(x[kept], y[kept]))
    result = train_network(make_design(), uneven, TrainingOptions(work / "uneven", epochs=3))
    scores = [row["val_balanced_accuracy"] for row in result.progress.curve]
    assert result.values["balanced_accuracy"] == max(scores)
    assert result.test["test_balanced_accuracy"] > 0


def test_a_training_that_has_ended_is_not_repeated(trained, digits, work, monkeypatch, make_design):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(Evaluator, "evaluate", never)
    monkeypatch.setattr(Evaluator, "score_test_split", never)
    again = train_network(make_design(), digits, TrainingOptions(work / "plain", epochs=6), name="tiny")
    assert (again.test, again.values, again.run_id) == (trained.test, trained.values, trained.run_id)


def test_patience_counts_epochs_after_the_best(digits, work, make_design):
    unstable = make_design(training={"batch_size": 32, "learning_rate": 0.3, "optimizer": "sgd"})
    result = train_network(unstable, digits, TrainingOptions(work / "early", epochs=60, patience=2))
    assert result.stopped_early
    assert len(result.progress.curve) == result.progress.best + 2


def test_a_loss_that_is_not_finite_ends_the_training_and_its_run(digits, work, make_design, training_runs):
    unstable = make_design(training={"batch_size": 32, "learning_rate": 5.0, "optimizer": "sgd"})
    with pytest.raises(EvaluationError, match="finite"):
        train_network(unstable, digits, TrainingOptions(work / "wild", epochs=40), name="wild")
    (run,) = training_runs("train wild")
    assert run.info.status == "FAILED"

    # nothing was trained: the same folder takes another training
    assert train_network(make_design(), digits, TrainingOptions(work / "wild", epochs=1)).progress.best == 1


@pytest.mark.skipif(
    not (SHARED / "data/camvid_120x90.npz").exists(), reason="needs CamVid in the shared data"
)
def test_segmentation_is_scored_by_mean_iou(work, capsys, run_command):
    (work / "masks.yaml").write_text("{task: segmentation, stages: [{width: 8, shrink: strided}]}")
    data = SHARED / "data/camvid_120x90.npz"
    arguments = [
        "--train-limit",
        "16",
        "--image-size",
        "24",
        "--ignore-label",
        "11",
        "--epochs",
        "1",
        "--json",
    ]
    assert run_command("train", "masks.yaml", "--data", data, *arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["mean_iou"] < 1
    assert 0 < result["test_mean_iou"] < 1
    assert result["best_epoch"] == 1


def test_signals_are_trained(work, capsys, run_command):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    time_points = np.linspace(0, 2 * np.pi, 32)
    x = np.sin(time_points * (1 + 2 * y[:, None]) + rng.uniform(0, 6, (120, 1)))[..., None].astype(np.float32)
    np.savez(work / "waves.npz", x_train=x, y_train=y)
    (work / "waves.yaml").write_text(
        "{stages: [{width: 8, conv: separable}], training: {learning_rate: 0.02}}"
    )
    assert run_command("train", "waves.yaml", "--data", "waves.npz", "--epochs", "12", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 0.6


def test_a_killed_training_is_resumed_to_the_same_result(work, digits, trained, run_command, training_runs):
    arguments = ["train", "tiny.yaml", *DATA, "--epochs", "6", "--out", "killed"]
    record = work / "killed" / "training.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        while not (record.exists() and len(json.loads(record.read_text())["curve"]) >= 2):
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = len(json.loads(record.read_text())["curve"])
    assert 2 <= done < 6

    assert run_command(*arguments) == 0
    content = json.loads(record.read_text())
    for given, expected in zip(content["curve"], trained.progress.curve, strict=True):
        for key, value in expected.items():
            if key == "seconds":
                continue
            # rounding with several threads may change the class of one of the few examples
            noise = 0.06 if "accuracy" in key else 2e-3 * abs(value)
            assert given[key] == pytest.approx(value, abs=noise)
    run = next(
        run for run in training_runs("train tiny") if run.data.params["folder"] == str(work / "killed")
    )
    history = connect().client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]
    assert [point.value for point in history] == [row["val_accuracy"] for row in content["curve"]]
    assert run.info.status == "FINISHED"


def test_ctrl_c_prints_how_to_resume_and_marks_the_run(work, monkeypatch, capsys, run_command, training_runs):
    display = command._View.__call__

    def interrupt(self, progress):
        display(self, progress)
        if len(progress.curve) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command._View, "__call__", interrupt)
    arguments = ["train", "tiny.yaml", *DATA, "--epochs", "3", "--out", "interrupted", "--seed", "5"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    try:
        assert run_command(*arguments) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Stopped after epoch 2 of 3; the same command resumes." in capsys.readouterr().err
    (run,) = (
        run for run in training_runs("train tiny") if run.data.params["folder"] == str(work / "interrupted")
    )
    assert run.info.status == "KILLED"
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert run_command(*arguments) == 0
    captured = capsys.readouterr()
    assert "Resuming after epoch 2 of 3." in captured.err
    assert "Test accuracy" in captured.out
    assert "MLflow's run: 'train tiny', which the MLflow of nas ui shows" in captured.out
    assert run_command(*arguments) == 0
    again = capsys.readouterr()
    assert "The training has ended after epoch 3; these are its results." in again.err
    assert again.out == captured.out


def test_the_run_has_curve_results_and_architecture(trained, digits, make_design):
    client = connect().client
    run = client.get_run(trained.run_id)
    assert run.data.params["architecture.stem.width"] == "6"
    assert run.data.params["epochs"] == "6"
    for name in ("test_accuracy", "test_loss"):
        assert run.data.metrics[name] == pytest.approx(trained.test[name])
    assert run.data.metrics["params"] == trained.values["params"]
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest == digits.fingerprint
    artifact = Path(client.download_artifacts(trained.run_id, "architecture.yaml"))
    assert Design.from_dict(read_yaml(artifact.read_text(), "it")) == make_design()
    assert "model.keras" in [item.path for item in client.list_artifacts(trained.run_id)]


def test_training_continues_without_mlflow_and_delivers_later(trained, digits, work, make_design):
    def rename(before, after):
        with sqlite3.connect(work / "mlruns" / "mlflow.db") as database:
            database.execute(f"ALTER TABLE {before} RENAME TO {after}")

    problems = []

    def show(progress):
        problems.append(progress.problem)
        if len(progress.curve) == 1:
            rename("metrics", "away")
        if len(progress.curve) == 3:
            rename("away", "metrics")

    result = train_network(make_design(), digits, TrainingOptions(work / "alone", epochs=4, seed=2), show)
    assert [bool(problem) for problem in problems] == [False, False, True, True, False]
    history = connect().client.get_metric_history(result.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
