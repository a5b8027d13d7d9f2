"""Compare an exported file, in its own runtime, with the network that was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nas.errors import ConversionError

__all__ = ["FileCheck", "compare_outputs", "file_bytes"]

TOLERANCES: Mapping[str, float] = {"float32": 1e-3, "float16": 0.05}
"""Greatest difference of a probability, by precision; of numbers, in their standard deviations.

On trained networks files of float32 differ by some 1e-6, those of float16 by up to 5e-3: a file that differs
by many times as much was converted wrongly. Integers have no bound: their quality counts.
"""

ROUNDING = 1e-3
"""Share of the greatest magnitude of numbers that is added to their standard deviation: float32 has 7 digits,
and numbers may be far from 0."""


@dataclass(frozen=True)
class FileCheck:
    """An exported file, compared with the network that was judged."""

    name: str  # of the file in `files`
    path: Path
    precision: str
    size_bytes: int  # of a SavedModel, the sum of its files; of Python source, with the weights
    images: int = 0  # real ones that were compared; 0: none were
    difference: float | None = None  # greatest of an output; None if nothing was compared
    agreement: float | None = None  # share of equal decisions; None for numbers
    values: Mapping[str, float] = field(default_factory=dict)  # qualities of the file on the validation split


def file_bytes(path: Path) -> int:
    """Return the bytes of a file with the weights beside Python source, or of all files in a folder."""
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    weights = path.with_suffix(".weights.h5")
    beside = weights.stat().st_size if path.suffix == ".py" and weights.exists() else 0
    return path.stat().st_size + beside


def compare_outputs(
    path: Path, precision: str, task: str, outputs: np.ndarray, expected: np.ndarray
) -> tuple[float, float | None]:
    """Return the greatest difference of two arrays of outputs, and the share of equal decisions.

    A decision is a class, for segmentation of a pixel, or whether a label applies; numbers have none. Raises
    ConversionError for a difference over the tolerance of the precision, or another shape.
    """
    if outputs.shape != expected.shape:
        raise ConversionError(
            f"'{path.name}' must have outputs of shape {expected.shape[1:]}, got {outputs.shape[1:]}; "
            "nothing was written: report this with the architecture"
        )
    distances = np.abs(outputs.astype(float) - expected)
    found = float(distances.max()) if np.isfinite(distances).all() else float("inf")
    unit = np.ones(expected.shape[-1])
    if task == "regression":
        unit = expected.std(axis=0, dtype=float) + ROUNDING * np.abs(expected).max(axis=0)
    allowed = TOLERANCES.get(precision)
    if allowed is not None and not bool((distances <= allowed * unit).all()):
        raise ConversionError(
            f"'{path.name}' must answer as the network that was judged, but an output differs by "
            f"{found:.3g}; nothing was written: report this with the architecture"
        )
    decisions = [_decisions(task, part) for part in (outputs, expected)]
    return found, None if task == "regression" else float(np.mean(decisions[0] == decisions[1]))


def _decisions(task: str, outputs: np.ndarray) -> np.ndarray:
    return outputs > 0.5 if task in ("binary", "multi_label") else outputs.argmax(axis=-1)
