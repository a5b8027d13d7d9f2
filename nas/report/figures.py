"""The Pareto figure and the hypervolume over trials."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nas.trials import Criteria, Objective, Trial, pareto_front

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["DONE", "INK", "figure_html", "hypervolume_figure", "pareto_figure", "with_layout"]

TITLES = {
    "accuracy": "Validation accuracy",
    "balanced_accuracy": "Validation balanced accuracy",
    "macro_f1": "Validation macro F1",
    "auc": "Validation area under the ROC curve",
    "val_loss": "Validation loss",
    "mean_iou": "Validation mean IoU",
    "map": "Validation mean average precision",
    "label_accuracy": "Validation accuracy of labels",
    "r2": "Validation R2, explained variance",
    "mae": "Validation mean absolute error",
    "rmse": "Validation root mean squared error",
    "params": "Parameters",
    "flops": "FLOPs per image",
    "latency_ms": "Latency (ms per image)",
    "size_bytes": "LiteRT file (bytes)",
    "peak_bytes": "Peak activation memory (bytes)",
}
FRONT, DONE, PALE, INK = "#D55E00", "#0072B2", "#C4CAD0", "#22303C"
"""Vermilion and blue can be told apart by colour-blind readers (Okabe and Ito, 2008,
jfly.uni-koeln.de/color).
"""

MAX_HOVERED_SETTINGS = 10


def pareto_figure(
    trials: Sequence[Trial],
    criteria: Criteria,
    links: Mapping[int, str] | None = None,
    title: str = "Pareto front",
) -> Figure:
    """Draw every trial with a quality, the front joined by a line, a third objective as colour.

    Costs are on log axes, and so is the error, downwards: 90, 99 and 99.9 % are evenly spaced. An error is
    drawn as at least one validation example. links: address of the MLflow run by trial number. The custom
    data of a point are the trial's number, its MLflow run id and this address; `figure_html` makes a click
    open it.
    """
    import plotly.graph_objects as go

    vertical = criteria.qualities[0]
    others = [objective for objective in criteria.objectives if objective is not vertical]
    horizontal = others[0] if others else None
    colour = others[1] if len(others) > 1 else None
    best = pareto_front(trials, criteria)
    on_front = {trial.number for trial in best}
    useful = {trial.number for trial in criteria.useful(trials)}
    shown = [trial for trial in trials if _is_drawn(trial, vertical, horizontal)]
    complete = [trial for trial in shown if trial.state == "complete" and trial.number not in on_front]
    groups = {
        "stopped early": [trial for trial in shown if trial.state != "complete"],
        "below the quality floor": [trial for trial in complete if trial.number not in useful],
        "complete": [trial for trial in complete if trial.number in useful],
        "front": [trial for trial in best if _is_drawn(trial, vertical, horizontal)],
    }
    figure = go.Figure()
    staircase = sorted(
        pareto_front(groups["front"], replace(criteria, objectives=(vertical, *others[:1]))),
        key=lambda trial: _horizontal_value(trial, horizontal),
    )
    figure.add_scatter(
        x=[_horizontal_value(trial, horizontal) for trial in staircase],
        y=[_vertical_value(trial, criteria) for trial in staircase],
        mode="lines", line={"shape": "hv", "color": FRONT, "width": 1.5},
        opacity=0.6 if colour else 1.0, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    styles = {
        "stopped early": (7, PALE, "x-thin"),
        "below the quality floor": (7, PALE, "circle"),
        "complete": (8, DONE, "circle"),
        "front": (12, FRONT, "circle"),
    }
    coloured = [
        trial for trial in shown if trial.state == "complete" and colour and colour.name in trial.values
    ]
    for name, group in groups.items():
        size, shade, symbol = styles[name]
        marker: dict[str, Any] = {"size": size, "color": shade, "symbol": symbol, "line": {"width": 0}}
        if name == "stopped early":
            marker["line"] = {"width": 1.5, "color": PALE}
        elif name == "complete":
            marker["opacity"] = 0.55
        if name == "front":
            marker["line"] = {"width": 2 if colour else 1, "color": INK if colour else "white"}
        if colour and coloured and name in ("complete", "front"):
            marker.update(_cost_colours(group, colour, coloured, bar=name == "front"), opacity=1.0)
        figure.add_scatter(
            x=[_horizontal_value(trial, horizontal) for trial in group],
            y=[_vertical_value(trial, criteria) for trial in group],
            customdata=[[t.number, t.run_id, (links or {}).get(t.number, "")] for t in group],
            mode="markers", marker=marker, name=f"{name} ({len(group)})",
            text=[_hover(trial) for trial in group], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(**_axis(horizontal, trials))
    figure.update_yaxes(**_quality_axis(shown, criteria))
    return with_layout(figure, title, _state_counts(trials))


def hypervolume_figure(curve: Sequence[float], title: str = "Hypervolume over trials") -> Figure:
    """Draw the hypervolume after each trial."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=list(range(1, len(curve) + 1)), y=list(curve), mode="lines",
        line={"shape": "hv", "color": DONE, "width": 2},
        hovertemplate="after %{x} trials: %{y:.4f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(title="Trials", rangemode="tozero")
    figure.update_yaxes(title="Hypervolume (share of the objectives' box)", rangemode="tozero")
    return with_layout(figure, title, f"{len(curve)} trials")


