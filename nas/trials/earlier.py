"""What a search knows of earlier searches, as plain data for its plan and its engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.space import Setting

__all__ = ["EarlierSearch", "Observation"]


@dataclass(frozen=True)
class Observation:
    """The qualities of a network that an earlier search trained."""

    setting: Setting  # of the new search's space
    epochs: int
    values: Mapping[str, float]  # by the name of the quality


@dataclass(frozen=True)
class EarlierSearch:
    """The trained trials of an earlier search that are points of the new search's space."""

    name: str
    trained: int  # number of its trained trials, in the space or not
    same_data: bool  # the same examples in the same splits
    observations: tuple[Observation, ...]
