"""A device whose latencies follow a known rule, so that tests of predictions do not depend on the clock."""

from __future__ import annotations

import numpy as np

from nas.architecture import Architecture
from nas.backends import litert_bytes, lower_to_operators
from nas.device import Latency, LatencyOptions
from nas.device.latency import local_device

__all__ = ["latency_ms", "measure_architecture"]


def latency_ms(architecture: Architecture) -> float:
    """Return milliseconds that depend on each operator's kind, size and tiles of 16 channels."""
    speed = {"depthwise": 4.0, "conv": 60.0, "pointwise": 40.0}
    microseconds = 1.0
    for operator in lower_to_operators(architecture.layers):
        tiles = -(-operator.outputs // 16) * 16
        work = operator.pixels * operator.inputs * operator.window * tiles
        small_map_factor = 1 + 0.3 * np.exp(-operator.pixels / 64)  # small maps are slower than in proportion
        microseconds += 0.1 + small_map_factor * work / (1e3 * speed.get(operator.kind, 0.8))
    return microseconds / 1e3


def measure_architecture(
    architecture: Architecture, options: LatencyOptions | None = None, calibration: object = None
) -> Latency:
    """Stand in for `nas.device.measure_architecture`: a real file size, a latency by the rule."""
    options = options or LatencyOptions()
    p50_ms = latency_ms(architecture)
    size_bytes = len(litert_bytes(architecture, None, options.precision))
    return Latency(p50_ms, 1.2 * p50_ms, 0.01, 100, size_bytes, None, local_device(options))
