"""What the engines over outside libraries share: parameters, losses, and which setting is whose.

To a library each open value is a whole number, the place of the choice in `OpenValue.choices`. So
one kind of parameter serves numbers, names and truth values, and neighbouring numbers stay neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nas.architecture import Scalar
from nas.space import OpenValue, Setting, active
from nas.trials import Limit, Objective, Trial

__all__ = ["Book", "Key", "Losses", "draw", "excess", "key_of", "losses", "placed", "places"]

Key = tuple[tuple[str, int], ...]
"""A setting as something to look up: name and place of each active value, in the space's order."""

Losses = tuple[float | None, ...]
"""A number to be minimized for each objective, None where it is not known."""

Handle = TypeVar("Handle")


def draw(values: Sequence[OpenValue], choose: Callable[[OpenValue], Scalar]) -> dict[str, Scalar]:
    """Make a setting by choosing for each active open value in turn, parents first."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if active(value, setting):
            setting[value.name] = choose(value)
    return setting


def placed(values: Sequence[OpenValue], places: Mapping[str, int]) -> dict[str, Scalar]:
    """Make the setting that the places of its choices stand for; those of inactive values are dropped."""
    return draw(values, lambda value: value.choices[places[value.name]])


def places(values: Sequence[OpenValue], setting: Setting) -> dict[str, int] | None:
    """Give the place of each active value's choice; None where the setting is not one of the space's."""
    found: dict[str, int] = {}
    for value in values:
        if active(value, setting):
            if setting.get(value.name) not in value.choices:
                return None
            found[value.name] = value.choices.index(setting[value.name])
    return found


def key_of(places: Mapping[str, int]) -> Key:
    """Give what settings are matched by."""
    return tuple(places.items())


def losses(trial: Trial, objectives: Sequence[Objective]) -> Losses:
    """Give a trial's objectives as numbers to be minimized, costs as their logarithms.

    Costs of networks span orders of magnitude and are compared by ratio, so their logarithms are
    what distances, crowding and hypervolume should be taken of. The quality is that of the training
    the trial had. A stopped trial's is a low estimate of what full training gives; halving stops a
    trial for being behind those of like cost at equal epochs, so the estimate errs on the side that
    the decision took, and is corrected when the trial goes further and is told again.
    """
    found: list[float | None] = []
    for objective in objectives:
        value = trial.values.get(objective.name)
        if value is None or not math.isfinite(value):
            found.append(None)
            continue
        value = float(value) if objective.trained else math.log(max(value, 1e-9))
        found.append(-value if objective.maximize else value)
    return tuple(found)


def excess(trial: Trial, limits: Sequence[Limit]) -> float:
    """Say by how much a trial is over the limits, added up; over 0 for each that ended as over_limit."""
    total = sum(limit.excess(trial.values) for limit in limits)
    return max(total, 1e-6) if trial.state == "over_limit" else total


@dataclass
class Book(Generic[Handle]):
    """Which of a library's own trials stands for which setting."""

    pending: dict[Key, list[Handle]] = field(default_factory=dict)  # asked for, not told yet
    told: dict[Key, Handle] = field(default_factory=dict)

    def knows(self, key: Key) -> bool:
        """Say whether a setting was asked for or told before."""
        return key in self.pending or key in self.told

    def ask(self, key: Key, handle: Handle) -> None:
        """Enter a setting that is asked for; several may be pending for the same one."""
        self.pending.setdefault(key, []).append(handle)

    def tell(self, key: Key) -> list[Handle]:
        """Take out what was pending for a setting; empty where it was never asked for."""
        return self.pending.pop(key, [])
