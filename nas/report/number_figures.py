"""Predicted against true numbers, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.report.figures import DONE, INK, with_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["numbers_figure"]

COLUMNS = 3
MAX_NUMBERS = 12
MAX_POINTS = 2000
"""Numbers, and evenly chosen examples, that are drawn."""


def numbers_figure(
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[str], title: str = "Predictions"
) -> Figure:
    """Draw predicted against true values (n, numbers), a panel for each number, with the line of equality."""
    from plotly.subplots import make_subplots

    shown = list(names)[:MAX_NUMBERS]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = make_subplots(rows, columns, subplot_titles=shown)
    chosen = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), MAX_POINTS)).astype(int))
    for number in range(len(shown)):
        at = {"row": number // columns + 1, "col": number % columns + 1}
        x, y = truth[chosen, number], predicted[chosen, number]
        ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": INK, "width": 1}, hoverinfo="skip", showlegend=False,
            **at,
        )  # fmt: skip
        figure.add_scatter(
            x=x.tolist(), y=y.tolist(), mode="markers", marker={"size": 6, "color": DONE, "opacity": 0.5},
            hovertemplate="true %{x:.4g}<br>predicted %{y:.4g}<extra></extra>", showlegend=False, **at,
        )  # fmt: skip
        figure.update_xaxes(title="true", **at)
        figure.update_yaxes(title="predicted", **at)
    parts = [f"{len(chosen):,} of {len(truth):,} examples"]
    if len(shown) < len(names):
        parts.append(f"{len(shown)} of {len(names)} numbers")
    return with_layout(figure, title, ", ".join(parts))
