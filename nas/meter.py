"""FileMeter: what a network's file costs on this device, expected from what was measured before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.architecture import Architecture
from nas.cost import cost
from nas.latency import LatencyOptions, measure, this_device
from nas.latency_model import LatencyModel, calibrate
from nas.space import SearchSpace

__all__ = ["FileMeter"]

STARTING_NETWORKS = 16
"""Networks of the space measured before a search on a device that was never calibrated."""

REFIT_EVERY = 8
"""New measurements after which the latency model is fitted again."""


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
        self._sizes: list[tuple[float, float, float]] = []  # params, layers, bytes
        self._since_fit = 0
        saved = LatencyModel.load(device)
        if saved is None:
            if progress:
                progress(f"measuring {STARTING_NETWORKS} networks to learn how fast this device is ...")
            saved = calibrate(space, STARTING_NETWORKS, options)
        self._model = saved

    def expect(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Give the measured costs with no error where there are some, else the expected with theirs."""
        if architecture.id in self._measured:
            return self._measured[architecture.id], 0.0
        latency_ms, error = self._model.predict(architecture)
        return {"latency_ms": latency_ms, "size_bytes": self._expected_bytes(architecture)}, error

    def _expected_bytes(self, architecture: Architecture) -> float:
        params, layers = cost(architecture).params, len(architecture.layers)
        each = {"float32": 4.0, "float16": 2.0}.get(self._options.precision, 1.0)
        if len(self._sizes) < 8:
            return each * params
        known = np.array(self._sizes)
        columns = np.column_stack([known[:, 1], np.ones(len(known))])
        weights, *_ = np.linalg.lstsq(columns, known[:, 2] - each * known[:, 0], rcond=None)
        return float(each * params + max(0.0, weights @ [layers, 1.0]))

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
            self._sizes.append((cost(architecture).params, len(architecture.layers), found.size_bytes))
            self._model.add(architecture, found.p50_ms)
            self._since_fit += 1
            if self._since_fit >= REFIT_EVERY:
                self._model.fit()
                self._since_fit = 0
        return self._measured[architecture.id]
