"""The benchmarks of speed run in a tiny setting, with real processes and real training."""

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
  count: 1
  width: {choice: [2, 4]}
block:
  kernel_size: {choice: [1, 3]}
"""

pytestmark = [
    pytest.mark.trains,
    pytest.mark.skipif(os.name != "posix", reason="the benchmarks kill process groups"),
]


def run_benchmark(folder: Path, script: str, *options: str) -> dict:
    (folder / "tiny.yaml").write_text(TINY)
    command = [sys.executable, str(BENCHMARKS / script), *options, "--no-keep", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["benchmark"] == script.removesuffix(".py")
    assert {"processor", "cores", "memory_gb"} <= result["conditions"]["machine"].keys()
    assert {"python", "tensorflow", "keras", "keras-tuner", "optuna"} <= result["conditions"][
        "versions"
    ].keys()
    return result


def test_throughput_trains_the_same_networks_with_all_contenders(tmp_path):
    options = ("--space", "tiny.yaml", "--train-limit", "64", "--epochs", "1", "--trials", "2")
    result = run_benchmark(tmp_path, "throughput.py", *options, "--repeats", "1")
    assert result["ratio_keras_tuner"] > 0
    assert result["ratio_optuna_script"] > 0
    assert result["ratio_keras_tuner_without_start_up"] > 0
    for name in ("keras_tuner", "optuna_script", "nas"):
        (run,) = result["runs"][name]
        assert run["trials_per_hour"] == pytest.approx(3600 * 2 / run["seconds"])
        assert 0 < run["start_up_seconds"] < run["seconds"]
    assert sum(result["nas_worker_time_shares"].values()) == pytest.approx(1, abs=0.001)


def test_time_to_front_scores_retrained_networks(tmp_path):
    options = ("--data", "digits", "--train", "64", "--validation", "64", "--epochs", "1", "--repeats", "1")
    options += ("--space", "tiny.yaml", "--minutes", "0.15", "--contenders", "optuna_tpe,nas")
    result = run_benchmark(tmp_path, "time_to_front.py", *options)
    assert result["final_hypervolume"].keys() == {"optuna_tpe", "nas"}
    (one_round,) = result["rounds"]
    for found in one_round["contenders"].values():
        assert [seconds for seconds, _ in found["curve"]] == sorted(seconds for seconds, _ in found["curve"])
        assert all(0 <= seconds <= 9 and 0 <= volume <= 1 for seconds, volume in found["curve"])
        assert found["final_hypervolume"] == (found["curve"][-1][1] if found["curve"] else 0)
        assert bool(found["front"]) == bool(found["curve"])


def test_scaling_measures_each_engine_at_each_mark(tmp_path):
    result = run_benchmark(
        tmp_path, "scaling.py", "--marks", "2,4", "--engines", "random", "--workers", "1", "--window", "2"
    )
    assert {(found["engine"], found["mark"]) for found in result["windows"]} == {("random", 2), ("random", 4)}
    assert all(0 < found["loop_ms"] < found["parent_cpu_ms"] for found in result["windows"])
    assert result["memory_mb"].keys() == {"2", "4"}
    assert result["worst_parent_cpu_ms"] > 0


def test_against_hand_keeps_runs_and_compares_the_front_with_each_rung(tmp_path):
    options = ("--families", "plain_cnn", "--space", "tiny.yaml", "--train-limit", "64", "--epochs", "1")
    options += ("--trials", "2", "--seeds", "1", "--runs", "runs.jsonl")
    result = run_benchmark(tmp_path, "against_hand.py", *options)
    assert [row["params"] for row in result["rungs"]] == [23_962, 131_754, 391_850]
    (seed,) = result["seeds"]
    assert seed["best_rung"] == max(row["accuracy"] for row in result["rungs"])
    assert 0 < len(seed["members"]) <= 2
    for row in result["rungs"]:
        reached = [m["params"] for m in seed["members"] if m["accuracy"] >= row["accuracy"]]
        assert row["smaller"] == pytest.approx(row["params"] / min(reached) if reached else 0, rel=1e-3)

    runs = tmp_path / "runs.jsonl"
    kept = runs.read_text()
    assert kept.count('"kind": "ladder"') == 5  # three learning rates, and two more widths
    runs.write_text(kept + '{"key": {"kind')
    again = run_benchmark(tmp_path, "against_hand.py", *options)
    assert runs.read_text() == kept
    assert again["rungs"] == result["rungs"]


def test_augmentation_is_compared_with_steps_without_it(tmp_path):
    result = run_benchmark(tmp_path, "augmentation.py", "--rounds", "1", "--steps", "1", "--sizes", "8,16")
    assert [found["size"] for found in result["sizes"]] == [8, 16]
    for found in result["sizes"]:
        assert {"flip", "mixup", "label_smoothing", "all"} <= found["added_share"].keys()
        assert found["transform"]["ratio"] > 0
        ratio = found["seconds"]["all"][0] / found["seconds"]["none"][0]
        assert found["added_share"]["all"] == pytest.approx(ratio - 1, abs=0.01 * ratio)
