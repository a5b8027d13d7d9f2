"""FileMeter: what a network's file costs on this device, expected from what was measured before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nas.architecture import Architecture, network_cost
from nas.device.latency import Latency, LatencyOptions, local_device, measure_architecture
from nas.device.latency_model import LatencyModel, default_path, sample_across_costs
from nas.errors import ConversionError
from nas.space import SearchSpace

__all__ = ["FileCostMeter"]

STARTING_NETWORKS = 16
"""Networks of the space measured before a search on a device that was never calibrated."""

STARTING_SECONDS = 0.1
"""Timing of each of them: they only teach the model, which knows how noisy each figure is."""

REFIT_EVERY = 8
"""New measurements after which the latency model is fitted again."""

BYTES_EACH = {"float32": 4.0, "float16": 2.0}
"""Of a weight in the file; 1 for the other precisions."""


class FileCostMeter:
    """Expects and measures latency and file size; every measurement makes the expectations better.

    The expectation starts from the device's saved calibration (`nas calibrate`), or where there is none
    from a few networks of the space, measured at once. `calibration` are training images for int8.
    """

    def __init__(
        self,
        space: SearchSpace,
        options: LatencyOptions,
        calibration: np.ndarray | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._options, self._calibration = options, calibration
        device = local_device(options)
        self.device = device.fingerprint
        self._measured: dict[str, dict[str, float]] = {}
        self._known: list[tuple[float, float, float, float]] = []  # params, layers, bytes, ms a FLOP
        self._bytes_each = BYTES_EACH.get(options.precision, 1.0)
        self._besides: tuple[float, ...] = (0.0, 0.0)  # bytes of a file for each layer, and of any file
        self._since_fit = 0
        saved = default_path(device)
        self._model = LatencyModel.load(saved) if saved.exists() else LatencyModel(device)
        if not self._model.ready:
            if progress:
                progress(f"measuring {STARTING_NETWORKS} networks to learn how fast this device is ...")
            quick = replace(options, budget_seconds=STARTING_SECONDS)
            for architecture in sample_across_costs(space, STARTING_NETWORKS, np.random.default_rng(0)):
                with contextlib.suppress(ConversionError):  # a refused one is recorded when it is proposed
                    self._learn(architecture, measure_architecture(architecture, quick, calibration))

    def predict(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Give the measured costs with no error where there are some, else the expected with theirs."""
        if architecture.id in self._measured:
            return self._measured[architecture.id], 0.0
        counted = network_cost(architecture)
        latency_ms, error = 1e-6 * counted.flops, 1.0
        if self._model.ready:
            latency_ms, error = self._model.predict(architecture)
        elif self._known:
            latency_ms = counted.flops * float(np.median([known[3] for known in self._known]))
        each, same = self._besides
        besides = max(0.0, each * len(architecture.layers) + same)
        return {"latency_ms": latency_ms, "size_bytes": self._bytes_each * counted.params + besides}, error

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write and time the file of the untrained network; raises ConversionError."""
        if architecture.id not in self._measured:
            found = measure_architecture(architecture, self._options, self._calibration)
            self._measured[architecture.id] = {
                "latency_ms": found.p50_ms,
                "latency_p95_ms": found.p95_ms,
                "latency_cv": found.cv,
                "size_bytes": float(found.size_bytes),
            }
            self._learn(architecture, found)
        return self._measured[architecture.id]

    def _learn(self, architecture: Architecture, found: Latency) -> None:
        """Make the expectations better by one measurement."""
        counted = network_cost(architecture)
        speed = found.p50_ms / max(1, counted.flops)
        self._known.append((counted.params, len(architecture.layers), found.size_bytes, speed))
        known = np.array(self._known)
        if len(known) >= 4:
            rest = known[:, 2] - self._bytes_each * known[:, 0]
            columns = np.column_stack([known[:, 1], np.ones(len(known))])
            self._besides = tuple(np.linalg.lstsq(columns, rest, rcond=None)[0].tolist())
        self._model.add(architecture, found.p50_ms, found.cv)
        self._since_fit += 1
        if self._since_fit >= REFIT_EVERY and len(self._model) >= STARTING_NETWORKS:
            self._model.fit()
            self._since_fit = 0