CLICK = """
var plot = document.getElementById('{plot_id}');
var line = document.createElement('p');
line.style.cssText = 'font: 14px system-ui, sans-serif; margin: 4px 24px; color: #22303C';
line.textContent = 'Click a point to see its MLflow run.';
plot.parentNode.insertBefore(line, plot.nextSibling);
plot.on('plotly_click', function (event) {
  var data = event.points[0].customdata;
  if (!data) { return; }
  line.textContent = 'Trial ' + data[0] + (data[1] ? ', MLflow run ' : '');
  if (!data[1]) { return; }
  var shown = document.createElement(data[2] ? 'a' : 'span');
  shown.textContent = data[1];
  if (data[2]) {
    shown.href = data[2];
    shown.target = '_blank';
    shown.rel = 'noopener';
    try { window.open(data[2], '_blank', 'noopener'); } catch (blocked) { shown.title = String(blocked); }
  }
  line.appendChild(shown);
});
"""


def figure_html(figure: Figure, *more: Figure) -> str:
    """Return figures as one HTML page that needs no network; a click on a point opens its MLflow run."""
    clickable = any(trace.customdata is not None for trace in figure.data)
    config = {"displaylogo": False, "responsive": True}
    page: str = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        post_script=CLICK if clickable else None,
        config=config,
        default_height="calc(100vh - 76px)",
    )
    name = str(figure.layout.title.text).split("<br>")[0]  # already escaped
    below = "".join(
        one.to_html(include_plotlyjs=False, full_html=False, config=config, default_height="60vh")
        for one in more
    )
    start, _, end = page.rpartition("</body>")  # the library itself contains this text
    return f"{start}{below}</body>{end}".replace("<head>", f"<head><title>{name}</title>", 1)


def _is_drawn(trial: Trial, vertical: Objective, horizontal: Objective | None) -> bool:
    values = [trial.values.get(vertical.name, math.nan), _horizontal_value(trial, horizontal)]
    return trial.state in ("complete", "stopped") and all(math.isfinite(value) for value in values)


def _horizontal_value(trial: Trial, horizontal: Objective | None) -> float:
    return float(trial.number if horizontal is None else trial.values.get(horizontal.name, math.nan))


def _vertical_value(trial: Trial, criteria: Criteria) -> float:
    """Return the error of a trial, at least that of one validation example; of numbers in their unit."""
    quality, error = criteria.qualities[0], max(criteria.error(trial), 1.0 / (criteria.examples + 1))
    return error if quality.maximize else quality.value(error)


