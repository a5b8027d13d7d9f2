"""The answers of a network to a split as plain data: confusion, figures by label, worst errors."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from nas.data import Dataset, Split
from nas.evaluation import confusion_matrix
from nas.report.pictures import example_pictures

__all__ = ["ExampleImages", "answers_data"]

MAX_ERRORS = 12
"""Worst errors of a network that are shown."""

MAX_IMAGES = 120
"""Different examples that a page has room for."""

MAX_SIDE = 56
"""Greatest side of an example in pixels."""

MAX_POINTS = 400
"""Examples of a figure of predicted against true numbers."""


class ExampleImages:
    """Pictures of the examples of a split, each encoded once, up to a number of them."""

    def __init__(self, dataset: Dataset, split: Split) -> None:
        self.sources: list[str] = []  # as addresses with the data in them
        self._dataset, self._split = dataset, split
        self._places: dict[int, int] = {}

    def place(self, index: int) -> int | None:
        """Return where in `sources` an example is; None if there is no room for another one."""
        if index not in self._places:
            if len(self.sources) >= MAX_IMAGES:
                return None
            self._places[index] = len(self.sources)
            self.sources.append(self._encoded(index))
        return self._places[index]

    def _encoded(self, index: int) -> str:
        from PIL import Image

        (pixels,) = example_pictures(self._dataset, np.asarray(self._split.x[index : index + 1]))
        picture = Image.fromarray(pixels)
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=80)
        return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def answers_data(
    answers: Mapping[str, np.ndarray], dataset: Dataset, split: Split, images: ExampleImages
) -> dict[str, Any]:
    """Return what the page shows of the answers of a network to a split; empty if they are of other data.

    answers: arrays of `saved` of the answers. Keys: `confusion` (true classes in rows), `labels` (figures by
    label), `numbers` (true and predicted), `errors` (image, truth and answer of the worst examples).
    """
    truth = np.asarray(split.y)
    if dataset.task == "segmentation":
        return _iou(answers, dataset) if "intersections" in answers else {}
    predicted, losses = answers.get("predicted"), answers.get("losses")
    if predicted is None or losses is None or len(predicted) != len(truth):
        return {}
    match dataset.task:
        case "classification":
            wrong = predicted != truth
            shown = {"confusion": confusion_matrix(truth, predicted, len(dataset.classes)).tolist()}
        case "multi_label":
            wrong = (predicted != truth).any(axis=1)
            shown = {"labels": _label_table(truth, predicted, dataset)}
        case _:
            wrong = np.ones(len(truth), bool)
            shown = {"numbers": _numbers(truth, predicted, dataset)}
    worst = np.flatnonzero(wrong)[np.argsort(-losses[wrong], kind="stable")][:MAX_ERRORS]
    errors = []
    for index in worst.tolist():
        place = images.place(index)
        if place is not None:
            errors.append([place, _words(truth[index], dataset), _words(predicted[index], dataset)])
    return {**shown, "errors": errors}


def _words(label: np.ndarray, dataset: Dataset) -> str:
    match dataset.task:
        case "classification":
            return dataset.classes[int(label)]
        case "multi_label":
            return (
                ", ".join(name for name, is_on in zip(dataset.classes, label, strict=True) if is_on) or "none"
            )
        case _:
            return ", ".join(f"{value:.4g}" for value in np.ravel(label))


def _label_table(truth: np.ndarray, predicted: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    hits, true, found = (truth * predicted).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0)
    rows = [
        [name, int(true[n]), float(hits[n] / max(1, found[n])), float(hits[n] / max(1, true[n]))]
        for n, name in enumerate(dataset.classes)
    ]
    return {"title": "Labels", "columns": ["label", "examples", "precision", "recall"], "rows": rows}


def _iou(answers: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
    parts, wholes = answers["intersections"], answers["unions"]
    rows = [[name, float(parts[n] / max(1, wholes[n]))] for n, name in enumerate(dataset.classes)]
    return {"labels": {"title": "Intersection over union", "columns": ["label", "IoU"], "rows": rows}}


def _numbers(truth: np.ndarray, predicted: np.ndarray, dataset: Dataset) -> list[dict[str, Any]]:
    chosen = np.unique(np.linspace(0, len(truth) - 1, MAX_POINTS).astype(int))
    return [
        {
            "name": name,
            "truth": [float(f"{value:.4g}") for value in truth[chosen, n]],
            "predicted": [float(f"{value:.4g}") for value in predicted[chosen, n]],
        }
        for n, name in enumerate(dataset.classes)
    ]
