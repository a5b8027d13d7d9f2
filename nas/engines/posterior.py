"""Draws from the model of the default engine, to explain a search of any engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.space import OpenValue, Setting
    from nas.trials import Candidate, Criteria, Trial

__all__ = ["sample_error_levels"]


def sample_error_levels(
    open_values: Sequence[OpenValue],
    criteria: Criteria,
    describe: Callable[[Setting], Candidate],
    trials: Sequence[Trial],
    settings: Sequence[Setting],
    count: int,
) -> NDArray[np.float64] | None:
    """Fit the model of `cheap-aware` to trials; draw levels of the error at settings: (count, settings).

    The error is that of the first quality, its level that of `Criteria.level`. None for too few trials.
    """
    from nas.engines.cheap_aware import CheapAware

    engine = CheapAware(open_values, replace(criteria, objectives=criteria.qualities[:1]), describe)
    for trial in trials:
        engine.tell(trial)
    return engine.sample_levels(settings, count)
