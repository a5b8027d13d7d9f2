"""The number formats in which a model file may hold its weights."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PRECISIONS", "Precision"]

Precision = Literal["float32", "float16", "dynamic_int8", "int8"]
"""int8 also computes in integers and needs images for calibration; the others compute in float32."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
