"""The data of a recorded search, which must be those that it was started with."""

from __future__ import annotations

from collections.abc import Callable

from nas.data import Dataset, load_dataset, select_fold
from nas.errors import DataError
from nas.searching.plan import Plan

__all__ = ["judged_data", "recorded_data"]


def recorded_data(plan: Plan, progress: Callable[[str], None] | None = None) -> Dataset:
    """Load the data of a search.

    progress: receives a line every few seconds while examples are read. Raises DataError if the data cannot
    be read or has changed.
    """
    dataset = load_dataset(plan.data, plan, progress)
    if dataset.fingerprint != plan.fingerprint:
        raise DataError(
            f"the data must be those that the search was started with, but the content of '{plan.data}' has "
            "changed; restore the data, or start a new search"
        )
    return dataset


def judged_data(plan: Plan, progress: Callable[[str], None] | None = None) -> Dataset:
    """Load the fold of the data on which the weights in the record were judged; see `recorded_data`."""
    return select_fold(recorded_data(plan, progress), 0, plan.folds, plan.split_seed)
