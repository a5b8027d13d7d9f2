"""A search with made-up results and real networks, for tests of reports."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from nas.data import load_dataset
from nas.device import reference_latency_ms
from nas.evaluation import State, write_state
from nas.searching import Plan, SearchOptions
from nas.searching.planning import bind_space, complete_options, create_plan
from nas.searching.screening import Screen
from nas.space import SearchSpace, sample
from nas.trials import Trial

OPTIONS = SearchOptions.parse(
    {
        "data": "digits",
        "limits": {"params": 50_000},
        "trials": 40,
        "objectives": ("accuracy", "params", "latency"),
    }
)


@lru_cache
def dataset():
    return load_dataset("digits", OPTIONS)


@lru_cache
def plan(space: str = "xception_like") -> Plan:
    bound = bind_space(SearchSpace.load(space), dataset())
    options = complete_options(OPTIONS, dataset()).model_copy(update={"objectives": ("accuracy", "params")})
    screen = Screen(bound, options.parsed_objectives(), ())
    created = create_plan(options, screen, dataset(), [], [], "")
    return created.model_copy(update={"objectives": ("accuracy", "params", "latency"), "device": "a device"})


@lru_cache
def trials(count: int = 40, seed: int = 0) -> tuple[Trial, ...]:
    """Return trials of which the larger and the residual ones are better; every fourth is stopped early."""
    rng = np.random.default_rng(seed)
    space = SearchSpace(plan().space)
    screen = Screen(space, plan().parsed_objectives(), ())
    made = []
    for number in range(count):
        setting = sample(space.open_values, rng)
        screened = screen.screen(setting)
        residual = setting["block.residual"] != "none"
        error = min(0.9, 2.0 * screened.values["params"] ** -0.4 * (0.5 if residual else 1.0))
        error *= float(np.exp(0.1 * rng.standard_normal()))
        is_short = number % 4 == 3
        epochs = 3 if is_short else 27
        accuracy = 1.0 - min(0.95, error * (3 if is_short else 1))
        made.append(
            Trial(
                number,
                setting,
                screened.design.architecture.id,
                "stopped" if is_short else "complete",
                {
                    **screened.values,
                    "latency_ms": reference_latency_ms(screened.design.architecture),
                    "accuracy": accuracy,
                    "accuracy_se": 0.01,
                    "val_loss": 3 * (1.0 - accuracy),
                },
                epochs,
                curve=tuple(
                    {
                        "epoch": float(n),
                        "loss": 2.0 / n,
                        "val_loss": 2.2 / n,
                        "val_accuracy": accuracy * n / epochs,
                    }
                    for n in range(1, epochs + 1)
                ),
                seconds={"train": 6.0},
                architecture=screened.design.architecture,
                training=screened.design.training,
                run_id=f"{number:032x}",
                ended_ms=1_000_000 + 5_000 * number,
            )
        )
    return tuple(made)


def checkpoint(folder: Path, trial: Trial) -> Path:
    """Write a checkpoint whose answers are as accurate as the trial; the last class is the wrong answer."""
    truth = np.asarray(dataset().validation.y)
    wrong = np.random.default_rng(trial.number).random(len(truth)) > trial.values["accuracy"]
    predicted = np.where(wrong, (truth + 1) % 10, truth).astype(np.int32)
    losses = np.where(wrong, 3.0, 0.1).astype(np.float32)
    path = folder / f"{trial.number}.npz"
    write_state(path, State((), (), answers={"predicted": predicted, "losses": losses}))
    return path
