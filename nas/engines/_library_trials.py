"""Settings and trials in the form of outside libraries, for the engines that use these.

In a library each open value is an integer, the index of the choice in `OpenValue.choices`. So one kind of
parameter represents numbers, names and booleans, and neighbouring numbers stay neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nas.architecture import Scalar
from nas.space import OpenValue, Setting, is_active
from nas.trials import Limit, Objective, Trial

__all__ = [
    "Key",
    "LibraryTrials",
    "Losses",
    "build_setting",
    "decode",
    "encode",
    "excess",
    "key_of",
    "losses",
]

Key = tuple[tuple[str, int], ...]
"""A hashable setting: name and index of each active value, in the order of the space."""

Losses = tuple[float | None, ...]
"""The objectives as numbers to minimize, None where a value is unknown."""

Handle = TypeVar("Handle")


def build_setting(values: Sequence[OpenValue], choose: Callable[[OpenValue], Scalar]) -> dict[str, Scalar]:
    """Build a setting by choosing for each active open value in turn, parents first."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if is_active(value, setting):
            setting[value.name] = choose(value)
    return setting


def decode(values: Sequence[OpenValue], indices: Mapping[str, int]) -> dict[str, Scalar]:
    """Return the setting with the choices at these indices; indices of inactive values are ignored."""
    return build_setting(values, lambda value: value.choices[indices[value.name]])


def encode(values: Sequence[OpenValue], setting: Setting) -> dict[str, int] | None:
    """Return the index of each active value's choice; None if the setting is not in the space."""
    indices: dict[str, int] = {}
    for value in values:
        if is_active(value, setting):
            if setting.get(value.name) not in value.choices:
                return None
            indices[value.name] = value.choices.index(setting[value.name])
    return indices


def key_of(indices: Mapping[str, int]) -> Key:
    """Return an encoded setting as a dictionary key."""
    return tuple(indices.items())


def losses(trial: Trial, objectives: Sequence[Objective]) -> Losses:
    """Return a trial's objectives as numbers to minimize, costs as their logarithms.

    Costs of networks span orders of magnitude and are compared by ratio, so distances, crowding and
    hypervolume should be computed from their logarithms. The quality is that after the training the trial
    had. For a stopped trial this underestimates the quality after full training. Halving stops a trial that
    is worse than others of similar cost at equal epochs, so the error of the estimate agrees with that
    decision, and it is corrected when the trial is trained further and reported again.
    """
    result: list[float | None] = []
    for objective in objectives:
        value = trial.values.get(objective.name)
        if value is None or not math.isfinite(value):
            result.append(None)
            continue
        value = float(value) if objective.trained else math.log(max(value, 1e-9))
        result.append(-value if objective.maximize else value)
    return tuple(result)


def excess(trial: Trial, limits: Sequence[Limit]) -> float:
    """Return the sum of a trial's excesses over the limits; positive for each trial in state over_limit."""
    total = sum(limit.excess(trial.values) for limit in limits)
    return max(total, 1e-6) if trial.state == "over_limit" else total


@dataclass
class LibraryTrials(Generic[Handle]):
    """A library's own trials, by the settings that they belong to."""

    pending: dict[Key, list[Handle]] = field(default_factory=dict)  # asked for, not reported yet
    observed: dict[Key, Handle] = field(default_factory=dict)

    def __contains__(self, key: Key) -> bool:
        """Check whether a setting was asked for or reported before."""
        return key in self.pending or key in self.observed

    def add_pending(self, key: Key, handle: Handle) -> None:
        """Add a setting that is asked for; several trials may be pending for the same one."""
        self.pending.setdefault(key, []).append(handle)

    def take_pending(self, key: Key) -> list[Handle]:
        """Remove and return the pending trials of a setting; empty if it was never asked for."""
        return self.pending.pop(key, [])
