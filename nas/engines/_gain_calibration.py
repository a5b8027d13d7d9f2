"""Calibrate expected gains by the gains that earlier proposals brought.

The candidate with the greatest expected gain is also the one whose gain is most overestimated (winner's
curse), and where the best networks of a cost have nearly equal errors, a Gaussian process keeps expecting
improvements. Therefore expected gains are multiplied by the ratio of achieved to expected gains of earlier
proposals of similar cost. The record of a search has no expected gains, so a resumed search starts without
calibration.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.engines._expected_improvement import Boxes, ErrorPosterior, expected_hypervolume_improvement

__all__ = ["GainCalibration"]

Array = NDArray[np.float64]

MAX_OUTCOMES = 400
"""Latest outcomes that are used."""

BANDWIDTH = 0.1
"""Standard deviation of the kernel that weights outcomes by cost, as a share of each cost's range."""

PRIOR_WEIGHT = 3.0
"""Number of imaginary proposals that achieved exactly the expected gain."""


@dataclass(frozen=True)
class _Proposal:
    costs: Array
    boxes: Boxes  # the non-dominated space when it was proposed
    gain: float  # expected
    largest: float  # expected gain of any candidate then: the unit, because gains shrink during a search


@dataclass
class GainCalibration:
    """Expected gains of proposals, by the candidates' ids, and the gains that they achieved."""

    _open: dict[str, _Proposal] = field(default_factory=dict)
    _outcomes: deque[tuple[Array, float, float]] = field(default_factory=lambda: deque(maxlen=MAX_OUTCOMES))

    def add_proposal(self, name: str, costs: Array, boxes: Boxes, gain: float, largest: float) -> None:
        """Store the expected gain of a proposal and the largest expected gain of all candidates."""
        self._open[name] = _Proposal(costs, boxes, gain, max(largest, 1e-300))

    def ended(self, running: Collection[str]) -> list[str]:
        """Return the ids of open proposals that no longer run."""
        return [name for name in self._open if name not in running]

    def observe(self, name: str, posteriors: Sequence[ErrorPosterior] | None) -> None:
        """Close a proposal: compute its achieved gain from its current posterior; None: it gained nothing."""
        proposal = self._open.pop(name)
        achieved = 0.0
        if posteriors is not None:
            costs = proposal.costs[None]
            achieved = float(expected_hypervolume_improvement(proposal.boxes, posteriors, costs)[0])
        self._outcomes.append((proposal.costs, proposal.gain / proposal.largest, achieved / proposal.largest))

    def factors(self, costs: Array) -> Array:
        """Return the factors for the expected gains of candidates: (candidates,).

        costs: (candidates, costs) on log axes. A factor is a ratio of kernel-weighted sums over the outcomes.
        """
        if not self._outcomes:
            return np.ones(len(costs))
        centers = np.stack([center for center, _, _ in self._outcomes])
        expected, achieved = np.array([outcome[1:] for outcome in self._outcomes]).T
        bandwidth = BANDWIDTH * np.maximum(np.ptp(costs, axis=0), 1e-9)
        squared = ((costs[:, None, :] - centers[None, :, :]) / bandwidth) ** 2
        weights = np.exp(-0.5 * squared.sum(axis=2))
        factors: Array = (PRIOR_WEIGHT + weights @ achieved) / (PRIOR_WEIGHT + weights @ expected)
        return factors
