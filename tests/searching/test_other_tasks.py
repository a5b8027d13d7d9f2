"""Searches for several labels and for numbers, from an npz to files that other runtimes run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

import nas
from nas import cli
from nas.backends import predict
from nas.data import load_dataset

pytestmark = [
    pytest.mark.trains,
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

SPACE = {
    "name": "small",
    "stages": {"count": {"choice": [1, 2]}, "width": {"choice": [4, 8]}, "shrink": "max_pool"},
    "block": {"normalization": "between"},
    "head": {"pooling": "flatten"},
    "training": {"batch_size": 16, "learning_rate": 0.01},
}
QUALITY = {"multi_label": "map", "regression": "r2"}
FORMATS = ("keras", "python", "litert", "onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with both data sets: images of bars, labels and numbers by their brightness."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    levels = rng.random((240, 3))
    x = np.repeat(levels, 4, axis=1)[:, :, None] * 180 + rng.integers(0, 60, (240, 12, 12))
    noise = 0.1 * rng.normal(size=levels.shape)
    labels = (levels + noise > [0.4, 0.6, 0.85]).astype(int)
    numbers = (levels + noise)[:, :2] * [0.1, 4000] + [1, 90_000]
    np.savez(folder / "multi_label.npz", x_train=x.astype(np.uint8), y_train=labels)
    np.savez(folder / "regression.npz", x_train=x.astype(np.uint8), y_train=numbers)
    return folder


@pytest.fixture(scope="module", params=["multi_label", "regression"])
def task(request, folder):
    """Search for the data of a task, and return the name of the task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        nas.search(
            SPACE, data=f"{request.param}.npz", name=request.param, trials=3, epochs=9, workers=0,
            front_seeds=1,
        )  # fmt: skip
    return request.param


@pytest.fixture(autouse=True)
def _working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line and returns what it prints."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_the_front_is_better_than_guessing_and_shown(task, run):
    found = nas.find(task)
    quality = QUALITY[task]
    assert found.plan.objectives == (quality, "params", "latency")
    criteria = found.plan.criteria
    assert criteria.guess is not None
    assert criteria.error(found.front[0]) < 0.5 * criteria.guess
    errors = json.loads(run("front", task, "--json", "--errors"))
    assert all(row[f"{quality}_se"] > 0 for row in errors)
    shown = run("show", task, str(found.front[0].number))
    assert f"val_{quality}" in shown
    assert ("label_accuracy" if task == "multi_label" else "mae") in shown.split("Curve")[1]


def run_file(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the outputs of an exported file in its own runtime."""
    import keras
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    if path.suffix == ".keras":
        return np.asarray(keras.saving.load_model(path)(x, training=False))
    if path.suffix == ".py":
        names = {"__name__": "exported"}
        exec(compile(path.read_text(), path.name, "exec"), names)
        model = names["build_model"]()
        model.load_weights(path.with_suffix(".weights.h5"))
        return np.asarray(model(x, training=False))
    if path.suffix == ".onnx":
        return onnxruntime.InferenceSession(path).run(None, {"input": x})[0]
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    outputs = []
    for image in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(outputs)


def test_every_exported_file_answers_as_the_search_validated_it(task, folder):
    pytest.importorskip("onnxruntime")
    found = nas.find(task)
    best, validation = found.pick("best"), load_dataset(f"{task}.npz").validation
    x, truth = validation.x.astype(np.float32), validation.y
    exported = found.export(best, formats=FORMATS, precision=("float32", "float16", "int8"))
    files, checks = exported.files, {check.name: check for check in exported.checks}
    assert files["keras"] == Path(f"export/{task}-{best.number}/model.keras")
    expected = predict(found.model(best), x)
    spread = expected.std(axis=0)
    score = metrics.average_precision_score if task == "multi_label" else metrics.r2_score
    assert score(truth, expected) == pytest.approx(best.values[QUALITY[task]], abs=2e-3)
    for name in FORMATS:
        difference = np.abs(run_file(files[name], x) - expected) / spread
        assert difference.max() < 2e-3, name
    for precision, tolerance in (("float16", 0.01), ("int8", 0.1)):
        outputs, check = run_file(files[f"litert.{precision}"], x), checks[f"litert.{precision}"]
        assert score(truth, outputs) == pytest.approx(best.values[QUALITY[task]], abs=tolerance), precision
        assert check.values[QUALITY[task]] == pytest.approx(score(truth, outputs), abs=1e-6)
        distance = np.abs(outputs - expected)[: check.images].max()
        assert check.difference == pytest.approx(distance, rel=1e-3, abs=1e-5 * float(np.abs(expected).max()))
    assert all(check.images == min(100, len(x)) for check in exported.checks)
    assert exported.values[QUALITY[task]] == pytest.approx(best.values[QUALITY[task]], abs=2e-3)
    card = files["card"].read_text()
    assert f"`model.int8.tflite` | {checks['litert.int8'].size_bytes:,} |" in card
    assert ("numbers" if task == "regression" else "several labels") in card
    source = files["python"].read_text()
    assert ("binary_crossentropy" if task == "multi_label" else "mean_squared_error") in source


def test_an_export_has_figures_of_the_validation_split(task, folder, run):
    found = nas.find(task)
    best = found.pick("best")
    shown = run("export", task, "--out", f"best-{task}", "--format", "python")
    table = "classes.csv" if task == "multi_label" else "numbers.csv"
    columns, *rows = csv.reader((folder / f"best-{task}" / table).read_text().splitlines())
    column = columns.index("average_precision" if task == "multi_label" else "r2")
    mean = np.mean([float(row[column]) for row in rows])
    assert mean == pytest.approx(best.values[QUALITY[task]], abs=1e-6)
    assert columns[-1] in shown
    assert (folder / f"best-{task}" / "predictions.csv").exists() == (task == "regression")
    assert "No figures" not in shown
    assert "compared with the network" in shown


def test_a_trial_is_trained_and_scored_on_the_test_split(task, run):
    result = json.loads(run("train", f"{task}:0", "--epochs", "6", "--json", "--out", f"trained-{task}"))
    quality = QUALITY[task]
    curve = [row[f"val_{quality}"] for row in result["curve"]]
    assert result[quality] == max(curve) == curve[result["best_epoch"] - 1]
    assert 0 < result[f"test_{quality}"] <= 1
    assert ("classes" if task == "multi_label" else "numbers") in result["files"]
    tuned = json.loads(
        run("train", f"{task}:0", "--from", f"{task}:0", "--epochs", "1", "--json", "--out", f"tuned-{task}")
    )
    trial = next(trial for trial in nas.find(task).trials if trial.number == 0)
    assert tuned[quality] > min(trial.values[quality], 0.9) - 0.3


def test_a_trial_is_measured(task, run):
    measured = json.loads(run("measure", f"{task}:0", "--json"))
    trial = next(trial for trial in nas.find(task).trials if trial.number == 0)
    assert measured["params"] == trial.values["params"]


def test_a_new_head_for_other_numbers_starts_in_their_range(folder, run):
    """A regression network that starts from one of other numbers gets a new head in the new unit."""
    with np.load(folder / "regression.npz") as file:
        np.savez(folder / "one.npz", x_train=file["x_train"], y_train=file["y_train"][:, 1])
    (folder / "one.yaml").write_text("{stages: [{width: 4}], training: {learning_rate: 0.01}}")
    run("train", "one.yaml", "--data", "regression.npz", "--epochs", "1", "--out", "two")
    result = nas.train("one.yaml", data="one.npz", weights="two", epochs=1, out="new")
    assert result.progress.has_new_head
    assert result.progress.start["mae"] < 10_000
