"""Figures by class, and the confusion matrix, as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import output_file

__all__ = ["class_rows", "write_class_figures"]


def class_rows(confusion: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each class its name, number of examples, precision, recall and F1; 0.0 for 0 / 0.

    `confusion`: (classes, classes), the number of examples by true and predicted class.
    """
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    shares = [hits / np.maximum(whole, 1) for whole in (predicted, true, (true + predicted) / 2)]
    return [
        {"class": name, "examples": int(true[n]), **{key: float(share[n]) for key, share in zip(
            ("precision", "recall", "f1"), shares, strict=True)}}
        for n, name in enumerate(classes)
    ]  # fmt: skip


def write_class_figures(confusion: np.ndarray, classes: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write `classes.csv`, the rows of `class_rows`, and `confusion.csv`, a row for each true class."""
    rows = class_rows(confusion, classes)
    matrix = [
        ["true \\ predicted", *classes],
        *([name, *row] for name, row in zip(classes, confusion, strict=True)),
    ]
    tables = {"classes": [list(rows[0]), *(list(row.values()) for row in rows)], "confusion": matrix}
    paths = {}
    for name, table in tables.items():
        paths[name] = folder / f"{name}.csv"
        with (
            output_file(paths[name]) as unfinished,
            unfinished.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(table)
    return paths
