"""`nas search` with a server that goes away, and the parsing of its options."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from recorded_trials import free_port, serve, stop

from nas.cli.searching import parse_duration

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 min", 120)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.trains
def test_a_search_shows_that_mlflow_is_away(tmp_path):
    port = free_port()
    server = serve(tmp_path, port)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    arguments = [
        "search",
        "--name",
        "away",
        "--trials",
        "4",
        "--epochs",
        "2",
        "--no-halving",
        "--workers",
        "0",
    ]
    arguments += ["--objectives", "accuracy,params", "--max-params", "5000", "--train-limit", "100"]
    try:
        process = subprocess.Popen(
            [*NAS, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("trial"):
                    break
            stop(server)
            errors, output = process.stderr.read(), process.stdout.read()
    finally:
        if server.poll() is None:
            stop(server)
    assert process.returncode == 3, errors
    assert "nothing answers there; start the server" in errors
    assert "in mlruns/spool. What waits is delivered as soon as MLflow takes it." in errors  # when it happens
    last = errors.splitlines()[-1]
    assert last.endswith("`nas sync away` delivers them, and the next command of `nas` tries to.")
    assert "Pareto front of away" in output
    assert "Traceback" not in errors
