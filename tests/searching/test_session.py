"""A whole search as a user runs it: killed, resumed, its front read, its best network exported."""

from __future__ import annotations

import contextlib
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

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]

pytestmark = pytest.mark.trains

SPACE = """
name: small
stem: {width: 8, stride: 2, normalization: between}
stages: {count: {choice: [1, 2]}, width: {choice: [4, 8, 12]}}
block: {conv: {choice: [standard, separable]}, normalization: between}
"""


def call(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NAS, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=280
    )


def recorded(folder: Path, *options: str) -> list[dict]:
    ended = call(["front", "photos", "--json", *options], folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def recorded_trials(database: Path) -> int:
    """Count the trials in MLflow's database whose run has ended."""
    query = (
        "select count(*) from runs join tags on runs.run_uuid = tags.run_uuid "
        "where tags.key = 'mlflow.parentRunId' and runs.status = 'FINISHED'"
    )
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the tables are being created
            return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder in which a search was killed by SIGKILL after two trials were recorded."""
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = rng.integers(0, 80, (400, 12, 12, 1)) + 120 * (y[:, None, None, None] * (np.arange(12) > 5)[:, None])
    x = x.astype(np.uint8)
    np.savez(folder / "halves.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    (folder / "small.yaml").write_text(SPACE)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    arguments = [
        "search",
        "--space",
        "small.yaml",
        "--data",
        "halves.npz",
        "--name",
        "photos",
        "--trials",
        "6",
    ]
    arguments += ["--workers", "1", "--epochs", "4", "--reduction", "2", "--min-epochs", "2"]
    with subprocess.Popen([*NAS, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while recorded_trials(folder / "mlruns" / "mlflow.db") < 2:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    return folder


@pytest.fixture(scope="module")
def resumed(folder):
    before = recorded(folder, "--all")
    ended = call(["search", "--resume"], folder)
    assert ended.returncode == 0, ended.stderr
    return before, recorded(folder, "--all"), ended


def test_recorded_trials_survive_a_kill(resumed):
    before, after, _ = resumed
    assert len(before) >= 2
    first = {row["trial"]: row for row in after}
    for row in before:
        assert first[row["trial"]]["id"] == row["id"]
        assert first[row["trial"]]["params"] == row["params"]


def test_the_resumed_search_trains_the_requested_trials(resumed):
    _, after, ended = resumed
    assert sorted(row["trial"] for row in after) == list(range(6))
    assert len({row["id"] for row in after}) == 6
    assert "resumed     with" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Pareto front of photos" in ended.stdout
    assert "nas export photos" in ended.stdout


def test_front_members_have_every_objective_and_are_not_dominated(resumed, folder):
    rows = recorded(folder)
    assert rows
    for row in rows:
        assert {"trial", "id", "accuracy", "params", "flops", "latency_ms"} <= row.keys()
        for other in rows:
            keys = ("params", "latency_ms")
            better = other["accuracy"] >= row["accuracy"] and all(other[key] <= row[key] for key in keys)
            assert other is row or not better or all(other[key] == row[key] for key in (*keys, "accuracy"))


def test_the_search_finds_an_accurate_network(resumed, folder):
    assert max(row["accuracy"] for row in recorded(folder)) > 0.9


def test_the_exported_source_trains_and_the_keras_file_gives_its_outputs(resumed, folder):
    ended = call(["export", "--pick", "best", "--format", "keras,python", "--out", "best"], folder)
    assert ended.returncode == 0, ended.stderr
    script = """
import sys, numpy as np, keras, model
assert not any(name.split(".")[0] == "nas" for name in sys.modules)
data = np.load("../halves.npz")
built = model.compile_model(model.build_model())
built.load_weights("model.weights.h5")
saved = keras.models.load_model("model.keras")
outputs = [net.predict(data["x_test"], verbose=0) for net in (built, saved)]
np.testing.assert_allclose(*outputs, atol=1e-5)
print("accuracy", saved.evaluate(data["x_test"], data["y_test"], verbose=0)[1])
built.fit(data["x_train"], data["y_train"], verbose=0)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=folder / "best", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.split()[-1]) > 0.9


def test_a_name_in_use_is_refused_with_the_fix(resumed, folder):
    arguments = ["search", "--space", "small.yaml", "--data", "halves.npz", "--name", "photos"]
    ended = call([*arguments, "--objectives", "accuracy,params"], folder)
    assert ended.returncode == 2
    assert "--resume photos" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_latencies_of_another_device_are_measured_again(resumed, folder):
    script = (
        "from nas.record import SearchRecord\n"
        "record = SearchRecord.resume('photos')\n"
        "record.amend({**record.config, 'device': 'another device'})\n"
        "record.close()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, timeout=200)
    ended = call(["search", "--resume", "photos"], folder)
    assert ended.returncode == 0, ended.stderr
    assert "on another device (another device)" in ended.stderr
    again = call(["search", "--resume", "photos"], folder)
    assert "another device" not in again.stderr
