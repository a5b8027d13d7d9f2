"""Candidate: what is known of a setting before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """What is known of a setting before training."""

    id: str  # equal ids are equal designs
    costs: Mapping[str, float]  # by the name of the objective or limit: params, flops, latency_ms
    features: Mapping[str, float] = field(default_factory=dict)  # for example counts of operations
