"""Values of trials as text, with their units."""

from __future__ import annotations

import re

from nas.trials.trial import OBJECTIVES

__all__ = ["label", "number", "with_error"]

SHARES = {
    "share", "precision", "recall", "f1", "average_precision",
    *(objective.name for objective in OBJECTIVES.values() if objective.maximize),
}  # fmt: skip
"""Names of the values that are shown in percent."""


def number(name: str, value: float | None) -> str:
    """Format a value with the unit that its name implies: 97.2%, 12,345, 1.23 M, 0.123 ms, 45.6 kB."""
    if value is None:
        return "-"
    if re.sub("^(float_)?((val|test|confirmed)_)?|_(se|std)$", "", name) in SHARES:
        return f"{value:.1%}"
    if name.endswith("_ms"):
        return f"{value:.3g} ms"
    if name.endswith("bytes"):
        return f"{value / 1000:,.1f} kB"
    if name == "flops":
        return f"{value / 1e6:,.2f} M"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def label(name: str) -> str:
    """Return the name of a value as an option takes it: latency for latency_ms, loss for val_loss."""
    return name.removesuffix("_ms").removesuffix("_bytes").removeprefix("val_")


def with_error(name: str, value: float | None, error: float | None) -> str:
    """Format a quality with its standard error: 97.2% ± 0.6."""
    shown = number(name, value)
    return shown if error is None else f"{shown} ± {number(name, error).removesuffix('%')}"
