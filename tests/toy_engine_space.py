"""A space of toy networks with computed costs and accuracy, for the tests of the default engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.engines.cheap_aware import CheapAware
from nas.space import OpenValue, Setting
from nas.testing.tabular_benchmark import TabularBenchmark
from nas.trials import Candidate, Criteria, Limit, Objective, Trial

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[2] / "shared"))
ACCURACY = Objective("accuracy", True, True)

VALUES = (
    OpenValue("depth", (1, 2, 3, 4)),
    *(
        OpenValue(f"conv.{n}", ("none", "small", "large"), ("depth", frozenset(range(n, 5))))
        for n in (1, 2, 3, 4)
    ),
    OpenValue("width", (8, 16, 32, 64)),
)
CAPACITY = {"none": 0.0, "small": 1.0, "large": 3.0}


def capacity(setting: Setting) -> float:
    return sum(CAPACITY[str(value)] for name, value in setting.items() if name.startswith("conv"))


def describe(setting: Setting) -> Candidate:
    convs = [str(v) for name, v in setting.items() if name.startswith("conv") and v != "none"]
    width = float(setting["width"])
    costs = {
        "params": 100 + width * width * capacity(setting),
        "flops": 1e4 + 900 * width * (1 + capacity(setting)),
        "latency_ms": 0.5 + 0.1 * len(convs) + 0.001 * width * capacity(setting),
    }
    name = f"{width}/{'-'.join(convs)}"  # 'none' adds no layer, so several settings have one id
    return Candidate(name, costs, {"convs": float(len(convs))})


def accuracy(setting: Setting) -> float:
    gain = 1 - np.exp(-0.35 * capacity(setting))
    return float(0.1 + 0.85 * gain * (1 - 0.3 * np.exp(-float(setting["width"]) / 20)))


def make_trial(setting: Setting, number: int = 0, epochs: int = 10, **values: float) -> Trial:
    candidate = describe(setting)
    values = {"accuracy": accuracy(setting), **candidate.costs, **values}
    return Trial(number, setting, candidate.id, "complete", values, epochs)


def timed_trial(setting: Setting, number: int, epochs: int = 9) -> Trial:
    """Return a trial that took 1 s, and 0.1 s plus a time proportional to its FLOPs for each epoch."""
    epoch_seconds = 0.1 + 1e-5 * describe(setting).costs["flops"]
    seconds = {
        "trace": 0.8,
        "build": 0.2,
        "train": epochs * epoch_seconds,
    }
    return replace(make_trial(setting, number, epochs), seconds=seconds)


def make_engine(
    *costs: str,
    limits: tuple[Limit, ...] = (),
    seed: int = 0,
    seconds_left: Callable[[], float] | None = None,
) -> CheapAware:
    return CheapAware(
        VALUES, Criteria((ACCURACY, *map(Objective, costs))), describe, limits, seed, seconds_left
    )


def run_engine(engine: CheapAware, count: int) -> list[Setting]:
    proposed = []
    for number in range(count):
        proposed.append(engine.ask())
        engine.tell(make_trial(proposed[-1], number))
    return proposed


def shared_table(name: str, costs: tuple[str, ...]) -> TabularBenchmark:
    path = SHARED / "tables" / f"{name}_cifar10.csv"
    if not path.exists():
        pytest.skip("the shared tables are not available")
    return TabularBenchmark(path, costs)
