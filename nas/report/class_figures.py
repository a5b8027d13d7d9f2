"""Figures by class, label or number, and predicted and true numbers, as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.evaluation import (
    Answers,
    AnyAnswers,
    LabelAnswers,
    NumberAnswers,
    average_precisions,
    confusion_matrix,
)
from nas.files import output_file

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["class_rows", "label_rows", "number_rows", "write_figures"]


def class_rows(confusion: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each class its name, number of examples, precision, recall and F1; 0.0 for 0 / 0.

    `confusion`: (classes, classes), the number of examples by true and predicted class.
    """
    return _rows(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0), classes)


def label_rows(answers: LabelAnswers, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the values of `class_rows` for each label, and its average precision; 0.0 without examples."""
    truth, predicted = answers.truth, answers.predicted
    rows = _rows((truth * predicted).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0), labels)
    found = np.nan_to_num(average_precisions(truth, answers.scores)[0])
    return [{**row, "average_precision": float(one)} for row, one in zip(rows, found, strict=True)]


def _rows(
    hits: np.ndarray, true: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    shares = [hits / np.maximum(whole, 1) for whole in (predicted, true, (true + predicted) / 2)]
    return [
        {"class": name, "examples": int(true[n]), **{key: float(share[n]) for key, share in zip(
            ("precision", "recall", "f1"), shares, strict=True)}}
        for n, name in enumerate(names)
    ]  # fmt: skip


def number_rows(answers: NumberAnswers, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each number its name, mean, standard deviation, and the qualities of its predictions."""
    return [
        {
            "number": name,
            "mean": float(answers.truth[:, n].mean(dtype=float)),
            "deviation": float(answers.truth[:, n].std(dtype=float)),
            **{key: value for key, value in answers.select(n).metrics().items() if key != "loss"},
        }
        for n, name in enumerate(names)
    ]


def write_figures(answers: AnyAnswers, names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write the figures of the answers to a split, and return the paths by their name.

    `classes.csv`: the rows of `class_rows` or `label_rows`. `confusion.csv`: a row for each true class.
    `numbers.csv`: the rows of `number_rows`; `predictions.csv`: true and predicted numbers of each example.
    None for segmentation.
    """
    match answers:
        case Answers():
            confusion = confusion_matrix(answers.truth, answers.predicted, answers.classes)
            matrix = [
                ["true \\ predicted", *names],
                *([name, *row] for name, row in zip(names, confusion, strict=True)),
            ]
            return _write_tables(
                {"classes": _table(class_rows(confusion, names)), "confusion": matrix}, folder
            )
        case LabelAnswers():
            return _write_tables({"classes": _table(label_rows(answers, names))}, folder)
        case NumberAnswers():
            columns = [f"{kind} {name}" for kind in ("true", "predicted") for name in names]
            values = np.concatenate([answers.truth, answers.predicted], axis=1)
            tables = {
                "numbers": _table(number_rows(answers, names)),
                "predictions": [columns, *values.tolist()],
            }
            return _write_tables(tables, folder)
        case _:
            return {}


def _table(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [list(rows[0]), *(list(row.values()) for row in rows)]


def _write_tables(tables: Mapping[str, list[list[Any]]], folder: Path) -> dict[str, Path]:
    paths = {}
    for name, table in tables.items():
        paths[name] = folder / f"{name}.csv"
        with (
            output_file(paths[name]) as unfinished,
            unfinished.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(table)
    return paths
