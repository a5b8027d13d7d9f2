"""Plan: all that a search was asked for, as plain data, so that its record alone is enough to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from nas.architecture import Design, Part, Scalar, validate_part
from nas.data import DataOptions, Dataset
from nas.engines import ENGINES
from nas.errors import InputError, SpaceError, nearest
from nas.space import SearchSpace, Setting, shipped
from nas.trials import OBJECTIVES, Limit, Objective, parse_objectives

__all__ = ["Plan", "bound_space", "starting_settings"]

TRIALS = 50
"""The candidates trained where neither a number nor a time is asked for."""

Positive = Annotated[int, Field(ge=1)]


class Plan(Part):
    """A search's settings. `space` is the content of the space's file, bound to the data."""

    model_config = ConfigDict(strict=False)  # it is read back from JSON, which has no tuples

    space: dict[str, Any]
    data: str = "digits"
    image_size: Positive | None = None
    train_limit: Positive | None = None
    ignore_label: int | None = None
    objectives: tuple[str, ...] = ("accuracy", "params", "latency")
    limits: dict[str, float] = Field(default_factory=dict)  # by the value's name: params, latency_ms, ...
    engine: Literal["cheap-aware", "optuna", "keras-tuner"] = "cheap-aware"
    sampler: str = ""  # '': the engine's first
    trials: Positive | None = None  # None: TRIALS, or as many as `seconds` allow
    seconds: Annotated[float, Field(gt=0)] | None = None
    flat: Annotated[float, Field(gt=0, lt=1)] | None = None
    epochs: Positive = 27
    reduction: Annotated[int, Field(ge=2)] = 3
    min_epochs: Positive | None = None  # None: a trial is compared twice before its full length
    halving: bool = True
    repeats: Positive = 1
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "float16", "dynamic_int8", "int8"] = "float32"
    latency_threads: Positive = 1
    runtime: Literal["litert", "onnx"] = "litert"
    start: tuple[dict[str, Scalar], ...] = ()  # settings to begin with
    trial_seconds: Annotated[float, Field(gt=0)] | None = None  # a trial that takes longer has failed
    device: str = ""  # fingerprint of the device whose latencies the record holds
    fingerprint: str = ""  # of the data
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)  # of each cost in the space

    @classmethod
    def of(cls, values: dict[str, Any]) -> Plan:
        """Check the values that belong together; raises InputError."""
        plan = validate_part(cls, values, "")
        plan.parsed_objectives()
        for name, maximum in plan.limits.items():
            if not maximum > 0:
                raise InputError(f"a limit must be over 0, got {maximum:g} for {name}; leave it out for none")
        samplers = ENGINES[plan.engine]
        if plan.sampler and plan.sampler not in samplers:
            fix = nearest(plan.sampler, samplers) if samplers else "leave --sampler out"
            raise InputError(f"engine {plan.engine} has no sampler '{plan.sampler}'; {fix}")
        return plan

    @property
    def most_trials(self) -> int | None:
        """How many candidates are trained at most."""
        return self.trials or (TRIALS if self.seconds is None else None)

    @property
    def task(self) -> str:
        """The task that the data set."""
        return str(self.space.get("task", "classification"))

    @property
    def data_options(self) -> DataOptions:
        """How the data set is read."""
        return DataOptions(
            image_size=self.image_size,
            seed=self.seed,
            train_limit=self.train_limit,
            ignore_label=self.ignore_label,
        )

    def parsed_objectives(self) -> tuple[Objective, ...]:
        """Give what the search improves."""
        return parse_objectives(self.objectives)

    def parsed_limits(self) -> tuple[Limit, ...]:
        """Give what no trained candidate may be over."""
        return tuple(Limit(name, maximum) for name, maximum in self.limits.items())


def bound_space(space: SearchSpace, dataset: Dataset, objectives: tuple[Objective, ...]) -> SearchSpace:
    """Fill in what the data set says; raises SpaceError, or InputError for an objective of another task."""
    bound = space.bind(dataset.shape, len(dataset.classes), dataset.task, dataset.rescale)
    quality = "mean_iou" if dataset.task == "segmentation" else "accuracy"
    for objective in objectives:
        if objective.trained and objective.name != quality:
            raise InputError(
                f"objective {objective.name} does not fit {dataset.task} data such as '{dataset.name}'; "
                f"use {quality}"
            )
    if not any(OBJECTIVES[quality] == objective for objective in objectives):
        raise InputError(f"one objective must be {quality} for {dataset.task} data; add it to --objectives")
    return bound


def starting_settings(space: SearchSpace, names: Sequence[str]) -> list[Setting]:
    """Find the settings of a bound space that build these networks, given as shipped names or files.

    The network takes the space's input and classes. Raises SpaceError where one is no point of the space.
    """
    found: list[Setting] = []
    for name in names:
        closed = SearchSpace.load(name).data
        for key in ("task", "input_shape", "classes", "rescale"):
            closed[key] = space.data[key]
        design = Design.from_dict(closed)
        setting = space.setting_of(design)
        if setting is None:
            raise SpaceError(
                f"--start-from takes points of the space {space.name}, and '{name}' is none; "
                f"open more values in the space, or take one of {', '.join(shipped('models'))}"
            )
        found.append(setting)
    return found
