"""What steers a search whose decisions must not depend on time: values that are computed, not timed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nas.architecture import Architecture
from nas.device import reference_latency_ms
from nas.engines import Engine
from nas.searching.screening import Meter
from nas.space import Setting
from nas.trials import Trial

__all__ = ["LAG", "ReferenceMeter", "SteeredEngine", "UntimedTrials"]

LAG = 8
"""Jobs that are submitted before the result of the first of them counts; so many workers can be busy."""

SIZE_ERROR = 0.1
"""Relative error of predictions for a limit on the size of the file."""

FLOPS_PER_SECOND = 1e9
"""Converts FLOPs to the seconds that take the place of measured ones; only their ratios count."""


def untimed(trial: Trial) -> Trial:
    """Return a trial as it steers: latency and seconds are computed from its architecture."""
    if trial.architecture is None:
        return trial
    values = dict(trial.values)
    if "latency_ms" in values:
        values["latency_ms"] = reference_latency_ms(trial.architecture)
    seconds = trial.epochs * values.get("flops", 0.0) / FLOPS_PER_SECOND
    return replace(trial, values=values, seconds={"train": seconds} if seconds else {})


class ReferenceMeter:
    """Measures latency and size as another meter does, and predicts the latency of the reference."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def predict(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Return the costs by name, and their relative error."""
        costs, _ = self._meter.predict(architecture)
        return {**costs, "latency_ms": reference_latency_ms(architecture)}, SIZE_ERROR

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write and time the file; raises ConversionError if the runtime refuses it."""
        return self._meter.measure(architecture)


class UntimedTrials:
    """Converts trials by `untimed`, each state of a trial once."""

    def __init__(self) -> None:
        self._converted: dict[int, tuple[Trial, Trial]] = {}  # by number

    def __call__(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials as they steer."""
        return [self._convert(trial) for trial in trials]

    def _convert(self, trial: Trial) -> Trial:
        known = self._converted.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._converted[trial.number] = trial, untimed(trial)
        return known[1]


class SteeredEngine:
    """An engine that observes trials as they steer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self) -> Setting:
        """Propose a setting."""
        return self._engine.ask()

    def tell(self, trial: Trial) -> None:
        """Observe a trial that has ended."""
        self._engine.tell(untimed(trial))

    def flatness(self) -> float | None:
        """Return the share of the front's hypervolume that one more trial is expected to add."""
        return self._engine.flatness()
