"""A search that version 0.1.0 recorded, stopped with a trial in the spool, is read and resumed.

`recorded_0.1.0.zip` holds the database as SQL, the artifacts without figures, and the spool; `@FOLDER@`
stands for the folder in which the search ran, and from which it was moved.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from nas import cli
from nas.api import find
from nas.errors import InputError
from nas.searching import resume_search

pytestmark = pytest.mark.trains

RECORDED = Path(__file__).with_name("recorded_0.1.0.zip")

TRIALS = [  # number, id, state, epochs
    (0, "7e901c9d3529", "complete", 9),
    (1, "ffba74ac1269", "complete", 9),
    (2, "312aeeef981e", "stopped", 1),
    (3, "60ecfabb8c6e", "stopped", 1),
    (4, "666585bf227f", "stopped", 1),
    (5, "5169a8e046c4", "complete", 9),
    (6, "a6195d833aa3", "stopped", 1),
    (7, "c47ee6b20b1b", "stopped", 1),
    (8, "1f031ded7e49", "failed", 0),
]


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert not ended.value.code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    with zipfile.ZipFile(RECORDED) as file:
        file.extractall(tmp_path)
    before = tmp_path / "before"
    script = (tmp_path / "mlflow.sql").read_text(encoding="utf-8").replace("@FOLDER@", str(before))
    database = sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")
    database.executescript(script)
    database.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path
    assert not before.exists()


def test_a_search_recorded_by_0_1_0_is_resumed(folder, capsys):
    before = find("recorded").trials
    assert [(trial.number, trial.id, trial.state, trial.epochs) for trial in before] == TRIALS
    assert all(trial.design.architecture.id == trial.id for trial in before)  # the same layers are built
    run("search", "--resume", "recorded", "--trials", "11", "--workers", "0", "--json")
    front = json.loads(capsys.readouterr().out)
    after = {trial.number: trial for trial in find("recorded").trials}
    assert sorted(after) == list(range(11))
    assert {row["trial"] for row in front} <= set(after)
    for trial in before:
        resumed = after[trial.number]
        assert resumed.id == trial.id
        assert resumed.curve[: len(trial.curve)] == tuple(trial.curve)  # nothing is trained twice
    assert find("recorded").plan.examples == 288  # 0.1.0 did not record it
    keys = [trial.design.key for trial in after.values()]
    assert len(keys) == len(set(keys))  # known designs are not proposed again
    assert not list((folder / "mlruns" / "spool").glob("recorded/0*"))  # what waited is delivered


def test_fewer_trials_than_are_recorded_are_refused(folder):
    with pytest.raises(InputError, match="at least the 9 that it has, got 5; use for example 18"):
        resume_search("recorded", {"trials": 5})
    assert [(trial.number, trial.state) for trial in find("recorded").trials] == [
        (number, state) for number, _, state, _ in TRIALS
    ]


def test_a_network_recorded_by_0_1_0_is_exported(folder):
    run("export", "recorded", "--pick", "5", "--format", "python,litert", "--out", "files")
    assert {path.name for path in (folder / "files").iterdir()} == {
        "architecture.yaml", "model.py", "model.tflite", "model.weights.h5", "classes.csv", "confusion.csv",
        "model_card.md",
    }  # fmt: skip
