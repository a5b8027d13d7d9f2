"""What is known of a candidate before any training, and which limit it is over.

Checked in order of price: what the architecture alone tells (microseconds), what the latency model
expects (a millisecond), what the untrained network's file measures (a second).
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
"""Costs that only the network's file tells; all others come from the architecture alone."""


class Meter(Protocol):
    """Tells what a network's file costs: expected before it is written, and measured."""

    def predict(self, architecture: Architecture) -> tuple[dict[str, float], float]:
        """Give the expected costs by name, and the relative error of the latency among them."""
        ...

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Write and time the file; raises ConversionError where a runtime refuses it."""
        ...


REMEMBERED = 500
"""Designs that a screen keeps: what an engine asks about, it may propose soon."""


@dataclass(frozen=True)
class Screened:
    """A setting, the design it stands for, its known costs, and why it is not trained (or nothing)."""

    setting: Setting
    design: Design
    values: Mapping[str, float]
    reason: str = ""
    failed: bool = False  # the reason is that a runtime refused it, not a limit


class Screen:
    """Screens settings of a space against limits, remembering what it has seen."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        meter: Meter | None = None,
    ) -> None:
        self.space, self.limits = space, tuple(limits)
        wanted = {objective.name for objective in objectives} | {limit.name for limit in limits}
        self._meter = meter if wanted & set(MEASURED) else None
        self._designs: dict[str, tuple[Design, dict[str, float]]] = {}

    @property
    def must_measure(self) -> bool:
        """Whether a measurement decides, by a limit, if a candidate is trained at all."""
        return self._meter is not None and any(limit.name in MEASURED for limit in self.limits)

    def describe(self, setting: Setting) -> Candidate:
        """Give a setting's identity, costs counted or expected, its operations and its paths."""
        design, counted = self._counted(setting)
        expected = self._meter.predict(design.architecture)[0] if self._meter else {}
        layers = design.architecture.layers
        kinds = {str(kind): float(count) for kind, count in Counter(layer.kind for layer in layers).items()}
        found = describe_paths(
            [layer.inputs for layer in layers], [int(layer.kind in BIASED_KINDS) for layer in layers]
        )
        return Candidate(design.key, {**counted, **expected}, {**kinds, **found.features})

    def screen(self, setting: Setting) -> Screened:
        """Check the limits by what is counted and, with its margin of error, by what is expected."""
        design, values = self._counted(setting)
        reason = self._over(values)
        if not reason and self._meter:
            expected, error = self._meter.predict(design.architecture)
            hopeful = {name: value * (1 - min(error, 0.9)) for name, value in expected.items()}
            reason = self._over(hopeful)
            if reason:
                values, reason = {**values, **expected}, f"expected to be {reason}"
        return Screened(setting, design, values, reason)

    def measure(self, screened: Screened) -> Screened:
        """Measure a candidate's file and check the limits by that, where that is asked for."""
        if not self._meter or screened.reason:
            return screened
        try:
            measured = self._meter.measure(screened.design.architecture)
        except ConversionError as error:
            return Screened(screened.setting, screened.design, screened.values, str(error), failed=True)
        values = {**screened.values, **measured}
        return Screened(screened.setting, screened.design, values, self._over(values))

    def check_limits(self) -> None:
        """Find limits that nothing in the space can meet; raises LimitError with the least value there is."""
        for limit in self.limits:
            _, least = find_extreme(self.space, self.reader(limit.name), greatest=False)
            if least > limit.maximum:
                raise LimitError(
                    f"{limit.name} must be at most {limit.maximum:,g}, but the least in the space "
                    f"{self.space.name} is about {least:,.4g}; allow that much or open smaller values"
                )

    def reader(self, name: str) -> Callable[[Design], float]:
        """Give the function that counts, or at the hopeful end of its error expects, a cost of a design."""

        def read(design: Design) -> float:
            if self._meter and name in MEASURED:
                expected, error = self._meter.predict(design.architecture)
                return expected[name] * (1 - min(error, 0.9))
            return counted_costs(design.architecture)[name]

        return read

    def _counted(self, setting: Setting) -> tuple[Design, dict[str, float]]:
        key = json.dumps(setting, sort_keys=True)
        if key not in self._designs:
            if len(self._designs) >= REMEMBERED:
                self._designs.clear()
            design = self.space.design(setting)
            self._designs[key] = design, counted_costs(design.architecture)
        return self._designs[key]

    def _over(self, values: Mapping[str, float]) -> str:
        over = [limit for limit in self.limits if limit.excess(values) > 0]
        return "; ".join(f"{limit.name} {values[limit.name]:,.4g} over {limit.maximum:,g}" for limit in over)


def counted_costs(architecture: Architecture) -> dict[str, float]:
    """Give the costs that the architecture alone tells, by name."""
    counted = network_cost(architecture)
    return {
        "params": counted.params,
        "trainable_params": counted.trainable_params,
        "flops": counted.flops,
        "peak_bytes": counted.peak_bytes,
    }
