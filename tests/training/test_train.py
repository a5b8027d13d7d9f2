"""Training at full length: against one uninterrupted pass, real kills, Keras' files, MLflow's record."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nas.training.train
from nas import cli
from nas.architecture import Design
from nas.backends import build_model
from nas.cli import training as command
from nas.data import DataOptions, load_dataset
from nas.errors import EvaluationError, InputError
from nas.evaluation import (
    Job,
    State,
    evaluate,
    load_tensorflow,
    load_weights,
    predict,
    read_state,
    write_state,
)
from nas.evaluation import score_test_split as values_on_test
from nas.record import SearchRecord
from nas.record.mlflow_store import connect
from nas.space import SearchSpace, shipped_files
from nas.training import DataChoice, TrainingOptions, find_network, train_network
from nas.training.folder import TrainingFolder
from nas.trials import Trial

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[3] / "shared"))

pytestmark = [
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

YAML = """
name: tiny
stem: {width: 6, normalization: after}
stages:
- {width: 8, conv: separable, convs: 2, normalization: before, shrink: max_pool}
training: {batch_size: 32, learning_rate: 0.01}
"""
DATA = ["--image-size", "8", "--train-limit", "150"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    load_tensorflow()
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.yaml").write_text(YAML)
    return folder


@pytest.fixture(autouse=True)
def here(work, monkeypatch):
    monkeypatch.chdir(work)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", DataOptions(image_size=8, train_limit=150))


def design(**changes):
    data = {
        "input_shape": [8, 8, 1],
        "classes": 10,
        "stem": {"width": 6, "normalization": "after"},
        "stages": [
            {"width": 8, "conv": "separable", "convs": 2, "normalization": "before", "shrink": "max_pool"}
        ],
        "training": {"batch_size": 32, "learning_rate": 0.01},
    }  # fmt: skip
    return Design.from_dict({**data, **changes})


@pytest.fixture(scope="module")
def uninterrupted(work, digits):
    """What one call of the evaluation makes of six epochs."""
    data = digits.save(work / "saved")
    return evaluate(Job(design(), data, 6, 6, work / "uninterrupted"))


@pytest.fixture(scope="module")
def trained(work, digits, uninterrupted):
    before = Path.cwd()
    os.chdir(work)
    try:
        return train_network(design(), digits, TrainingOptions(work / "plain", epochs=6), name="tiny")
    finally:
        os.chdir(before)


def learned(curve):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


def nas_command(*arguments):
    """Run the command line in this process; give its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in arguments])
    return ended.value.code or 0


# ---- what is trained


def test_epoch_by_epoch_is_the_same_as_in_one_go(trained, uninterrupted):
    assert learned(trained.progress.curve) == learned(uninterrupted.curve)


def test_the_best_weights_are_kept_judged_on_the_test_split_and_written(trained, digits, work):
    curve = trained.progress.curve
    best = max(range(6), key=lambda place: (curve[place]["val_accuracy"], -curve[place]["val_loss"]))
    assert trained.progress.best == best + 1
    assert trained.values["accuracy"] == curve[best]["val_accuracy"]
    checkpoint = work / "plain" / "best.npz"
    assert read_state(checkpoint).epochs == best + 1
    assert trained.test == values_on_test(design(), checkpoint, digits)

    import keras

    model = keras.saving.load_model(trained.files["keras"], compile=False)
    right = predict(model, digits.test.x).argmax(-1) == digits.test.y
    assert right.mean() == pytest.approx(trained.test["test_accuracy"], abs=1e-6)
    assert sorted(path.name for path in (work / "plain").iterdir() if path.is_dir()) == []


