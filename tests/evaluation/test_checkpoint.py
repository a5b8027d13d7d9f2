"""Checkpoints that are complete at any time, and weights that fit Keras models."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from digit_jobs import digit_design, digit_job

from nas.backends import build_model, predict
from nas.data import Dataset
from nas.errors import EvaluationError, StorageError
from nas.evaluation import State, load_weights, read_state, write_state

WRITER = """
import sys
from pathlib import Path
import numpy as np
from nas.evaluation.checkpoint import State, write_state
epochs = 0
while True:
    epochs += 1
    values = np.full((500, 500), epochs, np.float32)
    write_state(Path(sys.argv[1]), State(("a/kernel",), (values,), (), 0, epochs))
    print(epochs, flush=True)
"""


def test_a_state_is_read_as_it_was_written(tmp_path):
    weights = (np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32))
    slots = tuple(np.full(9, number, np.float32) for number in range(12))
    write_state(tmp_path / "a.npz", State(("a/kernel", "a/bias"), weights, slots, steps=7, epochs=2))
    state = read_state(tmp_path / "a.npz")
    assert (tuple(state.names), state.steps, state.epochs) == (("a/kernel", "a/bias"), 7, 2)
    for found, expected in zip((*state.weights, *state.slots), (*weights, *slots), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.trains
def test_a_checkpoint_of_a_killed_process_is_complete(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for delay in (0.0, 0.013, 0.04):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline().strip() == "1"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        state = read_state(path)
        assert (state.weights[0] == state.epochs).all()


def test_a_file_that_is_not_a_checkpoint_is_rejected(tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and nothing else")
    for path in (broken, tmp_path / "missing.npz"):
        with pytest.raises(EvaluationError, match=r"a checkpoint must be an \.npz file"):
            read_state(path)


def test_a_folder_that_is_not_writable_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a checkpoint must be writable"):
        write_state(tmp_path / "file" / "a.npz", State(("a/kernel",), (np.zeros((2, 2), np.float32),)))


@pytest.mark.trains
def test_a_keras_model_with_the_weights_of_a_checkpoint_has_the_same_accuracy(evaluator, digits, tmp_path):
    design, dataset = digit_design(), Dataset.open(digits)
    evaluation = evaluator.evaluate(digit_job(tmp_path, digits, design))
    model = build_model(design.architecture)
    load_weights(model, evaluation.checkpoint)
    correct = predict(model, dataset.validation.x).argmax(-1) == dataset.validation.y
    assert evaluation.values["accuracy"] == pytest.approx(correct.mean())
    scores = evaluator.score_test_split(design, evaluation.checkpoint, dataset)
    correct = predict(model, dataset.test.x).argmax(-1) == dataset.test.y
    assert scores["test_accuracy"] == pytest.approx(correct.mean())
    with pytest.raises(EvaluationError, match="of the same network"):
        load_weights(build_model(digit_design(stem={"width": 7}).architecture), evaluation.checkpoint)
