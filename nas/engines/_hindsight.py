"""What proposals brought, against what was expected of them: how far an expected gain can be trusted.

The candidate that promises most is also the one most overrated, and where the best networks of a cost lie
close together a Gaussian belief goes on hoping for better ones. Both show in the outcomes: what proposals of
like cost brought is held against what they promised, and further promises are weighed by that. A resumed
search begins anew with it: what was promised is in no record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.engines._improvement import Belief, Cells, expected_gain

__all__ = ["Hindsight"]

Array = NDArray[np.float64]

LAST = 400
"""Outcomes that are remembered."""

NEAR = 0.1
"""Deviation of the weight by which an outcome counts elsewhere, as a share of each cost's range."""

PRIOR = 3.0
"""So many proposals are taken to have brought what they promised before any has ended."""


@dataclass(frozen=True)
class _Promise:
    costs: Array
    free: Cells  # what was undominated when it was proposed
    gain: float
    most: float  # that any candidate promised then: the unit, as promises shrink with the search


@dataclass
class Hindsight:
    """Promises of gains, by the candidates' ids, and what came of them."""

    _open: dict[str, _Promise] = field(default_factory=dict)
    _outcomes: deque[tuple[Array, float, float]] = field(default_factory=lambda: deque(maxlen=LAST))

    def promise(self, name: str, costs: Array, free: Cells, gain: float, most: float) -> None:
        """Note what a candidate that is proposed promises to add to what leaves `free` undominated."""
        self._open[name] = _Promise(costs, free, gain, max(most, 1e-300))

    def ended(self, running: Collection[str]) -> list[str]:
        """Give the candidates of open promises that no longer run."""
        return [name for name in self._open if name not in running]

    def settle(self, name: str, beliefs: Sequence[Belief] | None) -> None:
        """Close a promise by what is believed of that candidate by now; None: it came to nothing."""
        made = self._open.pop(name)
        brought = 0.0
        if beliefs is not None:
            brought = float(expected_gain(made.free, beliefs, made.costs[None])[0])
        self._outcomes.append((made.costs, made.gain / made.most, brought / made.most))

    def trust(self, costs: Array) -> Array:
        """Give by what to multiply the gains that candidates promise: (candidates,).

        costs: (candidates, costs) on log axes.
        """
        if not self._outcomes:
            return np.ones(len(costs))
        places = np.stack([place for place, _, _ in self._outcomes])
        promised, brought = np.array([outcome[1:] for outcome in self._outcomes]).T
        reach = NEAR * np.maximum(np.ptp(costs, axis=0), 1e-9)
        away = ((costs[:, None, :] - places[None, :, :]) / reach) ** 2
        weights = np.exp(-0.5 * away.sum(axis=2))
        factors: Array = (PRIOR + weights @ brought) / (PRIOR + weights @ promised)
        return factors
