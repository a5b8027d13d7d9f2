"""From options and data to a plan: defaults that depend on the data, the bound space, starting settings."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any

from nas.data import Dataset
from nas.device import FileCostMeter, LatencyOptions
from nas.errors import InputError, LimitError, SpaceError
from nas.evaluation import Evaluator, constant_qualities
from nas.executors import Executor, InProcess, LocalProcesses, WorkerQueue
from nas.record import SearchRecord, parse_trial_reference, recorded_trial
from nas.searching.earlier_searches import find_point
from nas.searching.halving import Halving, rungs
from nas.searching.plan import Plan, SearchOptions
from nas.searching.screening import MEASURED, Screen
from nas.searching.steering import ReferenceMeter
from nas.space import SearchSpace, Setting, find_extreme, find_network_file
from nas.trials import OBJECTIVES, EarlierSearch, Objective

__all__ = [
    "bind_space",
    "changed_versions",
    "check_start",
    "complete_options",
    "cost_bounds",
    "create_executor",
    "create_halving",
    "create_meter",
    "create_plan",
    "create_screen",
    "fitting_qualities",
    "starting_settings",
]

DEFAULT_COSTS = ("params", "latency")
"""Objectives next to the quality, unless the user names others."""

QUALITIES = {
    "segmentation": ("mean_iou", "loss"),
    "multi_label": ("map", "macro_f1", "label_accuracy", "loss"),
    "regression": ("r2", "mae", "rmse", "loss"),
}
"""Qualities that fit the data of a task, the default first; for classification see `fitting_qualities`."""

LARGE_DATA = 10_000
"""From this number of training examples on, fewer epochs suffice, because an epoch has more steps."""

CALIBRATION_EXAMPLES = 100
"""Training examples that calibrate an int8 file."""

LIBRARIES = ("nas", "tensorflow", "keras", "numpy")
"""Packages whose versions are recorded."""


def complete_options(options: SearchOptions, dataset: Dataset) -> SearchOptions:
    """Fill in the defaults that depend on the data.

    Raises InputError for objectives that do not fit the data.
    """
    quality, *others = fitting_qualities(dataset)
    epochs = options.epochs or (27 if len(dataset.train) < LARGE_DATA else 9)
    objectives = options.objectives or (quality, *DEFAULT_COSTS)
    complete = options.model_copy(update={"objectives": objectives, "epochs": epochs})
    for name, objective in OBJECTIVES.items():
        if objective.trained and objective in complete.parsed_objectives() and name not in (quality, *others):
            raise InputError(
                f"objective {name} does not fit {dataset.task} data of {dataset.outputs} "
                f"such as '{dataset.name}'; use {', '.join((quality, *others))}"
            )
    return complete


def fitting_qualities(dataset: Dataset) -> list[str]:
    """Return the names of the qualities that fit the data, the default first.

    For several labels `map` needs no threshold: after few epochs no probability of a rare label is over 0.5,
    so that its F1 is 0 for every network. `r2` has no unit, so that each of several numbers counts equally.
    """
    if dataset.task in QUALITIES:
        return list(QUALITIES[dataset.task])
    default = "balanced_accuracy" if dataset.is_imbalanced else "accuracy"
    of_two_classes = ["auc"] if len(dataset.classes) == 2 else []
    return [*dict.fromkeys([default, "accuracy", "balanced_accuracy", "macro_f1", "loss"]), *of_two_classes]


def bind_space(space: SearchSpace, dataset: Dataset) -> SearchSpace:
    """Return the space with input shape, classes and task of the data; raises SpaceError."""
    return space.bind(dataset.shape, len(dataset.classes), dataset.task, dataset.rescale, dataset.value_range)


def create_meter(
    options: SearchOptions, space: SearchSpace, dataset: Dataset, progress: Callable[[str], None] | None
) -> FileCostMeter | None:
    """Return what measures latency and file size; None if no objective or limit needs them."""
    needed = {objective.name for objective in options.parsed_objectives()} | set(options.limits)
    if not needed & set(MEASURED):
        return None
    latency = LatencyOptions(
        precision=options.precision, threads=options.latency_threads, runtime=options.runtime
    )
    return FileCostMeter(space, latency, dataset.train.x[:CALIBRATION_EXAMPLES], progress)


def create_screen(options: SearchOptions, space: SearchSpace, meter: FileCostMeter | None) -> Screen:
    """Return what checks the candidates of a search."""
    used = ReferenceMeter(meter) if meter and options.deterministic else meter
    return Screen(space, options.parsed_objectives(), options.parsed_limits(), used)


def installed_versions() -> dict[str, str]:
    """Return the versions of what determines the figures of a training."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def changed_versions(plan: Plan) -> str:
    """Return which versions differ from the recorded ones, '' if none does or none is recorded."""
    now = installed_versions()
    return ", ".join(
        f"{name} {version} is now {now.get(name, 'absent')}"
        for name, version in plan.versions.items()
        if version != now.get(name)
    )


