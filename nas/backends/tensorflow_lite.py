"""Convert TensorFlow functions to LiteRT with TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nas.backends.precision import Precision
from nas.errors import ConversionError
from nas.quiet import silence_output
from nas.tensorflow_imports import import_tensorflow
from nas.text import error_line

__all__ = ["convert_function", "freeze_function"]


def freeze_function(call: Callable[..., Any], signature: Sequence[Any]) -> Any:
    """Return a function as a graph whose variables are constants, faster to convert than a SavedModel.

    signature: a `tf.TensorSpec` for each input. Raises ConversionError if TensorFlow cannot trace it.
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        with silence_output():
            function = tf.function(call, input_signature=list(signature))
            return convert_variables_to_constants_v2(function.get_concrete_function())
    except Exception as error:  # layers raise errors without a common type
        raise ConversionError(f"TensorFlow must be able to trace the model: {error_line(error)}") from error


def convert_function(
    function: Any,
    precision: Precision,
    examples: Callable[[], Iterable[list[np.ndarray]]] | None = None,
    integer_io: bool = False,
) -> bytes:
    """Convert a frozen function to a LiteRT file.

    examples: returns the inputs of single examples, on which int8 is calibrated. integer_io: int8 tensors at
    input and output. Raises ConversionError if LiteRT cannot express the function.
    """
    tf = import_tensorflow()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if integer_io:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with silence_output():
            content: bytes = converter.convert()
    except Exception as error:  # the converter's errors have no common type
        raise ConversionError(
            f"LiteRT must be able to express the model in {precision}: {error_line(error)}"
        ) from error
    return content
