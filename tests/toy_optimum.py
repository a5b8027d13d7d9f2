"""A space with a known optimum, for the tests that every engine passes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nas.engines import Engine
from nas.space import OpenValue, Setting, is_active, sample
from nas.trials import Candidate, Trial, parse_objectives
from nas.trials.trial import State

OBJECTIVES = parse_objectives(["accuracy", "params"])

TOY = (
    OpenValue("depth", (1, 2, 3, 4)),
    OpenValue("width", (8, 16, 24, 32, 48, 64, 96, 128)),
    OpenValue("conv", ("standard", "separable", "grouped")),
    OpenValue("rate", (0.0, 0.1, 0.25, 0.5)),
    OpenValue("kernel.3", (3, 5, 7), ("depth", frozenset({3, 4}))),
    OpenValue("kernel.4", (3, 5, 7), ("depth", frozenset({4}))),
)
"""Best accuracy: depth 4, kernels 5, rate 0.1. Fewest parameters: width 8, separable. One setting is both."""


def toy_values(setting: Setting) -> dict[str, float]:
    kernels = [setting[name] for name in ("kernel.3", "kernel.4") if name in setting]
    loss = 0.15 * (4 - setting["depth"]) + 0.5 * abs(setting["rate"] - 0.1)
    loss += sum(0.05 * abs(kernel - 5) for kernel in kernels)
    factor = {"standard": 9.0, "separable": 1.0, "grouped": 3.0}[setting["conv"]]
    return {"accuracy": 0.95 - loss, "params": 100.0 * setting["width"] * factor}


def toy_loss(setting: Setting) -> float:
    """Return the distance of a setting from the best of both objectives: 0 to about 1.5."""
    values = toy_values(setting)
    return 0.95 - values["accuracy"] + math.log(values["params"] / 800) / math.log(144)


def describe(setting: Setting) -> Candidate:
    name = repr(sorted(setting.items()))
    costs = {"params": toy_values(setting)["params"]} if "conv" in setting else {"params": 1000.0 + len(name)}
    return Candidate(name, costs)


def make_trial(
    number: int, setting: Setting, state: State = "complete", epochs: int = 3, **values: float
) -> Trial:
    name = describe(setting).id
    return Trial(number, setting, name, state, values or toy_values(setting), epochs)


def draw_settings(count: int, seed: int, values: Sequence[OpenValue] = TOY) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [sample(values, rng) for _ in range(count)]


def assert_valid(setting: Setting, values: Sequence[OpenValue]) -> None:
    assert set(setting) == {value.name for value in values if is_active(value, setting)}
    for value in values:
        if value.name in setting:
            assert setting[value.name] in value.choices
            assert type(setting[value.name]) in {type(choice) for choice in value.choices}


def run_engine(engine: Engine, count: int, first: int = 0) -> list[Setting]:
    proposed = []
    for number in range(first, first + count):
        proposed.append(engine.ask())
        engine.tell(make_trial(number, proposed[-1]))
    return proposed
