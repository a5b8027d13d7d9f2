"""One trained network as plain data, for the page of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from nas.architecture import Design
from nas.data import Dataset, Split
from nas.report.answers_data import ExampleImages, answers_data
from nas.report.drawing import draw_network
from nas.report.search_data import SHARES, TITLES, rounded

__all__ = ["network_data"]


def network_data(
    name: str,
    design: Design,
    *,
    quality: str,
    values: Mapping[str, float],
    curve: Sequence[Mapping[str, float]],
    dataset: Dataset,
    split: Split,
    answers: Mapping[str, np.ndarray],
    facts: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return the data of the page of one network, see `page_html`.

    values: validation qualities and costs by the name that a trial has for them, those of the test split
    with the prefix `test_`. curve: one mapping for each epoch. answers: the arrays of `saved` of the
    answers to `split`. facts: names and texts of a table.
    """
    titles = dict(TITLES)
    for key in values:
        if key.startswith("test_"):
            known = titles.get(key.removeprefix("test_"), f"Validation {key.removeprefix('test_')}")
            titles[key] = known.replace("Validation", "Test")
    names = [key for key in titles if key in values]
    images = ExampleImages(dataset, split)
    in_curve = quality if quality.startswith("val_") else f"val_{quality}"
    shown = [key for key in ("epoch", "loss", "val_loss", in_curve) if any(key in row for row in curve)]
    return {
        "kind": "network",
        "name": name,
        "state": "trained",
        "made": f"{datetime.now():%Y-%m-%d %H:%M}",
        "subtitle": f"Trained on {dataset.name} for {len(curve)} epochs",
        "mlflow": "",
        "others": [],
        "notices": [],
        "columns": {"trial": [0], "id": [design.architecture.id], "state": ["complete"]}
        | {key: [rounded(values[key])] for key in names},
        "names": [
            {
                "name": key,
                "title": titles[key],
                "share": key.removeprefix("test_") in SHARES,
            }
            for key in names
        ],
        "objectives": [quality],
        "quality": quality,
        "resolution": rounded(1.0 / (len(dataset.validation) + 1)),
        "values": [],
        "settings": [],
        "front": [0],
        "below": [],
        "start": [],
        "labels": {0: f"architecture {design.architecture.id}"},
        "links": {},
        "networks": {0: draw_network(design.architecture)},
        "curves": {0: {key: [rounded(row.get(key)) for row in curve] for key in shown}},
        "results": {0: answers_data(answers, dataset, split, images)},
        "classes": list(dataset.classes),
        "images": images.sources,
        "facts": list(facts),
    }
