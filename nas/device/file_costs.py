"""Measure or predict what the model file of a network costs: latency and file size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nas.architecture import Architecture, network_cost
from nas.device.kept_latencies import KeptLatency, initial_latencies
from nas.device.latency import Latency, LatencyOptions, local_device, measure_architecture
from nas.device.latency_model import LatencyModel, default_path, sample_across_costs
from nas.space import SearchSpace

__all__ = ["FileCostMeter"]

INITIAL_NETWORKS = 16
"""Networks of the space to measure before a search on a device that was never calibrated."""

INITIAL_SECONDS = 0.1
"""Time to measure each of them; short, because the latency model takes the noise of each into account."""

REFIT_INTERVAL = 8
"""Number of new measurements after which the latency model is fitted again."""

MIN_FILES = 4
"""Number of measured files from which the size of a file without its weights is fitted."""

WEIGHT_BYTES = {"float32": 4.0, "float16": 2.0}
"""Bytes of a weight in the file; 1 for the other precisions."""


class FileCostMeter:
    """Measure and predict latency and file size; each measurement improves the predictions.

    Predictions start from the saved calibration of the device (`nas calibrate`); without one, some networks
    of the space are measured first. `calibration`: training images for precision int8.
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
        self._measured: dict[str, dict[str, float]] = {}  # costs by the id of the architecture
        self._files: list[tuple[float, float, float, float]] = []  # params, layers, bytes, ms per FLOP
        self._weight_bytes = WEIGHT_BYTES.get(options.precision, 1.0)
        self._overhead_bytes: tuple[float, ...] = (0.0, 0.0)  # per layer, and per file
        self._measured_since_fit = 0
        saved = default_path(device)
        self._model = LatencyModel.load(saved) if saved.exists() else LatencyModel(device)
        if not self._model.is_fitted:
            quick = replace(options, budget_seconds=INITIAL_SECONDS)
            networks = sample_across_costs(space, INITIAL_NETWORKS, np.random.default_rng(0))
            for architecture, latency in initial_latencies(
                networks, device, lambda one: measure_architecture(one, quick, calibration), progress
            ):
                self._learn(architecture, latency)

    def predict(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Return the costs by name, and the relative error of the latency.

        Returns the measured costs and an error of 0 if the architecture was measured.
        """
        if architecture.id in self._measured:
            return self._measured[architecture.id], 0.0
        counted = network_cost(architecture)
        latency_ms, error = 1e-6 * counted.flops, 1.0
        if self._model.is_fitted:
            latency_ms, error = self._model.predict(architecture)
        elif self._files:
            latency_ms = counted.flops * float(np.median([file[3] for file in self._files]))
        per_layer, per_file = self._overhead_bytes
        overhead_bytes = max(0.0, per_layer * len(architecture.layers) + per_file)
        size_bytes = self._weight_bytes * counted.params + overhead_bytes
        return {"latency_ms": latency_ms, "size_bytes": size_bytes}, error

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write the file of the untrained network and measure it; raises ConversionError."""
        if architecture.id not in self._measured:
            latency = measure_architecture(architecture, self._options, self._calibration)
            self._measured[architecture.id] = {
                "latency_ms": latency.p50_ms,
                "latency_p95_ms": latency.p95_ms,
                "latency_cv": latency.cv,
                "size_bytes": float(latency.size_bytes),
            }
            self._learn(architecture, latency)
        return self._measured[architecture.id]

    def _learn(self, architecture: Architecture, latency: Latency | KeptLatency) -> None:
        """Update the predictions with one measurement."""
        counted = network_cost(architecture)
        ms_per_flop = latency.p50_ms / max(1, counted.flops)
        self._files.append((counted.params, len(architecture.layers), latency.size_bytes, ms_per_flop))
        if len(self._files) >= MIN_FILES:
            params, layers, size_bytes, _ = np.array(self._files).T
            columns = np.column_stack([layers, np.ones(len(layers))])
            overhead_bytes = size_bytes - self._weight_bytes * params
            self._overhead_bytes = tuple(np.linalg.lstsq(columns, overhead_bytes, rcond=None)[0].tolist())
        self._model.add(architecture, latency.p50_ms, latency.cv)
        self._measured_since_fit += 1
        if self._measured_since_fit >= REFIT_INTERVAL and len(self._model) >= INITIAL_NETWORKS:
            self._model.fit()
            self._measured_since_fit = 0
