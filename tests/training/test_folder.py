"""The folder of a training: consistent after any kill, and used by one training only."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nas.errors import InputError
from nas.evaluation import read_state
from nas.training.folder import TrainingFolder
from nas.training.train import TrainingOptions, train_network

pytestmark = [
    pytest.mark.trains,
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


KILLED_AT_A_RENAME = """
import os, sys
from pathlib import Path
import numpy as np
from nas.evaluation import State, write_state
from nas.training.folder import TrainingFolder

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
    folder.begin({"accuracy": 0.0}, ["a", "b"])
while len(folder.curve) < 3:
    epochs = len(folder.curve) + 1
    finished(epochs)
    folder.add({"accuracy": float(epochs)}, is_best=epochs != 3)
print("complete")
"""


def test_a_folder_is_consistent_whenever_its_process_is_killed(tmp_path):
    path = tmp_path / "folder"
    settings = {"epochs": 3}
    seen = set()
    for renames in range(100):
        arguments = [sys.executable, "-c", KILLED_AT_A_RENAME, str(path), str(min(renames, 4))]
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert ended.returncode in (0, 9), ended.stderr
        folder = TrainingFolder.open(path, settings)
        if folder.started:
            assert read_state(folder.last_weights).epochs == len(folder.curve)
            assert read_state(folder.best_weights).epochs == folder.best == min(len(folder.curve), 2)
        seen.add((folder.started, len(folder.curve)))
        folder.close()
        if ended.returncode == 0:
            break
    assert len(seen) >= 4
    assert ended.stdout == "complete\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 7}, r"another training \(epochs 6, not 7\)"),
        ({"seed": 1}, r"another training \(seed 0, not 1\)"),
        ({"patience": 3}, r"another training \(patience None, not 3\)"),
    ],
)
def test_a_folder_of_another_training_is_refused(trained, digits, work, changes, message, make_design):
    with pytest.raises(InputError, match=message):
        train_network(
            make_design(), digits, TrainingOptions(**{"out": work / "plain", "epochs": 6, **changes})
        )


def test_a_folder_with_other_content_is_refused(trained, digits, work, make_design):
    options = TrainingOptions(work / "plain", epochs=6)
    with pytest.raises(InputError, match=r"another training \(another architecture\)"):
        train_network(make_design(stages=[]), digits, options)
    with pytest.raises(InputError, match=r"another training \(learning_rate 0.01, not 0.02\)"):
        train_network(make_design(training={"batch_size": 32, "learning_rate": 0.02}), digits, options)
    (work / "photos").mkdir()
    (work / "photos" / "cat.jpg").touch()
    with pytest.raises(InputError, match=r"other files \('cat.jpg'\); use another --out"):
        train_network(make_design(), digits, TrainingOptions(work / "photos"))


def test_two_processes_do_not_train_in_one_folder(work):
    held = TrainingFolder.open(work / "held", {})
    with pytest.raises(InputError, match="a training runs in one process"):
        TrainingFolder.open(work / "held", {})
    held.close()
    TrainingFolder.open(work / "held", {}).close()
