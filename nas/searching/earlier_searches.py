"""Read earlier searches that a new one starts from, as settings of the new space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.architecture import Design
from nas.errors import InputError, SpaceError
from nas.record import SearchRecord
from nas.searching.plan import Plan, SearchOptions
from nas.space import SearchSpace, Setting
from nas.trials import EarlierSearch, Observation, Trial

__all__ = ["find_point", "read_earlier_searches"]

MAX_TRIALS = 200
"""Trials of an earlier search that are used: more add little to the model, and the plan holds them."""


def read_earlier_searches(
    options: SearchOptions, space: SearchSpace, fingerprint: str
) -> tuple[EarlierSearch, ...]:
    """Return what the searches in `options.start_from_search` observed in a bound space.

    options: with objectives. fingerprint: of the new search's data.

    Raises InputError for an unknown name, and for a search of another task or quality or without a trained
    trial in the space.
    """
    names = dict.fromkeys(options.start_from_search)
    return tuple(_read(name, options, space, fingerprint) for name in names)


def _read(name: str, options: SearchOptions, space: SearchSpace, fingerprint: str) -> EarlierSearch:
    record = SearchRecord.open(name)
    plan = Plan.parse(record.config)
    task = str(space.data["task"])
    if plan.task != task:
        raise InputError(
            f"--start-from-search takes searches of the same task, got '{name}' ({plan.task}) "
            f"for {task}; omit it"
        )
    qualities = [objective.name for objective in options.parsed_objectives() if objective.trained]
    found = [objective.name for objective in plan.parsed_objectives() if objective.trained]
    if found[0] != qualities[0]:
        raise InputError(
            f"--start-from-search takes searches of the same quality, got '{name}' ({found[0]}) "
            f"for {qualities[0]}; omit it, or change --objectives"
        )
    trials = [
        trial
        for trial in record.trials()
        if trial.state in ("complete", "stopped")
        and np.isfinite([trial.values.get(quality, np.nan) for quality in qualities]).all()
    ]
    full_epochs = options.epochs or plan.epochs
    observations = _observations(trials, SearchSpace(plan.space), space, qualities, full_epochs)
    if not observations:
        raise InputError(
            f"--start-from-search takes searches with trials in the space, but no trained trial of '{name}' "
            f"is a point of the space {space.name}; omit it, or open more values in the space"
        )
    return EarlierSearch(name, len(trials), plan.fingerprint == fingerprint, observations)


def _observations(
    trials: Sequence[Trial],
    earlier: SearchSpace,
    space: SearchSpace,
    qualities: Sequence[str],
    full_epochs: int,
) -> tuple[Observation, ...]:
    """Return the trials whose networks are points of the space, as evenly chosen as MAX_TRIALS allows.

    A training that was longer than the full length counts as one of full length.
    """
    chosen = np.unique(np.linspace(0, len(trials) - 1, min(len(trials), MAX_TRIALS)).astype(int))
    observations = []
    for trial in (trials[index] for index in chosen):
        setting = _translate(trial.setting, earlier, space)
        if setting is not None:
            values = {name: trial.values[name] for name in qualities}
            observations.append(Observation(setting, min(trial.epochs, full_epochs), values))
    return tuple(observations)


def _translate(setting: Setting, earlier: SearchSpace, space: SearchSpace) -> Setting | None:
    """Return the setting of a bound space that builds the network of another space's setting.

    The network takes input and classes of the bound space. None if there is no such setting.
    """
    try:
        return find_point(space, earlier.close(setting))
    except SpaceError:  # the network cannot take this input
        return None


def find_point(space: SearchSpace, closed: dict[str, Any]) -> Setting | None:
    """Return the setting of a bound space that builds the network of a file; None if there is none.

    closed: the content of a file without open values; the network takes input and classes of the space.
    Raises SpaceError if the network cannot take this input.
    """
    bound = {**closed, **{key: space.data[key] for key in ("task", "input_shape", "classes", "rescale")}}
    return space.find_setting(Design.from_dict(bound))
