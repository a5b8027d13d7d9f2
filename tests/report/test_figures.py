"""Tables and figures, the figure's page in a real browser."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nas.report import figure_html, hypervolume_figure, pareto_figure
from nas.report import figures as report
from nas.trials import Trial, front_csv, hypervolume_curve, pareto_front, parse_objectives, trial_rows

TWO = parse_objectives(["accuracy", "params"])
THREE = parse_objectives(["accuracy", "params", "latency"])
ONE = parse_objectives(["accuracy"])


def trial(number: int, accuracy: float, params: float, **more: object) -> Trial:
    values = {"params": params, "flops": 200 * params, "accuracy": accuracy, "latency_ms": params / 1000}
    values.update(more.pop("values", {}))
    defaults = {"state": "complete", "epochs": 3, "run_id": f"{number:032x}", **more}
    return Trial(number, {"conv": "separable", "note": "<b>"}, f"{number:012x}", values=values, **defaults)


def random_trials(count: int, seed: int = 0) -> list[Trial]:
    rng = np.random.default_rng(seed)
    states = ["complete", "complete", "complete", "stopped", "failed", "over_limit"]
    return [
        trial(
            n,
            float(rng.random()),
            int(10 ** rng.uniform(3, 6)),
            values={"latency_ms": float(rng.random())},
            state=states[int(rng.integers(6))],
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_the_front_by_definition(objectives) -> None:
    trials = random_trials(80)

    def better(a: Trial, b: Trial) -> bool:
        signs = [-1 if objective.maximize else 1 for objective in objectives]
        pairs = [
            (sign * a.values[objective.name], sign * b.values[objective.name])
            for sign, objective in zip(signs, objectives, strict=True)
        ]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    complete = [t for t in trials if t.state == "complete"]
    expected = {t.number for t in complete if not any(better(other, t) for other in complete)}
    found = pareto_front(trials, objectives)
    assert {t.number for t in found} == expected
    accuracies = [t.values["accuracy"] for t in found]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_front_holds_complete_trials_with_all_values_only() -> None:
    trials = [
        trial(0, 0.9, 100),
        trial(1, 0.99, 10, state="stopped"),
        trial(2, 0.99, 10, state="over_limit"),
        trial(3, math.nan, 10),
        Trial(4, {}, "x", "complete", {"accuracy": 0.95}),
        trial(5, 0.9, 100),
    ]
    assert [t.number for t in pareto_front(trials, TWO)] == [0, 5]
    assert pareto_front([], TWO) == []


def test_rows_are_plain_data() -> None:
    rows = trial_rows([trial(4, 0.75, 20), trial(3, 0.5, 10)], THREE)
    assert json.loads(json.dumps(rows)) == [
        {"trial": 4, "id": "000000000004", "accuracy": 0.75, "params": 20, "flops": 4000, "latency_ms": 0.02},
        {"trial": 3, "id": "000000000003", "accuracy": 0.5, "params": 10, "flops": 2000, "latency_ms": 0.01},
    ]
    assert list(rows[0]) == ["trial", "id", "accuracy", "params", "flops", "latency_ms"]


def test_csv_reads_back() -> None:
    trials = random_trials(40)
    read = list(csv.DictReader(io.StringIO(front_csv(trials, TWO))))
    front = pareto_front(trials, TWO)
    assert [
        (int(row["trial"]), float(row["accuracy"]), row["run_id"], row["setting.conv"]) for row in read
    ] == [(t.number, t.values["accuracy"], t.run_id, "separable") for t in front]
    assert front_csv([], TWO) == "trial,id\n"


def test_hypervolume_by_hand() -> None:
    trials = [
        trial(0, 0.5, 100),
        trial(1, 0.4, 100),  # dominated
        trial(2, 0.2, 10),
        trial(3, 1.0, 1, state="stopped"),
        trial(4, 0.8, 1000),
    ]
    curve = hypervolume_curve(trials, TWO, {"params": (10, 10_000)})
    third = 1 / 3
    first = 0.5 * 2 * third
    assert curve == pytest.approx(
        [first, first, first + 0.2 * third, first + 0.2 * third, first + 0.2 * third + 0.3 * third]
    )
    assert hypervolume_curve([], TWO) == []


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_the_hypervolume_never_falls(objectives) -> None:
    trials = random_trials(60, seed=4)
    curve = hypervolume_curve(trials, objectives)
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(curve))
    assert 0 < curve[-1] <= 1
    front_only = hypervolume_curve(
        pareto_front(trials, objectives), objectives, report._bounds(trials, objectives)
    )
    assert front_only[-1] == pytest.approx(curve[-1])


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_every_trained_trial_is_a_point_with_its_run(objectives) -> None:
    trials = random_trials(60)
    links = {t.number: f"http://127.0.0.1:5000/#/experiments/1/runs/{t.run_id}" for t in trials}
    figure = pareto_figure(trials, objectives, links)
    behind = [
        tuple(point) for trace in figure.data if trace.customdata is not None for point in trace.customdata
    ]
    trained = [t for t in trials if t.state in ("complete", "stopped")]
    assert sorted(behind) == [(t.number, t.run_id, links[t.number]) for t in trained]
    front = next(trace for trace in figure.data if (trace.name or "").startswith("front"))
    assert sorted(front.y) == sorted(t.values["accuracy"] for t in pareto_front(trials, objectives))
    assert figure.layout.xaxis.type == (None if objectives is ONE else "log")
    assert "&lt;b&gt;" in front.text[0]


@pytest.mark.parametrize("trials", [[], [trial(0, 0.5, 100)], [trial(0, 0.5, 100, state="failed")]])
def test_figures_of_next_to_nothing(trials: Sequence[Trial]) -> None:
    for objectives in (ONE, TWO, THREE):
        assert "plotly" in figure_html(pareto_figure(trials, objectives))
    assert "plotly" in figure_html(hypervolume_figure(hypervolume_curve(trials, TWO)))


def test_the_page_needs_no_network() -> None:
    page = figure_html(pareto_figure(random_trials(20), TWO, title="a & b"))
    assert "<title>a &amp; b</title>" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", page)


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    trials = random_trials(30)
    page = figure_html(pareto_figure(trials, THREE, {t.number: "http://127.0.0.1:1/" for t in trials}))
    click = """<script>
      window.open = function (address) { document.title = 'opened ' + address; };
      var plot = document.getElementsByClassName('plotly-graph-div')[0];
      var front = plot.data.filter(function (trace) { return (trace.name || '').startsWith('front'); })[0];
      plot.emit('plotly_click', {points: [{customdata: front.customdata[0]}]});
    </script>"""
    (tmp_path / "page.html").write_text(page.replace("</body>", click + "</body>"), encoding="utf-8")
    file = (tmp_path / "page.html").as_uri()
    options = f"--user-data-dir={tmp_path / 'profile'} --virtual-time-budget=5000 --window-size=900,600"
    options += " --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    options += " --disable-background-networking --disable-component-update --disable-dev-shm-usage"
    command = [browser, *options.split(), "--dump-dom", file]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    best = pareto_front(trials, THREE)[0]
    assert "<title>opened http://127.0.0.1:1/</title>" in shown
    assert f"Trial {best.number}, MLflow run" in shown
    assert best.run_id in shown.split("MLflow run", 1)[1]
    drawn = [t for t in trials if t.state in ("complete", "stopped")]
    assert len(re.findall(r'<path class="point', shown)) == len(drawn)
    for text in ("Validation accuracy", "Parameters", "Latency (ms per image)"):
        assert text in shown