def cost_bounds(screen: Screen, objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    """Return the least and greatest value of each cost objective in the space."""
    bounds = {}
    for objective in objectives:
        if not objective.trained:
            read = screen.cost_reader(objective.name)
            least, greatest = (find_extreme(screen.space, read, highest)[1] for highest in (False, True))
            bounds[objective.name] = (least, max(greatest, least * 1.001))
    return bounds


def starting_settings(space: SearchSpace, names: Sequence[str]) -> list[Setting]:
    """Return the settings of a bound space that build these networks: shipped names, files or NAME:TRIAL.

    The network takes input and classes of the space. Raises SpaceError if one is not a point of the space,
    InputError for an unknown name or trial.
    """
    settings: list[Setting] = []
    for name in names:
        reference = parse_trial_reference(name)
        if reference is None:
            closed = SearchSpace.load(find_network_file(name)).data
        else:
            record = SearchRecord.open(reference[0])
            trial = recorded_trial(record, reference[1])
            closed = SearchSpace(Plan.parse(record.config).space).close(trial.setting)
        setting = find_point(space, closed)
        if setting is None:
            raise SpaceError(
                f"--start-from takes points of the space {space.name}, got '{name}', which is none; "
                "open more values in the space, or choose another network (nas space list)"
            )
        settings.append(setting)
    return settings


def check_start(screen: Screen, network: str, setting: Setting) -> None:
    """Raise LimitError if a network to start from exceeds a limit; measures its file if a limit needs it."""
    screened = screen.screen(setting)
    if screen.must_measure:
        screened = screen.measure(screened)
    if screened.reason and not screened.failed:
        raise LimitError(
            f"a network of --start-from must be within the limits, got '{network}': {screened.reason}; "
            "raise the limit, or omit the network"
        )


def guessing(objectives: Sequence[Objective], dataset: Dataset) -> dict[str, Any]:
    """Return `guess` and `scales` of a plan, from the best constant answer on the validation split."""
    constant = constant_qualities(dataset)
    scales = {one.name: constant[one.name] or 1.0 for one in objectives if one.has_unit}
    quality = next(objective for objective in objectives if objective.trained)
    guess = replace(quality, scale=scales.get(quality.name, 1.0)).error(constant[quality.name])
    return {"guess": guess, "scales": scales}


def create_plan(
    options: SearchOptions,
    screen: Screen,
    dataset: Dataset,
    start: Sequence[Setting],
    earlier: Sequence[EarlierSearch],
    device: str,
) -> Plan:
    """Put the plan of a search together from complete options and a screen of the bound space."""
    return Plan.parse(
        {
            **options.model_dump(),
            "space": screen.space.data,
            "start": tuple(start),
            "earlier": tuple(earlier),
            "judged_precision": options.precision,
            "signature": dataset.signature,
            "device": device,
            "versions": installed_versions(),
            "fingerprint": dataset.fingerprint,
            "bounds": cost_bounds(screen, options.parsed_objectives()),
            "examples": len(dataset.validation) + (len(dataset.train) if options.folds > 1 else 0),
            **guessing(options.parsed_objectives(), dataset),
        }
    )


def create_halving(plan: Plan) -> Halving:
    """Return what promotes the trials of a search."""
    steps: tuple[int, ...] = (plan.epochs,)
    if plan.halving:
        steps = rungs(plan.epochs, plan.reduction, plan.min_epochs or plan.epochs // plan.reduction**2)
    return Halving(steps, plan.reduction, plan.criteria)


def create_executor(options: SearchOptions, task: str, workers: int) -> Executor:
    """Return what trains networks of a task: so many processes, with 0 this process."""
    create = partial(Evaluator, task)
    if workers == 0:
        return InProcess(create)
    return WorkerQueue(LocalProcesses(create), workers, options.trial_seconds)
