"""Trials of earlier searches as data of the default engine's models, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engines._candidate_pool import CandidatePool, PoolEntry, is_in_space
from nas.space import OpenValue
from nas.trials import Criteria, EarlierSearch

__all__ = ["EarlierTrials"]

Array = NDArray[np.float64]

MIN_ALIGNED = 4  # observations of this search to whose median and deviation those on other data are moved
SCALE_RANGE = 0.5, 2.0  # of the factor by which levels of errors on other data are scaled
OTHER_LAG = 1.0


class EarlierTrials:
    """Observations of earlier searches.

    On the same data they are observations like those of this search, at the fidelity of their epochs. On
    other data they are observations at another fidelity, one of its own for each search.
    """

    def __init__(
        self,
        earlier: Sequence[EarlierSearch],
        values: Sequence[OpenValue],
        criteria: Criteria,
        pool: CandidatePool,
    ) -> None:
        """Describe the settings that are in the space."""
        self.same: list[tuple[PoolEntry, int, list[float]]] = []  # with epochs and errors
        self.other: list[
            tuple[list[PoolEntry], Array]
        ] = []  # of each search, with levels (trials, qualities)
        for search in earlier:
            rows = []
            for observation in search.observations:
                entry = pool.entry(observation.setting) if is_in_space(values, observation.setting) else None
                if entry is not None:
                    errors = [
                        quality.error(observation.values[quality.name]) for quality in criteria.qualities
                    ]
                    rows.append((entry, max(1, observation.epochs), errors))
            if search.same_data:
                self.same += rows
            elif rows:
                levels = criteria.level(np.array([errors for _, _, errors in rows]))
                self.other.append(([entry for entry, _, _ in rows], levels))

    def __bool__(self) -> bool:
        """Return whether there is any observation."""
        return bool(self.same or self.other)

    def add_other(
        self, pool: CandidatePool, inputs: Array, levels: Array, lags: Array
    ) -> tuple[Array, Array, Array, NDArray[np.intp]]:
        """Append the observations on other data to inputs, levels (rows, qualities) and lags (rows,).

        Return these and the source of each row: 0 for this data. The levels of a search are moved to the
        median and deviation of this data's at the longest training, because the models fit the difference
        between sources, but transform all levels alike.
        """
        sources = np.zeros(len(lags), dtype=np.intp)
        aligned = levels[lags == lags.min()]
        if len(aligned) < MIN_ALIGNED:
            aligned = levels
        for source, (entries, found) in enumerate(self.other, start=1):
            scale = np.clip(aligned.std(axis=0) / np.maximum(found.std(axis=0), 1e-9), *SCALE_RANGE)
            moved = np.median(aligned, axis=0) + scale * (found - np.median(found, axis=0))
            inputs = np.concatenate([inputs, pool.inputs(entries)])
            levels = np.concatenate([levels, moved])
            lags = np.concatenate([lags, np.full(len(entries), OTHER_LAG)])
            sources = np.concatenate([sources, np.full(len(entries), source, dtype=np.intp)])
        return inputs, levels, lags, sources
