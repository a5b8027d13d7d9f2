"""Weights of a network as one variable, which one fused optimizer operation updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.backends import WeightSpec
from nas.tensorflow_imports import import_tensorflow

__all__ = ["WeightVector"]


class WeightVector:
    """A subset of a network's weights, concatenated in one variable."""

    def __init__(self, specs: Sequence[WeightSpec], indices: Sequence[int]) -> None:
        tf = import_tensorflow()
        self.indices = indices
        self.specs = [specs[index] for index in indices]
        self.sizes = [int(np.prod(spec.shape)) for spec in self.specs]
        self.variable = tf.Variable(np.zeros(sum(self.sizes), np.float32), trainable=False)

    def split(self, flat: Any) -> dict[str, Any]:
        """Split a value of the variable into tensors by name; kernels of signals get a height of 1."""
        raw = import_tensorflow().raw_ops
        if not self.sizes:
            return {}
        parts = raw.SplitV(value=flat, size_splits=self.sizes, axis=0, num_split=len(self.sizes))
        values = {}
        for spec, part in zip(self.specs, parts, strict=True):
            shape = (1, *spec.shape) if len(spec.shape) == 3 else spec.shape
            values[spec.name] = part if len(shape) == 1 else raw.Reshape(tensor=part, shape=list(shape))
        return values

    def arrays(self) -> list[np.ndarray]:
        """Return the weights in their order."""
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(self.variable.numpy(), ends) if self.sizes else []
        return [part.reshape(spec.shape) for part, spec in zip(parts, self.specs, strict=True)]

    def assign(self, weights: Sequence[np.ndarray]) -> None:
        """Set the variable from the weights of the whole network."""
        parts = [np.ravel(weights[index]) for index in self.indices]
        self.variable.assign(np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float32))
