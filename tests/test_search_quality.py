"""The benchmark of samplers, on a small table: its samplers that know the costs, its scores, its report."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from nas.testing.tabular_benchmark import TabularBenchmark

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def write_table(folder: Path) -> Path:
    """Write a table of 27 networks whose error falls with the cost, up to a disturbance."""
    lines = ["x_width,x_depth,x_kind,val_accuracy,test_accuracy,params"]
    for number, (width, depth, kind) in enumerate(itertools.product((1, 2, 4), (1, 2, 3), "abc")):
        params = 100 * width * depth + number
        accuracy = 0.95 - 8 / (20 + params) - 0.02 * (number % 5)
        lines.append(f"{width},{depth},{kind},{accuracy - 0.01 * (number % 3):.4f},{accuracy:.4f},{params}")
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.trains
def test_search_quality_reports_two_scores_of_samplers_that_know_the_costs(tmp_path):
    samplers = ["default", "sklearn-gp-ehvi", "gbt-nsga2"]
    command = [sys.executable, str(BENCHMARKS / "search_quality.py"), "--table", str(write_table(tmp_path))]
    command += ["--samplers", ",".join(samplers), "--trials", "27", "--seeds", "1", "--runs", "runs.jsonl"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout)["results"]
    keys = [(score, sampler) for score in ("all", "useful") for sampler in samplers]
    assert [(row["score"], row["sampler"]) for row in rows if row["trials"] == 27] == keys
    assert all(row["median"] == pytest.approx(1.0) for row in rows if row["trials"] == 27)
    assert not any(row["head_start"] for row in rows)

    resumed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "## Score: useful" in resumed.stdout
    assert resumed.stderr == ""

    (tmp_path / "runs.jsonl").write_text('{"run": {}, "scores": [0.5]}\n')
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("a run in a runs file must have the scores all and useful")


@pytest.mark.trains
@pytest.mark.filterwarnings("ignore::FutureWarning")  # in PyTorch
@pytest.mark.parametrize("name", ["sklearn-gp-ehvi", "gbt-nsga2", "botorch-qlognehvi"])
def test_samplers_that_know_the_costs_start_with_the_cheapest_and_never_repeat(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    samplers = importlib.import_module("_samplers")
    if samplers.missing(name):
        pytest.skip("the library is not installed")
    table = TabularBenchmark(write_table(tmp_path))
    sampler = samplers.start(name, table, 0, ())
    rows = []
    for number in range(20):
        setting = sampler.ask()
        rows.append(table.row(setting))
        sampler.tell(table.trial(number, setting))
    assert rows[0] == table.column("params").argmin()
    assert len({*rows}) == 20


def test_the_useful_score_ignores_networks_below_the_floor(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    score_class = importlib.import_module("_simulation").Score
    path = tmp_path / "table.csv"
    rows = ["x_a,val_accuracy,test_accuracy,params", "0,0.3,0.3,10", "1,0.8,0.8,100", "2,0.9,0.9,1000"]
    path.write_text("\n".join(rows) + "\n")
    table = TabularBenchmark(path)
    # The floor is an error of sqrt(.9 * .1) = .3: only the first network is worse.
    every, useful = score_class(table, "all"), score_class(table, "useful")
    assert every([0]) > 0.1
    assert useful([0]) == 0.0
    height = math.log(0.3001 / 0.2001) / math.log(0.3001 / 0.1001)
    assert useful([1]) == pytest.approx(1.1 * height / (1.1 * height + 0.1 * (1 - height)))
    assert useful([1, 2]) == pytest.approx(1.0)