def test_a_training_that_has_ended_is_neither_trained_nor_judged_again(trained, digits, work, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(nas.training.train, "evaluate", never)
    monkeypatch.setattr(nas.training.train, "test_values", never)
    again = train_network(design(), digits, TrainingOptions(work / "plain", epochs=6), name="tiny")
    assert (again.test, again.values, again.run_id) == (trained.test, trained.values, trained.run_id)


def test_patience_stops_so_many_epochs_after_the_best(digits, work):
    wild = design(training={"batch_size": 32, "learning_rate": 0.3, "optimizer": "sgd"})
    result = train_network(wild, digits, TrainingOptions(work / "early", epochs=60, patience=2))
    assert result.stopped_early
    assert len(result.progress.curve) == result.progress.best + 2


def test_a_loss_that_is_not_finite_ends_the_training_and_its_run(digits, work):
    wild = design(training={"batch_size": 32, "learning_rate": 5.0, "optimizer": "sgd"})
    with pytest.raises(EvaluationError, match="finite"):
        train_network(wild, digits, TrainingOptions(work / "wild", epochs=40), name="wild")
    (run,) = runs("train wild")
    assert run.info.status == "FAILED"

    # nothing was trained: the same folder takes the mended training
    assert train_network(design(), digits, TrainingOptions(work / "wild", epochs=1)).progress.best == 1


@pytest.mark.skipif(
    not (SHARED / "data/camvid_120x90.npz").exists(), reason="needs CamVid in the shared data"
)
def test_segmentation_is_judged_by_mean_iou(work, capsys):
    (work / "masks.yaml").write_text("{task: segmentation, stages: [{width: 8, shrink: strided}]}")
    data = SHARED / "data/camvid_120x90.npz"
    words = ["--train-limit", "16", "--image-size", "24", "--ignore-label", "11", "--epochs", "1", "--json"]
    assert nas_command("train", "masks.yaml", "--data", data, *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["mean_iou"] < 1
    assert 0 < result["test_mean_iou"] < 1
    assert result["best_epoch"] == 1


def test_signals_are_trained(work, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    time_points = np.linspace(0, 2 * np.pi, 32)
    x = np.sin(time_points * (1 + 2 * y[:, None]) + rng.uniform(0, 6, (120, 1)))[..., None].astype(np.float32)
    np.savez(work / "waves.npz", x_train=x, y_train=y)
    (work / "waves.yaml").write_text(
        "{stages: [{width: 8, conv: separable}], training: {learning_rate: 0.02}}"
    )
    assert nas_command("train", "waves.yaml", "--data", "waves.npz", "--epochs", "12", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 0.6


# ---- going on


SCRIPT = "import sys; from nas import cli; cli.main(sys.argv[1:])"


def test_a_killed_training_goes_on_to_the_same_end(work, digits, uninterrupted):
    words = ["train", "tiny.yaml", *DATA, "--epochs", "6", "--out", "killed"]
    record = work / "killed" / "training.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], env={**os.environ, "OMP_NUM_THREADS": "1"}
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

    assert nas_command(*words) == 0
    content = json.loads(record.read_text())
    for given, expected in zip(learned(content["curve"]), learned(uninterrupted.curve), strict=True):
        for key, value in expected.items():
            # float noise of several threads may turn one of the few examples
            noise = 0.06 if "accuracy" in key else 2e-3 * abs(value)
            assert given[key] == pytest.approx(value, abs=noise)
    run = next(run for run in runs("train tiny") if run.data.params["folder"] == str(work / "killed"))
    history = connect(make=False).client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]
    assert [point.value for point in history] == [row["val_accuracy"] for row in content["curve"]]
    assert run.info.status == "FINISHED"


KILLED_AT_A_RENAME = """
import os, sys
from pathlib import Path
import numpy as np
from nas._checkpoint import State, write_state
from nas._training_folder import TrainingFolder

left = int(sys.argv[2])
rename = Path.replace

def dying(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return rename(self, target)

Path.replace = dying
folder = TrainingFolder.open(Path(sys.argv[1]), {"epochs": 3})

def finished(epochs):
    write_state(folder.scratch / "checkpoint.npz", State(["w"], [np.full(1, epochs)], epochs=epochs))

if not folder.started:
    finished(0)
    folder.begin({"accuracy": 0.0})
while len(folder.curve) < 3:
    epochs = len(folder.curve) + 1
    finished(epochs)
    folder.add({"accuracy": float(epochs)}, is_best=epochs != 3)
print("whole")
"""


def test_a_folder_is_whole_whenever_its_process_is_killed(tmp_path):
    path = tmp_path / "folder"
    asked = {"epochs": 3}
    seen = set()
    for renames in range(100):
        words = [sys.executable, "-c", KILLED_AT_A_RENAME, str(path), str(min(renames, 4))]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ended.returncode in (0, 9), ended.stderr
        folder = TrainingFolder.open(path, asked)
        if folder.started:
            assert read_state(folder.last_weights).epochs == len(folder.curve)
            assert read_state(folder.best_weights).epochs == folder.best == min(len(folder.curve), 2)
        seen.add((folder.started, len(folder.curve)))
        folder.close()
        if ended.returncode == 0:
            break
    assert len(seen) >= 4
    assert ended.stdout == "whole\n"


def test_ctrl_c_says_how_to_go_on_and_leaves_the_run_killed(work, monkeypatch, capsys):
    shown = command._View.__call__

    def interrupting(self, progress):
        shown(self, progress)
        if len(progress.curve) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command._View, "__call__", interrupting)
    words = ["train", "tiny.yaml", *DATA, "--epochs", "3", "--out", "interrupted", "--seed", "5"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    try:
        assert nas_command(*words) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Stopped after epoch 2 of 3; the same command goes on." in capsys.readouterr().err
    (run,) = (run for run in runs("train tiny") if run.data.params["folder"] == str(work / "interrupted"))
    assert run.info.status == "KILLED"
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert nas_command(*words) == 0
    said = capsys.readouterr()
    assert "Going on after epoch 2 of 3." in said.err
    assert "Test accuracy" in said.out


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"epochs": 7}, r"another training \(epochs 6, not 7\)"),
        ({"seed": 1}, r"another training \(seed 0, not 1\)"),
        ({"patience": 3}, r"another training \(patience None, not 3\)"),
    ],
)
def test_a_folder_of_another_training_is_refused(trained, digits, work, changes, found):
    with pytest.raises(InputError, match=found):
        train_network(design(), digits, TrainingOptions(**{"out": work / "plain", "epochs": 6, **changes}))


