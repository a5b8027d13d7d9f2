"""A network as a LiteRT file (`.tflite`), at one of four precisions.

All but int8 are written as `nas.device.latency` writes what it times, so that the file that ships is the file
that was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Architecture
from nas.backends import PRECISIONS, build_model, initial_weights, litert_bytes
from nas.backends import weight_specs as variables
from nas.errors import ConversionError, InputError, nearest
from nas.export.keras_file import check_weights, set_weights
from nas.files import output_file
from nas.quiet import silence_output

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_litert"]
"""float16: weights only; dynamic_int8: weights only; int8: weights and activations, by calibration."""

CALIBRATION = 200
"""The greatest number of images that int8 looks at."""


def export_litert(
    architecture: Architecture,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
) -> Path:
    """Write a `.tflite` file with batch 1; fresh weights where `weights` is None.

    Input (1, *input_shape) and output are float32 at every precision; the input has pixels from 0 to 255
    where the architecture rescales. `calibration` (images, *input_shape) is for int8: training images,
    scaled as the network takes them. Raises InputError for an unknown precision, missing or wrong
    calibration images, other weights or an unwritable file; ConversionError where LiteRT can't convert.
    """
    _check(architecture, precision, calibration)
    if precision == "int8":
        content = _calibrated(architecture, weights, calibration)
    else:
        content = litert_bytes(architecture, _by_layer(architecture, weights), precision)  # type: ignore[arg-type]  # checked
    with output_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _check(architecture: Architecture, precision: str, calibration: np.ndarray | None) -> None:
    if precision not in PRECISIONS:
        raise InputError(f"a precision must be known, got '{precision}'; {nearest(precision, PRECISIONS)}")
    if precision != "int8":
        return
    if calibration is None or not len(calibration):
        raise InputError(
            "precision int8 needs calibration images, got none; give training images, or take dynamic_int8"
        )
    if calibration.shape[1:] != tuple(architecture.input_shape):
        raise InputError(
            f"calibration images must have the input's shape {tuple(architecture.input_shape)}, got "
            f"{calibration.shape[1:]}; give training images as the network takes them"
        )


def _by_layer(
    architecture: Architecture, weights: Sequence[np.ndarray] | None
) -> dict[str, list[np.ndarray]]:
    """Give each layer's arrays by its name; fresh ones where there are none."""
    listed = variables(architecture.layers)
    values = list(initial_weights(listed, seed=0) if weights is None else weights)
    check_weights([variable.shape for variable in listed], values, architecture)
    found: dict[str, list[np.ndarray]] = {}
    for variable, value in zip(listed, values, strict=True):
        found.setdefault(variable.name.split("/")[0], []).append(value)
    return found


def _calibrated(
    architecture: Architecture, weights: Sequence[np.ndarray] | None, calibration: np.ndarray | None
) -> bytes:
    """Convert to int8 by TensorFlow's converter, which sees what the network makes of real images.

    A graph whose variables are constants is converted five times faster than a SavedModel.
    """
    assert calibration is not None
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = build_model(architecture)
    set_weights(model, weights, architecture)
    images = calibration[:CALIBRATION].astype("float32")

    def examples() -> Iterator[list[np.ndarray]]:
        return ([image[None]] for image in images)

    signature = [tf.TensorSpec((1, *architecture.input_shape), tf.float32, name="input")]
    try:
        with silence_output():
            function = tf.function(lambda x: model(x, training=False), input_signature=signature)
            frozen = convert_variables_to_constants_v2(function.get_concrete_function())
            converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            content: bytes = converter.convert()
    except Exception as error:  # the converter's errors have no common type
        raise ConversionError(
            f"LiteRT cannot convert architecture {architecture.id} to int8: {_reason(error)}"
        ) from error
    return content


def _reason(error: Exception) -> str:
    """Give the line of a converter's message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line]
    return (telling or lines or [type(error).__name__])[0][:300]
