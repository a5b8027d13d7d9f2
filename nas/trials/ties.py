"""Standard errors of qualities, and ties: front members that the validation split does not tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from nas.trials.trial import Objective, Trial

__all__ = ["error_rows", "standard_error", "ties"]


def standard_error(trial: Trial, quality: Objective, examples: int | None = None) -> float | None:
    """Return the standard error of a quality on the validation split; None if it is unknown.

    `examples`: number of validation examples, from which that of an accuracy is computed if the record of the
    trial has none.
    """
    recorded = trial.values.get(f"{quality.name}_se")
    value = trial.values.get(quality.name)
    if recorded is not None or quality.name != "accuracy" or value is None or examples is None:
        return recorded
    return math.sqrt(max(0.0, value * (1 - value)) / examples)


def ties(front: Sequence[Trial], quality: Objective, examples: int | None = None) -> dict[int, int]:
    """Return the number of the front member above by the number of each member that is tied with it.

    `front`: best quality first. Two members are tied if their qualities differ by at most the standard error
    of the difference, the root of the sum of the squared standard errors. Both are judged by the same
    examples, so that this is at least the true one.
    """
    found = {}
    for above, trial in pairwise(front):
        errors = [standard_error(one, quality, examples) for one in (above, trial)]
        known = [error for error in errors if error is not None]
        difference = abs(above.values[quality.name] - trial.values[quality.name])
        if len(known) == 2 and difference <= math.hypot(*known) + 1e-12:
            found[trial.number] = above.number
    return found


def error_rows(
    trials: Sequence[Trial], front: Sequence[Trial], qualities: Sequence[Objective], examples: int | None
) -> list[dict[str, float | None]]:
    """Return for each trial the standard error of each quality, and `tied_with`: see `ties`."""
    tied = ties(front, qualities[0], examples)
    return [
        {
            **{f"{quality.name}_se": standard_error(trial, quality, examples) for quality in qualities},
            "tied_with": tied.get(trial.number),
        }
        for trial in trials
    ]
