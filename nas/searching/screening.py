"""What is known of a candidate before training, and which limit it exceeds.

Costs are checked in order of price: costs counted from the architecture (microseconds), costs predicted by
the latency model (a millisecond), costs measured on the untrained network's file (a second).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.architecture import BIASED_KINDS, Architecture, Design, describe_paths, network_cost
from nas.errors import ConversionError, LimitError
from nas.space import SearchSpace, Setting, find_extreme
from nas.trials import Candidate, Limit, Objective

__all__ = ["MEASURED", "Meter", "Screen", "Screened", "counted_costs"]

MEASURED = ("latency_ms", "size_bytes")
"""Costs that are measured on the network's file; all others are counted from the architecture."""

MAX_ERROR = 0.9
"""Relative errors of predictions are clipped to this, so that an optimistic value stays over 0."""

CACHED_DESIGNS = 500
"""Number of designs that a screen caches: an engine often proposes what it has just asked about."""


class Meter(Protocol):
    """Predicts and measures the costs of a network's file."""

    def predict(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Return the predicted costs by name, and the relative error of the latency."""
        ...

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write and time the file; raises ConversionError if the runtime refuses it."""
        ...


@dataclass(frozen=True)
class Screened:
    """A setting, the design that it builds, its known costs, and why it is not trained, if so."""

    setting: Setting
    design: Design
    values: Mapping[str, float]
    reason: str = ""
    failed: bool = False  # the runtime refused the file: no limit is the reason


class Screen:
    """Checks settings of a space against limits, and caches their designs."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        meter: Meter | None = None,
    ) -> None:
        self.space, self.limits = space, tuple(limits)
        needed = {objective.name for objective in objectives} | {limit.name for limit in limits}
        self._meter = meter if needed & set(MEASURED) else None
        self._designs: dict[str, tuple[Design, dict[str, float]]] = {}

    @property
    def must_measure(self) -> bool:
        """Whether a measured cost has a limit, so that a candidate is measured before it is trained."""
        return self._meter is not None and any(limit.name in MEASURED for limit in self.limits)

    def describe(self, setting: Setting) -> Candidate:
        """Return the key of a setting's design, its counted and predicted costs, and its features.

        Features are counts of operations and statistics of the paths from input to output.
        """
        design, counted = self._counted(setting)
        predicted = self._meter.predict(design.architecture)[0] if self._meter else {}
        layers = design.architecture.layers
        kinds = {str(kind): float(count) for kind, count in Counter(layer.kind for layer in layers).items()}
        paths = describe_paths(
            [layer.inputs for layer in layers], [int(layer.kind in BIASED_KINDS) for layer in layers]
        )
        return Candidate(design.key, {**counted, **predicted}, {**kinds, **paths.features})

    def screen(self, setting: Setting) -> Screened:
        """Check counted costs, then predicted costs minus their error, against the limits."""
        design, values = self._counted(setting)
        reason = self._exceeded(values)
        if not reason and self._meter:
            predicted, error = self._meter.predict(design.architecture)
            reason = self._exceeded({name: _optimistic(value, error) for name, value in predicted.items()})
            if reason:
                values, reason = {**values, **predicted}, f"predicted: {reason}"
        return Screened(setting, design, values, reason)

    def measure(self, screened: Screened) -> Screened:
        """Measure a candidate's file, if an objective or limit needs it, and check the limits again."""
        if not self._meter or screened.reason:
            return screened
        try:
            measured = self._meter.measure(screened.design.architecture)
        except ConversionError as error:
            return Screened(screened.setting, screened.design, screened.values, str(error), failed=True)
        values = {**screened.values, **measured}
        return Screened(screened.setting, screened.design, values, self._exceeded(values))

    def check_limits(self) -> None:
        """Raise LimitError, with the least value in the space, if a limit excludes the whole space."""
        for limit in self.limits:
            _, least = find_extreme(self.space, self.cost_reader(limit.name), greatest=False)
            if least > limit.maximum:
                raise LimitError(
                    f"{limit.name} must be at most {limit.maximum:,g}, but the least value in the space "
                    f"{self.space.name} is about {least:,.4g}; raise the limit or open smaller values"
                )

    def cost_reader(self, name: str) -> Callable[[Design], float]:
        """Return a function that returns a cost of a design: counted, or predicted minus its error."""

        def read(design: Design) -> float:
            if self._meter and name in MEASURED:
                predicted, error = self._meter.predict(design.architecture)
                return _optimistic(predicted[name], error)
            return counted_costs(design.architecture)[name]

        return read

    def _counted(self, setting: Setting) -> tuple[Design, dict[str, float]]:
        key = json.dumps(setting, sort_keys=True)
        if key not in self._designs:
            if len(self._designs) >= CACHED_DESIGNS:
                self._designs.clear()
            design = self.space.design(setting)
            self._designs[key] = design, counted_costs(design.architecture)
        return self._designs[key]

    def _exceeded(self, values: Mapping[str, float]) -> str:
        exceeded = [limit for limit in self.limits if limit.excess(values) > 0]
        return "; ".join(
            f"{limit.name} is {values[limit.name]:,.4g}, over the limit {limit.maximum:,g}"
            for limit in exceeded
        )


def _optimistic(value: float, error: float) -> float:
    """Return the lower end of a prediction."""
    return value * (1 - min(error, MAX_ERROR))


def counted_costs(architecture: Architecture) -> dict[str, float]:
    """Return the costs that are counted from the architecture, by name."""
    counted = network_cost(architecture)
    return {
        "params": counted.params,
        "trainable_params": counted.trainable_params,
        "flops": counted.flops,
        "peak_bytes": counted.peak_bytes,
    }
