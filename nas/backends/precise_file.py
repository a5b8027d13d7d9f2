"""A network with its weights as a LiteRT file at one of four precisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.architecture import Architecture
from nas.backends.int8_file import int8_bytes
from nas.backends.litert_file import litert_bytes
from nas.backends.precision import Precision
from nas.backends.weights import weight_specs

__all__ = ["trained_litert_bytes"]


def trained_litert_bytes(
    architecture: Architecture,
    weights: Sequence[np.ndarray],
    precision: Precision = "float32",
    calibration: np.ndarray | None = None,
    integer_io: bool = False,
) -> bytes:
    """Return a network as a LiteRT file with batch size 1.

    `weights` have the order of Keras' `model.weights`. Precision int8 needs `calibration`, training images as
    the network takes them; see `int8_bytes`. Raises ConversionError if LiteRT can't convert the network.
    """
    if precision == "int8":
        assert calibration is not None
        return int8_bytes(architecture, weights, calibration, integer_io)
    by_layer: dict[str, list[np.ndarray]] = {}
    for spec, value in zip(weight_specs(architecture.layers), weights, strict=True):
        by_layer.setdefault(spec.name.split("/")[0], []).append(value)
    return litert_bytes(architecture, by_layer, precision)
