"""A whole search as a user runs it: killed, resumed, its front read, its best network exported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nas.searching import Plan

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]

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
    ended = call(["front", "kept", "--json", *options], folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which a search was killed after its second trial, and then resumed."""
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = rng.integers(0, 80, (400, 12, 12, 1)) + 120 * (y[:, None, None, None] * (np.arange(12) > 5)[:, None])
    x = x.astype(np.uint8)
    np.savez(folder / "halves.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    (folder / "small.yaml").write_text(SPACE)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    arguments = ["search", "--space", "small.yaml", "--data", "halves.npz", "--name", "kept", "--trials", "6"]
    arguments += ["--workers", "1", "--epochs", "4", "--reduction", "2", "--min-epochs", "2"]
    with subprocess.Popen([*NAS, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if sum(line.startswith("trial") for line in seen) == 2:
                break
        else:
            pytest.fail("".join(seen))
        time.sleep(1.0)  # let the record's thread write
        process.send_signal(signal.SIGKILL)
    return folder


@pytest.fixture(scope="module")
def resumed(place):
    before = recorded(place, "--all")
    ended = call(["search", "--resume"], place)
    assert ended.returncode == 0, ended.stderr
    return before, recorded(place, "--all"), ended


def test_what_was_recorded_before_the_kill_is_there_after_it(resumed):
    before, after, _ = resumed
    assert len(before) >= 2
    first = {row["trial"]: row for row in after}
    for row in before:
        assert first[row["trial"]]["id"] == row["id"]
        assert first[row["trial"]]["params"] == row["params"]


def test_the_resumed_search_finishes_what_was_asked_for(resumed):
    _, after, ended = resumed
    assert sorted(row["trial"] for row in after) == list(range(6))
    assert len({row["id"] for row in after}) == 6
    assert "resumed  with" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Pareto front of kept" in ended.stdout
    assert "nas export kept" in ended.stdout


def test_the_front_has_every_objective_and_no_point_that_another_beats(resumed, place):
    rows = recorded(place)
    assert rows
    for row in rows:
        assert {"trial", "id", "accuracy", "params", "flops", "latency_ms"} <= row.keys()
        for other in rows:
            keys = ("params", "latency_ms")
            better = other["accuracy"] >= row["accuracy"] and all(other[key] <= row[key] for key in keys)
            assert other is row or not better or all(other[key] == row[key] for key in (*keys, "accuracy"))


def test_the_search_learns_and_keeps_the_test_split_away(resumed, place):
    assert max(row["accuracy"] for row in recorded(place)) > 0.9


def test_the_exported_source_trains_and_the_keras_file_gives_its_outputs(resumed, place):
    ended = call(["export", "--pick", "best", "--format", "keras,python", "--out", "best"], place)
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
        [sys.executable, "-c", script], cwd=place / "best", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.split()[-1]) > 0.9


def test_a_name_in_use_is_refused_with_the_way_out(resumed, place):
    arguments = ["search", "--space", "small.yaml", "--data", "halves.npz", "--name", "kept"]
    ended = call([*arguments, "--objectives", "accuracy,params"], place)
    assert ended.returncode == 2
    assert "--resume kept" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_latencies_of_another_device_are_measured_again(resumed, place):
    script = (
        "from nas.record.search_record import Record\n"
        "record = Record.resume('kept')\n"
        "record.amend({**record.config, 'device': 'another device'})\n"
        "record.close()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=place, check=True, timeout=200)
    ended = call(["search", "--resume", "kept"], place)
    assert ended.returncode == 0, ended.stderr
    assert "of another device (another device)" in ended.stderr
    again = call(["search", "--resume", "kept"], place)
    assert "another device" not in again.stderr


@pytest.mark.parametrize(
    ("budget", "weighs"),
    [({"seconds": 60.0}, True), ({"trials": 5}, False), ({"trials": 5, "seconds": 60.0}, False), ({}, False)],
)
def test_gains_are_weighed_by_seconds_where_only_time_is_limited(budget, weighs):
    from nas.searching import Status, session
    from nas.searching.screening import Screen
    from nas.searching.status import Budget
    from nas.space import SearchSpace

    plan = Plan.of({"space": {}, "objectives": ("accuracy", "params"), **budget})
    space = SearchSpace.load("xception_like").bind((8, 8, 1), 10)
    status = Status(Budget(plan.most_trials, plan.seconds))
    engine = session._engine(plan, Screen(space, plan.parsed_objectives(), ()), status)
    assert (engine._pace is not None) == weighs
    if weighs:
        assert 0 < engine._pace.left() <= 60


def test_a_search_waits_for_a_record_that_lies_far_behind(monkeypatch):
    """Or what waits would fill the memory."""
    from nas.searching import session

    class Slow:
        def __init__(self) -> None:
            self.begun = self.written = 0

        def log_over_limit(self, trials):
            self.begun += 1
            time.sleep(0.01)
            self.written += 1

    monkeypatch.setattr(session, "BEHIND", 3)
    record, plan = Slow(), Plan.of({"space": {}, "objectives": ("accuracy", "params")})
    log = session._RecordLog(record, plan, [])
    behind = []
    for count in range(1, 13):
        log.over_limit(None)
        behind.append(count - record.written)
    log.close()
    assert record.written == 12
    assert behind[0] == 1
    assert max(behind) == 3