def test_a_folder_of_another_architecture_or_of_other_files_is_refused(trained, digits, work):
    options = TrainingOptions(work / "plain", epochs=6)
    with pytest.raises(InputError, match=r"another training \(another architecture\)"):
        train_network(design(stages=[]), digits, options)
    with pytest.raises(InputError, match=r"another training \(learning_rate 0.01, not 0.02\)"):
        train_network(design(training={"batch_size": 32, "learning_rate": 0.02}), digits, options)
    (work / "photos").mkdir()
    (work / "photos" / "cat.jpg").touch()
    with pytest.raises(InputError, match=r"other files \('cat.jpg'\); give another --out"):
        train_network(design(), digits, TrainingOptions(work / "photos"))


def test_two_processes_do_not_train_in_one_folder(work):
    held = TrainingFolder.open(work / "held", {})
    with pytest.raises(InputError, match="must have one process"):
        TrainingFolder.open(work / "held", {})
    held.close()
    TrainingFolder.open(work / "held", {}).close()


# ---- the weights it begins from


def test_every_kind_of_file_gives_the_same_start(trained, digits, work):
    model = build_model(design().architecture)
    load_weights(model, work / "plain" / "best.npz")
    model.save_weights(work / "given.weights.h5")
    sources = [work / "plain", work / "plain" / "best.npz", work / "given.weights.h5", trained.files["keras"]]
    for number, source in enumerate(sources):
        options = TrainingOptions(work / f"from-{number}", epochs=1, weights=str(source))
        start = train_network(design(), digits, options).progress.start
        assert start["accuracy"] == pytest.approx(trained.values["accuracy"])
        assert start["val_loss"] == pytest.approx(trained.values["val_loss"], rel=1e-5)


def test_weights_for_other_classes_leave_the_last_layer_fresh(trained, digits, work, tmp_path):
    y = {f"y_{name}": split.y % 2 for name, split in (("train", digits.train), ("test", digits.test))}
    np.savez(tmp_path / "parity.npz", x_train=digits.train.x, x_test=digits.test.x, **y)
    parity = load_dataset(str(tmp_path / "parity.npz"))
    for number, source in enumerate((work / "plain" / "best.npz", trained.files["keras"])):
        out = work / f"parity-{number}"
        result = train_network(design(classes=2), parity, TrainingOptions(out, epochs=1, weights=str(source)))
        assert result.progress.fresh_head
        ours, given = read_state(out / "last.npz"), read_state(work / "plain" / "best.npz")
        assert [a.shape == b.shape for a, b in zip(ours.weights, given.weights, strict=True)].count(
            False
        ) == 2


def test_fine_tuning_leaves_batch_normalization_as_it_is(trained, work, capsys):
    words = ["tiny.yaml", *DATA, "--epochs", "2", "--from", "plain/best.npz"]
    assert nas_command("train", *words, "--out", "tuned", "--fine-tune") == 0
    assert "learning rate 0.001" in capsys.readouterr().err
    assert nas_command("train", *words, "--out", "going-on") == 0
    start, tuned, other = (read_state(work / name / "last.npz") for name in ("plain", "tuned", "going-on"))
    start = read_state(work / "plain" / "best.npz")
    norms = [any(part in name for part in ("gamma", "beta", "moving")) for name in start.names]
    assert any(norms)
    for norm, before, kept, moved in zip(norms, start.weights, tuned.weights, other.weights, strict=True):
        assert np.array_equal(before, kept) == norm
        assert not np.array_equal(before, moved)