def _quality_axis(trials: Sequence[Trial], criteria: Criteria) -> dict[str, Any]:
    """Return a reversed log axis of the error whose ticks show the quality."""
    quality = criteria.qualities[0]
    title = TITLES.get(quality.name, quality.name)
    axis: dict[str, Any] = {"title": title, "type": "log", "autorange": "reversed"}
    if quality.maximize:
        errors = [_vertical_value(trial, criteria) for trial in trials] or [1.0]
        low, high = min(errors) / 2, max(errors) * 2
        steps = (1, 2, 5) if high > 100 * low else (1, 1.5, 2, 3, 5, 7)
        ticks = [step * 10.0**power for power in range(-6, 1) for step in steps]
        shown = [tick for tick in ticks if low <= tick <= min(high, 1.0)]
        axis |= {"tickvals": shown, "ticktext": [f"{100 * (1 - tick):.6g} %" for tick in shown]}
    return axis


def _cost_colours(
    group: Sequence[Trial], colour: Objective, all_coloured: Sequence[Trial], bar: bool
) -> dict[str, Any]:
    """Return the marker that colours points by the logarithm of a cost, with ticks in units of the cost."""
    logs = [math.log10(max(trial.values[colour.name], 1e-12)) for trial in all_coloured]
    low, high = min(logs), max(logs)
    ticks = [low + (high - low) * part / 4 for part in range(5)]
    return {
        "color": [math.log10(max(trial.values.get(colour.name, math.nan), 1e-12)) for trial in group],
        "colorscale": "Cividis",
        "cmin": low,
        "cmax": high,
        "showscale": bar,
        "colorbar": {
            "title": {"text": TITLES.get(colour.name, colour.name), "side": "right"},
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.3g}" for tick in ticks],
            "thickness": 14,
            "outlinewidth": 0,
        },
    }


def _axis(horizontal: Objective | None, trials: Sequence[Trial]) -> dict[str, Any]:
    if horizontal is None:
        return {"title": "Trial"}
    values = [trial.values[horizontal.name] for trial in trials if horizontal.name in trial.values]
    positive = bool(values) and min(values) > 0
    axis: dict[str, Any] = {"title": TITLES.get(horizontal.name, horizontal.name)}
    if positive and not horizontal.maximize:
        axis.update(type="log", dtick="D2" if max(values) < 100 * min(values) else 1, exponentformat="SI")
    return axis


def _hover(trial: Trial) -> str:
    lines = [f"<b>trial {trial.number}</b> · {trial.id} · {trial.epochs} epochs"]
    lines += [f"{name}: {_number(value)}" for name, value in trial.values.items() if not name.endswith("_se")]
    settings = [f"{html.escape(name)}: {html.escape(str(value))}" for name, value in trial.setting.items()]
    if len(settings) > MAX_HOVERED_SETTINGS:
        settings = [*settings[:MAX_HOVERED_SETTINGS], f"and {len(settings) - MAX_HOVERED_SETTINGS} more"]
    return "<br>".join([*lines, *(f"<i>{setting}</i>" for setting in settings)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _state_counts(trials: Sequence[Trial]) -> str:
    counts = Counter[str](trial.state for trial in trials)
    states = ("complete", "stopped", "failed", "over_limit", "running")
    parts = [f"{counts[state]:,} {state.replace('_', ' ')}" for state in states if counts[state]]
    return f"{len(trials):,} trials: {', '.join(parts)}" if parts else "no trials yet"


def with_layout(figure: Figure, title: str, subtitle: str) -> Figure:
    """Set the title, fonts and legend that all figures have."""
    figure.update_layout(
        template="plotly_white",
        title={
            "text": f"{html.escape(title)}<br><sup>{html.escape(subtitle)}</sup>",
            "x": 0.02,
            "xanchor": "left",
        },
        font={"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 14, "color": INK},
        margin={"l": 70, "r": 30, "t": 104, "b": 60},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
        hoverlabel={"align": "left", "bgcolor": "white"},
    )
    return figure
