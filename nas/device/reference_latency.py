"""The latency of a network on a reference processor: computed, so that it is the same in every run.

A measured latency differs from run to run by some percent, and with it every decision that depends on it. The
coefficients are those of a non-negative least-squares fit to 84 networks of five shipped spaces, timed with
LiteRT on one core of a server; `benchmarks/deterministic.py` measures how well networks are ranked.
"""

from __future__ import annotations

from nas.architecture import Architecture
from nas.backends import lower_to_operators

__all__ = ["reference_latency_ms"]

OPERATOR_MS = 5e-5
"""Time of each operator, whatever its size."""

MULTIPLY_ADD_MS = {"pointwise": 8e-9, "dense": 8e-9, "conv": 2.3e-8, "transposed": 2.3e-8, "depthwise": 1e-7}
"""Time of a multiply-add, with output channels rounded up to the width of a vector."""

WEIGHT_MS = {"pointwise": 4e-8, "dense": 4e-8, "conv": 5e-8, "transposed": 5e-8}
"""Time to read a weight."""

VALUE_MS = {"max_pool": 3.5e-7, "average_pool": 3.5e-7, "sigmoid": 3.5e-7}
OTHER_VALUE_MS = 2e-7
"""Time to read a value of other operators."""

VECTOR = 8


def reference_latency_ms(architecture: Architecture) -> float:
    """Return the latency of a network in milliseconds for one example, float32."""
    total = 0.0
    for kind, pixels, inputs, outputs, window, elements in lower_to_operators(architecture.layers):
        total += OPERATOR_MS
        if kind in MULTIPLY_ADD_MS:
            multiply_adds = pixels * inputs * window * (-(-outputs // VECTOR) * VECTOR)
            total += multiply_adds * MULTIPLY_ADD_MS[kind]
            total += inputs * window * outputs * WEIGHT_MS.get(kind, 0.0)
        else:
            total += elements * VALUE_MS.get(kind, OTHER_VALUE_MS)
    return total
