"""Jobs that resume, fail, repeat and run in new processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
from digit_jobs import digit_design, digit_job

from nas.backends import CALIBRATION_IMAGES, load_litert, trained_litert_bytes
from nas.data import Dataset
from nas.errors import EvaluationError, RunError, SpaceError
from nas.evaluation import Evaluator, State, answer_with, read_state, write_state
from nas.evaluation.evaluator import TRACED_BYTES

pytestmark = pytest.mark.trains

RANDOM = {"flip": True, "rotation": 0.05, "zoom": 0.1, "schedule": "cosine", "optimizer": "adamw"}


@pytest.mark.parametrize("cached", [True, False], ids=["cached trainer", "new trainer"])
def test_a_resumed_job_has_the_result_of_an_uninterrupted_one(evaluator, digits, tmp_path, cached):
    design = digit_design(RANDOM, head={"dropout": 0.3})
    whole = evaluator.evaluate(digit_job(tmp_path / "whole", digits, design, epochs=3))
    first = evaluator.evaluate(digit_job(tmp_path / "first", digits, design, epochs=1))
    second = digit_job(tmp_path / "rest", digits, design, epochs=3, resume=first.checkpoint)
    rest = (evaluator if cached else Evaluator()).evaluate(second)
    assert (rest.seconds["trace"] == 0) == cached
    assert [row["epoch"] for row in rest.curve] == [2, 3]
    losses = [row["loss"] for row in (*first.curve, *rest.curve)]
    assert losses == pytest.approx([row["loss"] for row in whole.curve], rel=1e-5)
    assert rest.values["val_loss"] == pytest.approx(whole.values["val_loss"], rel=1e-5)
    one, other = read_state(whole.checkpoint), read_state(rest.checkpoint)
    assert (one.steps, one.epochs, one.names) == (other.steps, other.epochs, other.names)
    for a, b in zip((*one.weights, *one.slots), (*other.weights, *other.slots), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_results_depend_on_the_seed_only(evaluator, digits, tmp_path):
    design = digit_design({**RANDOM, "schedule": "constant"}, head={"dropout": 0.3})
    losses = [
        evaluator.evaluate(digit_job(tmp_path / str(number), digits, design, epochs=1, seed=seed)).values[
            "loss"
        ]
        for number, seed in enumerate((5, 5, 6))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_only_a_judged_job_reads_the_test_split(evaluator, digits, tmp_path):
    design, dataset = digit_design(), Dataset.open(digits)
    plain = evaluator.evaluate(digit_job(tmp_path / "plain", digits, design, epochs=1))
    assert plain.judgement is None
    assert not any(name.startswith("test_") for name in plain.values)
    judged = evaluator.evaluate(
        digit_job(tmp_path / "judged", digits, design, epochs=1, judged_by="accuracy")
    )
    assert judged.values == plain.values
    found, scores = judged.judgement, evaluator.score_test_split(design, judged.checkpoint, dataset)
    assert found.values == scores
    assert found.test.shape == (len(dataset.test),)
    assert found.test.mean() == pytest.approx(scores["test_accuracy"])
    assert found.validation.mean() == pytest.approx(judged.values["accuracy"])


def test_a_file_of_lower_precision_is_judged_on_both_splits(evaluator, digits, tmp_path):
    design, dataset = digit_design(), Dataset.open(digits)
    options = {"epochs": 4, "is_last": True, "precision": "int8", "judged_by": "loss"}
    judged = evaluator.evaluate(digit_job(tmp_path / "int8", digits, design, **options))
    weights = list(read_state(judged.checkpoint).weights)
    content = trained_litert_bytes(design.architecture, weights, "int8", dataset.train.x[:CALIBRATION_IMAGES])
    run = load_litert(content)
    for split, found in (
        (dataset.validation, judged.judgement.validation),
        (dataset.test, judged.judgement.test),
    ):
        expected = answer_with(run, "classification", dataset, split)
        np.testing.assert_allclose(found, expected.losses, rtol=1e-6)
    floats = evaluator.score_test_split(design, judged.checkpoint, dataset)
    assert judged.judgement.values["test_loss"] != floats["test_loss"]


def test_a_checkpoint_of_another_network_is_rejected(evaluator, digits, tmp_path):
    other = tmp_path / "other.npz"
    write_state(other, State(("a/kernel",), (np.zeros((2, 2), np.float32),)))
    with pytest.raises(EvaluationError, match="of the same network"):
        evaluator.evaluate(digit_job(tmp_path, digits, digit_design(), resume=other))


def test_a_loss_that_is_not_finite_ends_the_job(evaluator, digits, tmp_path):
    design = digit_design(
        {"optimizer": "sgd", "learning_rate": 10.0},
        stages=[{"width": 16, "convs": 4, "activation": "none"}],
        rescale=False,
    )
    with pytest.raises(
        EvaluationError, match=r"the loss must stay finite, got .* lower learning_rate \(10.0\)"
    ):
        evaluator.evaluate(digit_job(tmp_path, digits, design, epochs=5))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"head": None}, "needs a head"),
        ({"classes": 3}, "must be made for its data"),
        ({"input_shape": [9, 8, 1]}, "must be made for its data"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_rejected(evaluator, digits, tmp_path, changes, rule):
    with pytest.raises(SpaceError, match=rule):
        evaluator.evaluate(digit_job(tmp_path, digits, digit_design(**changes)))


def test_a_missing_data_set_is_reported(evaluator, tmp_path):
    with pytest.raises(RunError, match="a saved data set must be complete"):
        evaluator.evaluate(digit_job(tmp_path, tmp_path / "missing", digit_design()))


def test_data_without_a_test_split_has_no_test_scores(evaluator, digits, tmp_path):
    dataset = replace(Dataset.open(digits), test=None)
    with pytest.raises(EvaluationError, match="must have a test split"):
        evaluator.score_test_split(digit_design(), tmp_path / "checkpoint.npz", dataset)


def test_the_trainers_used_last_are_cached_up_to_a_limit(digits, tmp_path):
    evaluator = Evaluator(cache_bytes=3 * TRACED_BYTES + 2**20)
    entries = evaluator._trainers._entries
    trainers = []
    for width in range(4, 9):
        evaluator.evaluate(digit_job(tmp_path, digits, digit_design(stem={"width": width}), epochs=0))
        trainers.append(weakref.ref(next(reversed(entries.values()))[0]))
    assert len(entries) == 3
    assert [trainer() is None for trainer in trainers] == [True, True, False, False, False]


NEW_PROCESS = """
import json, os, pickle, sys
from nas.evaluation import Evaluator
job = pickle.loads(bytes.fromhex(sys.argv[1]))
assert "tensorflow" not in sys.modules
evaluation = Evaluator(job.design.architecture.task).evaluate(job)
from tensorflow.python.util._pywrap_util_port import IsMklEnabled
result = {"values": dict(evaluation.values), "onednn": IsMklEnabled(), "keras": "keras" in sys.modules,
          "threads": os.environ["TF_NUM_INTRAOP_THREADS"], "memory": evaluation.memory_mb}
print(json.dumps(result))
"""


def evaluate_in_new_process(job, **environment):
    """Evaluate a job in a process without settings for TensorFlow other than the given ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, pickle.dumps(job).hex()],
        env=inherited | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_a_dilated_network_trains_without_onednn(digits, tmp_path):
    job = digit_job(tmp_path, digits, digit_design(stages=[{"width": 8, "dilation": 2}]))
    done = evaluate_in_new_process(job, TF_ENABLE_ONEDNN_OPTS="0")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert not result["onednn"]
    assert np.isfinite(result["values"]["loss"])


def test_a_new_process_evaluates_a_pickled_job_and_prints_nothing(evaluator, digits, tmp_path):
    job = digit_job(tmp_path, digits, digit_design())
    done = evaluate_in_new_process(job)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert (result["threads"], result["keras"]) == ("1", False)
    assert 100 < result["memory"] < 4000
    here = evaluator.evaluate(replace(job, folder=tmp_path / "here"))
    assert result["values"]["val_loss"] == pytest.approx(here.values["val_loss"], rel=1e-3)
    assert (job.folder / "checkpoint.npz").is_file()
