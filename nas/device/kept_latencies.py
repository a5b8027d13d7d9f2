"""Latencies of the networks from which a search learns how fast a device is, kept for later searches.

The file in the user's cache folder holds for one device, one version of nas and any network: the latency, its
noise and the size of the file. Before kept latencies are used, two of them are measured again, because a
device may have become faster or slower.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.device.latency import Device, Latency
from nas.device.latency_model import cache_folder
from nas.errors import ConversionError
from nas.files import output_file

__all__ = ["KeptLatency", "initial_latencies"]

CHECKED = 2
"""Kept latencies that are measured again."""

TOLERANCE = 0.15
"""Relative difference of the measured from the kept latencies up to which those are used."""

MAX_KEPT = 500
"""Networks in a file, the latest."""


@dataclass(frozen=True)
class KeptLatency:
    """What a quick measurement of a network found."""

    p50_ms: float
    cv: float
    size_bytes: int


def initial_latencies(
    architectures: Sequence[Architecture],
    device: Device,
    measure: Callable[[Architecture], Latency],
    progress: Callable[[str], None] | None = None,
) -> list[tuple[Architecture, KeptLatency]]:
    """Return the latencies of networks on a device, kept ones where there are, and keep the others.

    Networks that the runtime refuses are left out. progress: receives a line about what is done.
    """
    tell = progress or (lambda _: None)
    path = cache_folder() / f"networks-{device.key}.json"
    kept = _load(path)
    known = [one for one in architectures if one.id in kept]
    fresh = _measured(known[:CHECKED], measure)
    if len(known) > CHECKED and len(fresh) == CHECKED and _agree(fresh, kept):
        tell(f"using the latencies of {len(known)} networks that were measured on this device before")
    else:
        known = []
    missing = [one for one in architectures if one not in known and one.id not in fresh]
    if missing:
        tell(f"measuring {len(missing)} networks to learn how fast this device is ...")
        fresh |= _measured(missing, measure)
    found = {**{one.id: kept[one.id] for one in known}, **fresh}
    if missing:
        _save(path, {**kept, **found})
    return [(one, found[one.id]) for one in architectures if one.id in found]


def _measured(
    architectures: Sequence[Architecture], measure: Callable[[Architecture], Latency]
) -> dict[str, KeptLatency]:
    found = {}
    for architecture in architectures:
        with contextlib.suppress(ConversionError):  # recorded when the search proposes the network
            latency = measure(architecture)
            found[architecture.id] = KeptLatency(latency.p50_ms, latency.cv, latency.size_bytes)
    return found


def _agree(fresh: Mapping[str, KeptLatency], kept: Mapping[str, KeptLatency]) -> bool:
    ratios = [kept[key].p50_ms / one.p50_ms for key, one in fresh.items()]
    return abs(float(np.log(np.mean(ratios)))) <= TOLERANCE


def _load(path: Path) -> dict[str, KeptLatency]:
    """Return the kept latencies by the id of the network, none from a file that is damaged or of another nas.

    They can be measured again, unlike a calibration, so that a damaged file is not an error.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nas"] != metadata.version("nas"):
            return {}
        return {
            key: KeptLatency(float(p50_ms), float(cv), int(size_bytes))
            for key, (p50_ms, cv, size_bytes) in content["networks"].items()
            if float(p50_ms) > 0
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(path: Path, kept: Mapping[str, KeptLatency]) -> None:
    latest = dict(list(kept.items())[-MAX_KEPT:])
    networks = {key: [one.p50_ms, one.cv, one.size_bytes] for key, one in latest.items()}
    with output_file(path) as unfinished:
        unfinished.write_text(
            json.dumps({"nas": metadata.version("nas"), "networks": networks}), encoding="utf-8"
        )
