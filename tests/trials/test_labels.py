"""The names of trials, over networks of every shipped space."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Architecture, network_cost
from nas.space import SearchSpace, sample
from nas.trials import OBJECTIVES, Trial, trial_label
from nas.trials.labels import _quality_text

SHIPPED = sorted(Path("search_spaces").glob("**/*.yaml"))
ACCURACY = OBJECTIVES["accuracy"]


def trial_of(architecture: Architecture | None, **changes: object) -> Trial:
    params = network_cost(architecture).params if architecture else 1234
    trial = Trial(
        17, {}, "5f3c0ffee123", "complete", {"accuracy": 0.98625, "params": params}, 9,
        architecture=architecture,
    )  # fmt: skip
    return replace(trial, **changes)


def network(**values: object) -> Architecture:
    return Architecture.from_dict({"input_shape": [16, 16, 1], "classes": 10, **values})


WIDTHS = [{"width": width, "conv": "separable"} for width in (16, 32, 64)]

EXAMPLES = [
    (network(stages=WIDTHS), {}, "017 sep 16-32-64 · 3.8k · 98.6 %"),
    (network(stages=WIDTHS), {"state": "stopped", "epochs": 1},
     "017 sep 16-32-64 · 3.8k · 98.6 % at 1 epoch"),
    (network(stages=WIDTHS), {"state": "failed", "values": {"params": 850}},
     "017 sep 16-32-64 · 850 · failed"),
    (network(stages=[*WIDTHS, {"width": 64, "residual": "identity"}]), {"values": {}},
     "017 sep/conv+res 16-32-64-64"),
    (network(stages=[{"width": 8}, {"width": 64, "residual": "identity"}]), {"values": {}}, "017 conv 8-64"),
    (network(stages=[{"width": 2**n} for n in range(13)]), {"values": {"params": 2_345_678}},
     "017 conv 1-2-…-2048-4096 · 2.3M"),
    (network(head={"dense": [8]}), {"values": {"params": 21_499}}, "017 dense · 21k"),
    (None, {}, "017 5f3c0ffee123 · 1.2k · 98.6 %"),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "changes", "label"), EXAMPLES)
def test_a_label_says_what_the_network_is(architecture: Architecture, changes: dict, label: str) -> None:
    assert trial_label(trial_of(architecture, **changes), ACCURACY) == label


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_labels_of_shipped_spaces_are_short_and_tell_networks_apart(path: Path) -> None:
    space = SearchSpace.load(str(path))
    shape = tuple(space.data.get("input_shape", (32, 32, 3)))
    classes = 2 if space.data.get("task") == "binary" else 10
    bound = space.bind(shape, space.data.get("classes", classes), space.data.get("task", "classification"))
    rng = np.random.default_rng(0)
    labels = {}
    for number in range(12):
        architecture = bound.design(sample(bound.open_values, rng)).architecture
        label = trial_label(trial_of(architecture, number=number, state="stopped", epochs=27), ACCURACY)
        assert len(label) <= 64
        assert label.startswith(f"{number:03d} ")
        labels[architecture.id] = label
    assert len({label[4:] for label in labels.values()}) > 0.6 * len(labels)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.5, "50.0 %"),
        ("mean_iou", 0.71249, "IoU 71.2 %"),
        ("loss", 0.12345, "loss 0.123"),
        ("r2", 0.9, "R2 0.9"),
        ("mae", 12.345, "MAE 12.3"),
        ("macro_f1", math.nan, "F1 nan"),
    ],
)
def test_a_quality_is_shown_in_its_unit(name: str, value: float, text: str) -> None:
    assert _quality_text(OBJECTIVES[name], value) == text


def test_every_quality_has_a_short_name() -> None:
    for objective in OBJECTIVES.values():
        if objective.trained and objective.name != "accuracy":
            assert not _quality_text(objective, 0.5)[0].isdigit()
            assert len(_quality_text(objective, 0.5)) < 16
