"""The scale on which a network for regression is trained and computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["TargetScale"]


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of each number, in the training split or of the outputs of a network.

    Trainings predict standardized numbers, so that the learning rate fits any unit and each number counts
    equally. The weights of a network always predict the numbers themselves: mean and deviation are part of
    the kernel and the bias of its last layer, so that checkpoints and exported files need nothing else.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]  # 1 for a number that does not vary

    @classmethod
    def of(cls, numbers: np.ndarray) -> TargetScale:
        """Return the scale of numbers (n, numbers)."""
        deviations = numbers.std(axis=0, dtype=float)
        deviations[deviations == 0] = 1.0
        return cls(tuple(numbers.mean(axis=0, dtype=float).tolist()), tuple(deviations.tolist()))

    def fold(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the weights of the network that predicts the numbers, from those of the standardized ones.

        The last two weights are the kernel and the bias of the last layer.
        """
        *others, kernel, bias = weights
        return [*others, _float32(kernel * self._deviations), _float32(bias * self._deviations + self._means)]

    def unfold(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the weights from which `fold` makes these."""
        *others, kernel, bias = weights
        unscaled = (bias - self._means) / self._deviations
        return [*others, _float32(kernel / self._deviations), _float32(unscaled)]

    def numbers(self, standardized: np.ndarray) -> np.ndarray:
        """Return numbers (n, numbers) from standardized ones."""
        return np.asarray(standardized * self._deviations + self._means)

    @property
    def _means(self) -> np.ndarray:
        return np.array(self.means)

    @property
    def _deviations(self) -> np.ndarray:
        return np.array(self.deviations)


def _float32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)
