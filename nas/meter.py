"""FileMeter: what a network's file costs on this device, expected from what was measured before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from nas.architecture import Architecture
from nas.cost import cost
from nas.errors import ConversionError
from nas.latency import LatencyOptions, measure, this_device
from nas.latency_model import LatencyModel, default_path, spread
from nas.space import SearchSpace

__all__ = ["FileMeter"]

STARTING_NETWORKS = 16
"""Networks of the space measured before a search on a device that was never calibrated."""

REFIT_EVERY = 8
"""New measurements after which the latency model is fitted again."""

BYTES_EACH = {"float32": 4.0, "float16": 2.0}
"""Of a weight in the file; 1 for the other precisions."""


class FileMeter:
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
        device = this_device(options)
        self.device = device.fingerprint
        self._measured: dict[str, dict[str, float]] = {}
        self._known: list[tuple[float, float, float, float]] = []  # params, layers, bytes, ms a FLOP
        self._since_fit = 0
        saved = default_path(device)
        self._model = LatencyModel.load(saved) if saved.exists() else LatencyModel(device)
        if not self._model.ready:
            if progress:
                progress(f"measuring {STARTING_NETWORKS} networks to learn how fast this device is ...")
            for architecture in spread(space, STARTING_NETWORKS, np.random.default_rng(0)):
                with contextlib.suppress(
                    ConversionError
                ):  # one that is refused here is recorded when proposed
                    self.measure(architecture)

    def expect(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Give the measured costs with no error where there are some, else the expected with theirs."""
        if architecture.id in self._measured:
            return self._measured[architecture.id], 0.0
        counted = cost(architecture)
        latency_ms, error = 1e-6 * counted.flops, 1.0
        if self._model.ready:
            latency_ms, error = self._model.predict(architecture)
        elif self._known:
            latency_ms = counted.flops * float(np.median([known[3] for known in self._known]))
        size = self._expected_bytes(counted.params, len(architecture.layers))
        return {"latency_ms": latency_ms, "size_bytes": size}, error

    def _expected_bytes(self, params: int, layers: int) -> float:
        """Expect a file's size: its weights, and for each layer what such files needed so far."""
        weights = BYTES_EACH.get(self._options.precision, 1.0) * params
        if len(self._known) < 4:
            return weights
        known = np.array(self._known)
        rest = known[:, 2] - BYTES_EACH.get(self._options.precision, 1.0) * known[:, 0]
        slope, *_ = np.linalg.lstsq(np.column_stack([known[:, 1], np.ones(len(known))]), rest, rcond=None)
        return weights + max(0.0, float(slope @ [layers, 1.0]))

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write and time the file of the untrained network; raises ConversionError."""
        if architecture.id not in self._measured:
            found = measure(architecture, self._options, self._calibration)
            self._measured[architecture.id] = {
                "latency_ms": found.p50_ms,
                "latency_p95_ms": found.p95_ms,
                "latency_cv": found.cv,
                "size_bytes": float(found.size_bytes),
            }
            counted = cost(architecture)
            self._known.append(
                (
                    counted.params,
                    len(architecture.layers),
                    found.size_bytes,
                    found.p50_ms / max(1, counted.flops),
                )
            )
            self._model.add(architecture, found.p50_ms, found.cv)
            self._since_fit += 1
            if self._since_fit >= REFIT_EVERY and len(self._model) >= STARTING_NETWORKS:
                self._model.fit()
                self._since_fit = 0
        return self._measured[architecture.id]
