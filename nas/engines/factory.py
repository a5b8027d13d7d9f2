"""Create an engine by its name; only the library of this engine is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nas.engines.engine import ENGINES, Engine
from nas.errors import InputError, nearest

if TYPE_CHECKING:
    from nas.space import OpenValue, Setting
    from nas.trials import Candidate, Criteria, EarlierSearch, Limit

__all__ = ["create_engine"]


def create_engine(
    name: str,
    open_values: Sequence[OpenValue],
    criteria: Criteria,
    limits: Sequence[Limit],
    describe: Callable[[Setting], Candidate],
    *,
    sampler: str = "",
    seed: int = 0,
    seconds_left: Callable[[], float] | None = None,
    earlier: Sequence[EarlierSearch] = (),
) -> Engine:
    """Create the engine `name` of `ENGINES`.

    describe: returns the id, costs and features of a setting before training.
    sampler: one of the engine's samplers; '' for its first.
    seconds_left: returns the remaining seconds of a search that is limited by time, else None.
    earlier: observations that are no trials of this search; only the model of cheap-aware uses them.
    Raises InputError for an unknown engine or sampler.
    """
    if name not in ENGINES:
        raise InputError(f"unknown engine '{name}'; {nearest(name, tuple(ENGINES))}")
    if name == "optuna":
        from nas.engines.optuna_engine import OptunaEngine

        return OptunaEngine(open_values, criteria.objectives, limits, sampler or ENGINES[name][0], seed)
    if name == "keras-tuner":
        from nas.engines.keras_tuner_engine import KerasTunerEngine

        return KerasTunerEngine(open_values, criteria.objectives, limits, sampler or ENGINES[name][0], seed)
    if sampler:
        raise InputError(f"engine {name} has no samplers, got '{sampler}'; leave the sampler out")
    from nas.engines.cheap_aware import CheapAware

    return CheapAware(open_values, criteria, describe, limits, seed, seconds_left, earlier)
