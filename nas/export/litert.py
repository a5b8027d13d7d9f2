"""A network as a LiteRT file (`.tflite`), at one of four precisions.

The files are those of `nas.backends`, as are the files whose latency `nas.device` measures: the exported file
is the measured file, with a signature in its metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.backends import (
    PRECISIONS,
    Precision,
    initial_weights,
    trained_litert_bytes,
    weight_specs,
)
from nas.data import Signature
from nas.errors import InputError, nearest
from nas.export.keras_file import check_weights
from nas.export.signature_metadata import add_to_litert
from nas.files import output_file

__all__ = ["LitertOptions", "export_litert"]


@dataclass(frozen=True)
class LitertOptions:
    """How a LiteRT file computes.

    `float16` and `dynamic_int8` compress the weights only; `int8` also computes in integers and needs
    `calibration` (images, *input_shape): training images, scaled as the network takes them.
    """

    precision: Precision = "float32"
    calibration: np.ndarray | None = None
    integer_io: bool = False  # int8 tensors at input and output, for precision int8


def export_litert(
    architecture: Architecture,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    options: LitertOptions = LitertOptions(),
    signature: Signature | None = None,
) -> Path:
    """Write a `.tflite` file with batch size 1; with initial weights if `weights` is None.

    Input (1, *input_shape) and output are float32 at every precision, unless `integer_io` is set; the input
    has pixels from 0 to 255 if the architecture rescales. Raises InputError for an unknown precision, missing
    or unfit calibration images, unfit weights or a file that can't be written, and ConversionError if LiteRT
    can't convert the network.
    """
    specs = weight_specs(architecture.layers)
    values = list(initial_weights(specs, seed=0) if weights is None else weights)
    check_weights([spec.shape for spec in specs], values, architecture)
    _check(architecture, options)
    content = trained_litert_bytes(
        architecture, values, options.precision, options.calibration, options.integer_io
    )
    if signature is not None:
        content = add_to_litert(content, signature)
    with output_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _check(architecture: Architecture, options: LitertOptions) -> None:
    precision, images = options.precision, options.calibration
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; {nearest(precision, PRECISIONS)}")
    if options.integer_io and precision != "int8":
        raise InputError(
            f"integers at input and output need precision int8, got {precision}; add --precision int8"
        )
    if precision != "int8":
        return
    if options.integer_io and architecture.task == "regression":
        raise InputError(
            "numbers are computed from the output of an int8 file in float32, so that regression has no "
            "integers at the output; omit --integer-io"
        )
    if images is None or not len(images):
        raise InputError(
            "precision int8 needs calibration images, got none; pass training images, or use dynamic_int8"
        )
    if images.shape[1:] != tuple(architecture.input_shape):
        raise InputError(
            f"calibration images must have the input's shape {tuple(architecture.input_shape)}, got "
            f"{images.shape[1:]}; pass training images as the network takes them"
        )