def test_the_starting_weights_are_kept_where_no_epoch_is_better(trained, digits, work):
    wild = design(training={"batch_size": 32, "learning_rate": 1.0})
    options = TrainingOptions(work / "spoilt", epochs=3, patience=1, weights=str(work / "plain"))
    result = train_network(wild, digits, options)
    assert (result.progress.best, len(result.progress.curve)) == (0, 1)
    assert result.test["test_accuracy"] == pytest.approx(trained.test["test_accuracy"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("missing.npz", "which is not there"),
        ("tiny.yaml", "must be a .npz, .weights.h5 or .keras file"),
        ("saved/train_x.npy", "must be a .npz"),
        ("bad.npz", "must be a checkpoint"),
        ("bad.keras", "must be a file that Keras reads"),
        ("bad.weights.h5", "must be a file that Keras reads"),
        ("other.npz", "must hold the weights of the same network"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(trained, digits, work, source, said):
    for suffix in ("npz", "keras", "weights.h5"):
        (work / f"bad.{suffix}").write_bytes(b"no such file")
    write_state(work / "other.npz", State(["w"], [np.zeros(3)]))
    out = work / f"refused-{source.replace('/', '-')}"
    with pytest.raises(InputError, match=said):
        train_network(design(), digits, TrainingOptions(out, epochs=1, weights=source))


# ---- what is asked for


def test_a_trial_is_trained_on_its_searchs_data_from_its_weights(trained, digits, work, capsys):
    if "found" not in SearchRecord.names():
        config = {"space": {}, "data": "digits", "image_size": 8, "train_limit": 150, "seed": 0}
        record = SearchRecord.create("found", config, digits)
        architecture, training = design().architecture, design().training
        values = {"accuracy": 0.5}
        found = Trial(
            0, {}, architecture.id, "complete", values, 6, architecture=architecture, training=training
        )
        record.log(found, {"checkpoint.npz": work / "plain" / "best.npz"})
        record.finish("complete")
    assert nas_command("train", "found:0", "--epochs", "1", "--from", "found:0", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result["folder"]) == work / "trained" / "found-0"
    start = json.loads((work / "trained" / "found-0" / "training.json").read_text())["start"]
    assert start["accuracy"] == pytest.approx(trained.values["accuracy"])

    assert nas_command("train", "found:0", "--epochs", "1", "--image-size", "12", "--out", "larger") == 0
    assert "of 12x12x1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["xception_like"], "nas train takes one network, got 'xception_like' with"),
        (["mnist_cn"], "did you mean 'mnist_cnn'"),
        (["nothere:3"], "nothere"),
        (["tiny.yaml", "--fine-tune"], "--fine-tune needs weights to begin with"),
        (["tiny.yaml", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["tiny.yaml", "--batch-size", "0"], "training.batch_size must be at least 1, got 0"),
        (["tiny.yaml", "--format", "kears"], "kears"),
        (["tiny.yaml", "--data", "nothere.npz"], "nothere.npz"),
        (["depthwise_separable_layer"], "a network needs a head to be trained"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(trained, words, said, capsys):
    assert nas_command("train", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_shipped_network_takes_the_datas_input_and_classes(capsys):
    assert nas_command("train", "vgg_small_separable", *DATA, "--epochs", "1", "--out", "vgg") == 0
    assert "150 examples of 8x8x1, 10 classes" in capsys.readouterr().err


def test_a_closed_network_goes_before_a_space_of_its_name():
    both = sorted(set(shipped_files()) & set(shipped_files("models")))
    assert "mnist_cnn" in both
    for name in both:
        found = find_network(name, DataChoice("digits", image_size=32, train_limit=100))
        closed = SearchSpace.load(shipped_files("models")[name]).design({}).architecture
        assert found.design.architecture.stages == closed.stages
        assert found.design.architecture.input_shape == (32, 32, 1)


# ---- the record


def runs(name):
    store = connect(make=False)
    found = store.client.search_runs([store.experiment_id], "tags.`nas.kind` = 'training'")
    return [run for run in found if run.info.run_name == name]


def test_the_run_holds_the_curve_the_results_and_the_architecture(trained, digits):
    client = connect(make=False).client
    run = client.get_run(trained.run_id)
    assert run.data.params["architecture.stem.width"] == "6"
    assert run.data.params["epochs"] == "6"
    for name in ("test_accuracy", "test_loss"):
        assert run.data.metrics[name] == pytest.approx(trained.test[name])
    assert run.data.metrics["params"] == trained.values["params"]
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest == digits.fingerprint
    artifact = Path(client.download_artifacts(trained.run_id, "architecture.yaml"))
    assert Design.from_dict(nas.architecture.architecture.read_yaml(artifact.read_text(), "it")) == design()
    assert "model.keras" in [item.path for item in client.list_artifacts(trained.run_id)]


def test_training_goes_on_without_mlflow_and_delivers_later(trained, digits, work):
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

    result = train_network(design(), digits, TrainingOptions(work / "alone", epochs=4, seed=2), show)
    assert [bool(problem) for problem in problems] == [False, False, True, True, False]
    history = connect(make=False).client.get_metric_history(result.run_id, "epoch/loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
