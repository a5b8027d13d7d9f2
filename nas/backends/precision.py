"""The number formats of weights in a model file."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PRECISIONS", "FloatPrecision", "Precision"]

FloatPrecision = Literal["float32", "float16", "dynamic_int8"]
"""Formats of a file that computes in float32."""

Precision = Literal[FloatPrecision, "int8"]
"""`int8` also computes in integers and needs images for calibration."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
