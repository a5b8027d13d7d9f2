"""The benchmarks of speed run in a tiny setting and tell what they promise: real processes, real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = """\
name: tiny
stages:
  count: {choice: [1, 2]}
  width: {choice: [2, 4]}
block:
  kernel_size: {choice: [1, 3]}
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the benchmarks end their processes by group")


def ran(folder: Path, script: str, *words: str) -> dict:
    (folder / "tiny.yaml").write_text(TINY)
    command = [sys.executable, str(BENCHMARKS / script), *words, "--no-keep", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["benchmark"] == script.removesuffix(".py")
    assert {"processor", "cores", "memory_gb"} <= result["conditions"]["machine"].keys()
    assert {"python", "tensorflow", "keras", "keras-tuner", "optuna"} <= result["conditions"][
        "versions"
    ].keys()
    return result


def test_throughput_trains_the_same_networks_by_all_three(tmp_path):
    words = ("--space", "tiny.yaml", "--train-limit", "64", "--epochs", "1", "--trials", "2")
    result = ran(tmp_path, "throughput.py", *words, "--repeats", "1")
    assert result["ratio_keras_tuner"] > 0
    assert result["ratio_optuna_script"] > 0
    assert result["ratio_keras_tuner_without_start_up"] > 0
    for name in ("keras_tuner", "optuna_script", "nas"):
        (run,) = result["runs"][name]
        assert run["trials_per_hour"] == pytest.approx(3600 * 2 / run["seconds"])
        assert 0 < run["start_up_seconds"] < run["seconds"]
    assert sum(result["nas_worker_time_shares"].values()) == pytest.approx(1, abs=0.001)


def test_time_to_front_counts_points_that_were_trained_again(tmp_path):
    words = ("--data", "digits", "--train", "64", "--validation", "64", "--epochs", "1", "--repeats", "1")
    words += ("--space", "tiny.yaml", "--minutes", "0.2", "--contenders", "optuna_tpe,nas")
    result = ran(tmp_path, "time_to_front.py", *words)
    assert result["final_hypervolume"].keys() == {"optuna_tpe", "nas"}
    (played,) = result["rounds"]
    for found in played["contenders"].values():
        assert [seconds for seconds, _ in found["curve"]] == sorted(seconds for seconds, _ in found["curve"])
        assert all(0 <= seconds <= 12 and 0 <= volume <= 1 for seconds, volume in found["curve"])
        assert found["final_hypervolume"] == (found["curve"][-1][1] if found["curve"] else 0)
        assert bool(found["front"]) == bool(found["curve"])


def test_scaling_measures_each_engine_at_each_mark(tmp_path):
    result = ran(
        tmp_path, "scaling.py", "--marks", "2,4", "--engines", "random", "--workers", "1", "--window", "2"
    )
    assert {(found["engine"], found["mark"]) for found in result["windows"]} == {("random", 2), ("random", 4)}
    assert all(0 < found["loop_ms"] < found["parent_cpu_ms"] for found in result["windows"])
    assert result["memory_mb"].keys() == {"2", "4"}
    assert result["worst_parent_cpu_ms"] > 0
