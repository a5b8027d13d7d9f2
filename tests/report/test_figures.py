"""Figures of a search; the page of a figure in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from random_trials import ONE, THREE, TWO, random_trials, trial

from nas.report import figure_html, hypervolume_figure, pareto_figure
from nas.trials import Criteria, Trial, hypervolume_curve, pareto_front, parse_objectives


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
def test_every_trained_trial_is_a_point_with_its_run(objectives) -> None:
    trials = random_trials(60)
    links = {t.number: f"http://127.0.0.1:5000/#/experiments/1/runs/{t.run_id}" for t in trials}
    figure = pareto_figure(trials, Criteria(objectives), links)
    behind = [
        tuple(point) for trace in figure.data if trace.customdata is not None for point in trace.customdata
    ]
    trained = [t for t in trials if t.state in ("complete", "stopped")]
    assert sorted(behind) == [(t.number, t.run_id, links[t.number]) for t in trained]
    front = next(trace for trace in figure.data if (trace.name or "").startswith("front"))
    members = pareto_front(trials, Criteria(objectives))
    assert sorted(front.y) == pytest.approx(sorted(max(1 - t.values["accuracy"], 1 / 801) for t in members))
    assert (figure.layout.yaxis.type, figure.layout.yaxis.autorange) == ("log", "reversed")
    assert dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))["90 %"] == 0.1
    assert figure.layout.xaxis.type == (None if objectives is ONE else "log")
    assert "&lt;b&gt;" in front.text[0]


def test_a_trial_below_the_quality_floor_is_pale_and_not_on_the_front() -> None:
    trials = [trial(0, 0.99, 1000), trial(1, 0.2, 10)]
    figure = pareto_figure(trials, Criteria(TWO, guess=0.9))
    points = {trace.name: [data[0] for data in trace.customdata] for trace in figure.data if trace.name}
    assert points["front (1)"] == [0]
    assert points["below the quality floor (1)"] == [1]
    assert points["complete (0)"] == []


def test_errors_of_numbers_are_drawn_in_their_unit() -> None:
    mae, params = parse_objectives(["mae", "params"])
    trials = [Trial(0, {}, "", "complete", {"mae": 250.0, "params": 10}, 3)]
    figure = pareto_figure(trials, Criteria((replace(mae, scale=1000.0), params), guess=1.0))
    front = next(trace for trace in figure.data if trace.name == "front (1)")
    assert list(front.y) == [250.0]


@pytest.mark.parametrize("trials", [[], [trial(0, 0.5, 100)], [trial(0, 0.5, 100, state="failed")]])
def test_figures_of_few_or_no_trials(trials: Sequence[Trial]) -> None:
    for objectives in (ONE, TWO, THREE):
        assert "plotly" in figure_html(pareto_figure(trials, Criteria(objectives)))
    assert "plotly" in figure_html(hypervolume_figure(hypervolume_curve(trials, Criteria(TWO))))


def test_the_page_needs_no_network() -> None:
    page = figure_html(pareto_figure(random_trials(20), Criteria(TWO), title="a & b"))
    assert "<title>a &amp; b</title>" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", page)


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    trials = random_trials(30)
    page = figure_html(
        pareto_figure(trials, Criteria(THREE), {t.number: "http://127.0.0.1:1/" for t in trials})
    )
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
    best = pareto_front(trials, Criteria(THREE))[0]
    assert "<title>opened http://127.0.0.1:1/</title>" in shown
    assert f"Trial {best.number}, MLflow run" in shown
    assert best.run_id in shown.split("MLflow run", 1)[1]
    drawn = [t for t in trials if t.state in ("complete", "stopped")]
    assert len(re.findall(r'<path class="point', shown)) == len(drawn)
    for text in ("Validation accuracy", "Parameters", "Latency (ms per image)"):
        assert text in shown
