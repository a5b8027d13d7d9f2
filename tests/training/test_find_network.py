"""The network to train: a trial with the data of its search, a shipped network, invalid input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.record import SearchRecord, parse_trial_reference
from nas.space import SearchSpace, shipped_files
from nas.training import DataOverrides
from nas.training.find_network import find_network
from nas.trials import Trial

DATA = ["--image-size", "8", "--train-limit", "150"]

pytestmark = [
    pytest.mark.trains,
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


def test_a_trial_is_trained_on_the_data_of_its_search(
    trained, digits, work, capsys, make_design, run_command
):
    config = {"space": {}, "data": "digits", "image_size": 8, "train_limit": 150, "seed": 0}
    record = SearchRecord.create("found", config, digits)
    architecture, training = make_design().architecture, make_design().training
    values = {"accuracy": 0.5}
    found = Trial(0, {}, architecture.id, "complete", values, 6, architecture=architecture, training=training)
    record.log(found, {"checkpoint.npz": work / "plain" / "best.npz"})
    record.finish("complete")
    assert run_command("train", "found:0", "--epochs", "1", "--from", "found:0", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result["folder"]) == work / "trained" / "found-0"
    start = json.loads((work / "trained" / "found-0" / "training.json").read_text())["start"]
    assert start["accuracy"] == pytest.approx(trained.values["accuracy"])

    assert run_command("train", "found:0", "--epochs", "1", "--image-size", "12", "--out", "larger") == 0
    assert "each 12x12x1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["xception_like"], "nas train takes one network, got 'xception_like' with"),
        (["mnist_cn"], "did you mean 'mnist_cnn'"),
        (["nothere:3"], "nothere"),
        (["tiny.yaml", "--fine-tune"], "--fine-tune needs weights to start from"),
        (["tiny.yaml", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["tiny.yaml", "--batch-size", "0"], "training.batch_size must be at least 1, got 0"),
        (["tiny.yaml", "--format", "kears"], "kears"),
        (["tiny.yaml", "--data", "nothere.npz"], "nothere.npz"),
        (["depthwise_separable_layer"], "a network needs a head to be trained"),
    ],
)
def test_invalid_input_is_one_clear_error(trained, arguments, message, capsys, run_command):
    assert run_command("train", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_shipped_network_takes_input_and_classes_of_the_data(capsys, run_command):
    assert run_command("train", "vgg_small_separable", *DATA, "--epochs", "1", "--out", "vgg") == 0
    assert "150 train" in (shown := capsys.readouterr().err)
    assert "each 8x8x1 of uint8" in shown


def test_a_network_has_priority_over_a_space_of_its_name():
    both = sorted(set(shipped_files()) & set(shipped_files("models")))
    assert "mnist_cnn" in both
    for name in both:
        network = find_network(name, DataOverrides("digits", {"image_size": 32, "train_limit": 100}))
        closed = SearchSpace.load(shipped_files("models")[name]).design({}).architecture
        assert network.design.architecture.stages == closed.stages
        assert network.design.architecture.input_shape == (32, 32, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos:17", ("photos", 17)),
        (":3", (None, 3)),
        ("a.b-c_d:0", ("a.b-c_d", 0)),
        ("photos", None),
        ("photos:", None),
        ("photos:best", None),
        ("../photos:1", None),
    ],
)
def test_references_to_trials(text, expected):
    assert parse_trial_reference(text) == expected


def test_an_existing_file_is_not_a_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd:1").touch()
    assert parse_trial_reference("odd:1") is None
