"""The comparison of a front with ladders, and what benchmarks/against_hand.py reads and keeps."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import against_hand
from _hand_report import SeedRuns, quality_floor, summarize, text_of
from _hand_runs import Item, Runs, train_items


def network(accuracy: float, params: int, latency_ms: float) -> dict:
    return {"accuracy": accuracy, "params": params, "latency_ms": latency_ms, "seconds": 1.0}


def seed_runs(seed: int = 0, members: tuple[dict, ...] = ()) -> SeedRuns:
    rungs = {
        ("cnn", 0): {**network(0.80, 1000, 1.0), "width": 8, "rate": 0.001},
        ("cnn", 1): {**network(0.90, 4000, 2.0), "width": 16, "rate": 0.001},
    }
    trials = [{"accuracy": accuracy} for accuracy in (0.2, 0.5, 0.95)]
    return SeedRuns(seed, rungs, members, trials, 60.0, 100, 0.1)


def test_the_smallest_and_the_fastest_member_as_accurate_count():
    members = (network(0.85, 500, 0.5), network(0.80, 100, 2.0), network(0.87, 2000, 0.1))
    small, large = summarize([seed_runs(members=members)])["rungs"]
    assert (small["smaller"], small["faster"], small["dominated"]) == (10, 10, 1)
    assert (large["smaller"], large["faster"], large["dominated"]) == (0, 0, 0)
    # the standard error of 90 % on 100 examples is 3 points: 87 % is within it, 85 % is not
    assert (large["smaller_within_error"], large["faster_within_error"]) == (2, 20)
    assert large["dominated_within_error"] == 1


def test_a_rung_is_dominated_only_by_one_member_in_both_costs():
    members = (network(0.85, 500, 1.5), network(0.85, 1500, 0.5))
    small, _ = summarize([seed_runs(members=members)])["rungs"]
    assert (small["smaller"], small["faster"], small["dominated"]) == (2, 2, 0)


def test_figures_are_medians_over_seeds():
    seeds = [seed_runs(seed, (network(0.95, params, 1.0),)) for seed, params in enumerate((100, 200, 1000))]
    result = summarize(seeds)
    assert [row["smaller"] for row in result["rungs"]] == [5, 20]
    assert result["median"]["best_member"] == 0.95
    assert [row["best_is_reached"] for row in result["seeds"]] == [True, True, True]


def test_the_floor_is_the_geometric_mean_of_the_errors():
    assert quality_floor(0.99, 0.1, 10**9) == pytest.approx(1 - (0.9 * 0.01) ** 0.5)
    resolution = 4 / 104  # of 100 examples
    expected = 1 - ((0.5 + resolution) * resolution) ** 0.5 + resolution
    assert quality_floor(1.0, 0.5, 100) == pytest.approx(expected)
    (seed,) = summarize([seed_runs(members=(network(0.5, 1, 1), network(0.9, 1, 1)))])["seeds"]
    assert seed["floor"] == pytest.approx(quality_floor(0.95, 0.1, 100))  # 0.75
    assert seed["trials_below_floor"] == pytest.approx(2 / 3)
    assert seed["members_below_floor"] == 1


def test_an_unfinished_comparison_has_a_report():
    task = {"data": "digits", "image_size": None, "train_limit": None, "epochs": 1, "space": "x"}
    task |= {"trials": 50, "label": "now"}
    text = text_of({"task": task, **summarize([seed_runs()])})
    assert "| cnn | 16 | 0.001 | 4,000 | 2 | 90.00% |" in text
    assert "trained again |" not in text


def test_a_half_written_line_is_dropped(tmp_path):
    path = tmp_path / "runs.jsonl"
    Runs(path).add({"kind": "ladder", "seed": 0}, {"seconds": 1.0})
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    runs = Runs(path)
    assert runs.get({"seed": 0, "kind": "ladder"}) == {"seconds": 1.0}
    runs.add({"kind": "ladder", "seed": 1}, {"seconds": 2.0})
    assert Runs(path).get({"kind": "ladder", "seed": 1}) == {"seconds": 2.0}


def test_nothing_is_started_after_the_deadline(tmp_path):
    runs = Runs(None)
    item = Item({"kind": "ladder", "seed": 0}, tmp_path / "missing", 1, deadline=time.time() - 1)
    assert not train_items([item], runs, processes=1)
    assert runs.get(item.key) is None


def test_images_are_sorted_into_a_folder_for_each_label(tmp_path):
    (tmp_path / "source" / "images").mkdir(parents=True)
    rows = [("images/a.png", "good"), ("images/b.png", "bad"), ("images/c.png", "good")]
    with (tmp_path / "source" / "labels.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([("file", "label"), *rows])
    for file, _ in rows:
        (tmp_path / "source" / file).write_bytes(file.encode())
    against_hand.sort_by_label(tmp_path / "source", tmp_path / "target")
    found = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*.png")}
    assert found == {"good/a.png", "bad/b.png", "good/c.png"}


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(against_hand, "SHARED", tmp_path)
    with pytest.raises(SystemExit, match=r"--data cifar10 needs cifar10\.zip.*set NAS_SHARED"):
        against_hand.data_path("cifar10", against_hand.SOURCES["cifar10"], tmp_path)
