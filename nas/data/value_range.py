"""Find out from the values of arrays how they are to be fed to a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.data.source import Array
from nas.errors import DataError

__all__ = ["ValueScaling", "find_scaling"]

CHUNK_BYTES = 1 << 24  # read at once
BYTE = 255.0
FEW_LEVELS = 31.0  # greatest value up to which values are fed as they are
STANDARDIZED = 30.0  # greatest magnitude of values with a sign that are fed as they are
SAME_SCALE = 20.0  # greatest ratio of the magnitudes of two splits
OTHER_TYPE_SCALE = 4.0  # from here on, splits of different types or bit depths are refused
OTHER_SCALE = 2.0  # from here on, splits are doubtful
MIXED_SCALE = 16.0  # ratio of the magnitudes of two groups of images: 12 bits and 8 bits
MIXED_SHARE = 0.05  # of images, from which on those of the smaller scale are no mere dark images

Range = tuple[float, float]


@dataclass(frozen=True)
class ValueScaling:
    """How values become inputs."""

    dtype: np.dtype[Any]  # uint8 or float32
    rescale: bool  # the network divides by 255
    value_range: Range
    """Values that become 0 and 255 if the network rescales; else the least and greatest value."""
    note: str
    warnings: tuple[str, ...] = ()

    def apply(self, x: Array) -> Array:
        """Convert examples to inputs."""
        if not self.rescale or self.value_range == (0.0, BYTE):
            return x.astype(self.dtype, copy=False)
        low, high = self.value_range
        return ((x - np.float64(low)) * (BYTE / (high - low))).astype(np.float32)


def find_scaling(inputs: Mapping[str, Array], is_resized: bool) -> ValueScaling:
    """Infer the scaling from the values of all splits, given by the name of their array.

    Values 0..1 and those with a sign up to 30 are fed as they are; values up to 255 are divided by 255 by the
    network; others are mapped linearly to 0..255 first, as float32, so that nothing is lost. Raises DataError
    for values that are no finite numbers, and for splits with different ranges.
    """
    ranges, warnings = {}, []
    for key, x in inputs.items():
        ranges[key], maxima = _find_range(x, key)
        if ranges[key][0] >= 0 and x.ndim == 4:
            warnings += _find_mixture(maxima, key)
    types = {key: "floating-point" if x.dtype.kind == "f" else x.dtype.name for key, x in inputs.items()}
    warnings += _compare_ranges(ranges, types)
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    is_integer = all(x.dtype.kind in "iub" for x in inputs.values())
    shown = f"{low:.6g}..{high:.6g}"
    kind = "integers" if is_integer else "floating-point numbers"
    magnitude = max(-low, high)
    as_is = magnitude <= (STANDARDIZED if low < 0 else FEW_LEVELS)
    if low == high:
        warnings.append(f"All values of the examples are {low:g}: there is nothing to learn from.")
    if as_is:
        if low >= 0 and high > 1:
            warnings.append(
                f"The values are {shown}, neither 0..1 nor 0..255, and are fed as they are: divide them by "
                "the greatest possible value if that is another one."
            )
        fits = is_integer and low >= 0 and not is_resized  # resized, 0 and 1 have values between
        dtype = np.dtype(np.uint8 if fits else np.float32)
        return ValueScaling(
            dtype, False, (low, high), f"Values {shown} ({kind}) are fed as they are.", tuple(warnings)
        )
    if low >= 0 and high <= BYTE:
        dtype = np.dtype(np.uint8 if is_integer else np.float32)
        note = f"Values {shown} ({kind}) are taken as 0..255, which the network divides by 255."
        return ValueScaling(dtype, True, (0.0, BYTE), note, tuple(warnings))
    low = min(low, 0.0)
    if low < 0:
        warnings.append(
            f"The values are {shown}: they are mapped to 0..255; standardize them if their scale has another "
            "meaning."
        )
    note = (
        f"Values {shown} ({kind}) are mapped from {low:.6g}..{high:.6g} to 0..255, which the network "
        "divides by 255; an exported network needs the same."
    )
    return ValueScaling(np.dtype(np.float32), True, (low, high), note, tuple(warnings))


def _find_range(x: Array, key: str) -> tuple[Range, Array]:
    """Return the least and greatest value, and the greatest of each example (n,).

    Raises DataError unless all are finite in float32.
    """
    low, high, done = np.inf, -np.inf, 0
    maxima = []
    greatest = float(np.finfo(np.float32).max)
    for part in _parts(x):
        maxima.append(part.max(axis=tuple(range(1, part.ndim))))
        least, most = float(part.min()), float(maxima[-1].max())
        if not (-greatest <= least and most <= greatest):  # also false for NaN
            with np.errstate(invalid="ignore"):
                finite = (np.abs(part.astype(np.float64)) <= greatest).reshape(len(part), -1).all(axis=1)
            raise DataError(
                f"{key} must be finite, got NaN, infinity or more than float32 holds in example "
                f"{done + int(np.argmin(finite))}; replace such values with np.nan_to_num(x)"
            )
        low, high, done = min(low, least), max(high, most), done + len(part)
    return (low, high), np.concatenate(maxima).astype(np.float64)


def _find_mixture(maxima: Array, key: str) -> list[str]:
    """Return a doubt about images of one split that are in 0..1, or 8 bits, among others of a larger scale.

    maxima: the greatest value of each image (n,).
    """
    maxima = maxima[maxima > 0]  # black images are of any scale
    for limit in (1.0, BYTE):
        is_small = maxima <= limit
        if is_small.all() or is_small.mean() < MIXED_SHARE:
            continue
        small, large = maxima[is_small], maxima[~is_small]
        if np.median(large) >= MIXED_SCALE * np.median(small):
            return [
                f"The images of {key} have different scales: {len(small):,} have values up to "
                f"{small.max():g} and {len(large):,} up to {large.max():g}; scale all in the same way."
            ]
    return []


def _parts(x: Array) -> Iterator[Array]:
    step = max(1, CHUNK_BYTES * len(x) // max(1, x.nbytes))
    return (x[start : start + step] for start in range(0, len(x), step))


def _compare_ranges(ranges: Mapping[str, Range], types: Mapping[str, str]) -> list[str]:
    """Return doubts about splits with different ranges; raises DataError if one scale cannot fit them."""
    doubts: list[str] = []
    first, (first_low, first_high) = next(iter(ranges.items()))
    for key, (low, high) in ranges.items():
        smaller, larger = sorted((max(-first_low, first_high), max(-low, high)))
        is_other_type = types[first] != types[key]
        if min(first_low, low) >= 0:  # 255 has no meaning for values with a sign
            is_other_type |= smaller <= BYTE < larger
        if larger > SAME_SCALE * smaller or (is_other_type and larger >= OTHER_TYPE_SCALE * smaller > 0):
            raise DataError(
                f"all splits must have values of one range, got {first_low:g}..{first_high:g} in {first} and "
                f"{low:g}..{high:g} in {key}; scale both in the same way"
            )
        is_other_scale = larger >= OTHER_SCALE * smaller > 0
        if is_other_scale or (first_low < 0) != (low < 0) or (first_high <= 1) != (high <= 1):
            doubts.append(
                f"The ranges of splits differ: {first_low:g}..{first_high:g} in {first} and "
                f"{low:g}..{high:g} in {key}; scale both in the same way."
            )
    return doubts
