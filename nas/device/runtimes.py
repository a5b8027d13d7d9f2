"""The runtimes that execute a model file: LiteRT and ONNX Runtime.

Each function returns a `ModelLoader`, so that a measurement can load the same file many times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.backends import litert_interpreter
from nas.errors import ConversionError, InputError
from nas.text import error_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ModelLoader", "litert_loader", "onnx_loader", "require_onnxruntime"]

ModelLoader = Callable[[], Callable[[], object]]
"""Loads a model from scratch and returns the function that runs it once on random input."""


def litert_loader(content: bytes, threads: int) -> ModelLoader:
    """Return the function that loads a LiteRT file; it raises ConversionError if the file cannot be run."""

    def load() -> Callable[[], object]:
        try:
            interpreter = litert_interpreter(content, threads)
            for details in interpreter.get_input_details():
                interpreter.set_tensor(details["index"], _random_input(details["shape"], details["dtype"]))
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ConversionError(f"LiteRT must be able to run the file, but: {error_line(error)}") from None
        invoke: Callable[[], object] = interpreter.invoke
        return invoke

    return load


def require_onnxruntime() -> None:
    """Raise InputError with the command to run if ONNX Runtime is not installed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise InputError(
            "runtime onnx needs onnxruntime, which is not installed; run: pip install 'nas[onnx]'"
        ) from None


def onnx_loader(content: bytes, threads: int) -> ModelLoader:
    """Return the function that loads an ONNX file; it raises ConversionError if the file cannot be run."""
    require_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4

    def load() -> Callable[[], object]:
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            feed = {
                entry.name: _random_input(_fixed_shape(entry.shape), _numpy_type(entry.type))
                for entry in session.get_inputs()
            }
            session.run(None, feed)
        except Exception as error:  # the runtime's exceptions have no common type
            raise ConversionError(
                f"ONNX Runtime must be able to run the file, but: {error_line(error)}"
            ) from None
        return lambda: session.run(None, feed)

    return load


def _fixed_shape(shape: Sequence[object]) -> list[int]:
    """Return a shape with 1 for each size that the file leaves open, such as the batch."""
    return [size if isinstance(size, int) and size > 0 else 1 for size in shape]


def _numpy_type(onnx_type: str) -> type[np.generic]:
    """Return the NumPy type of an ONNX type such as 'tensor(float)'."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(name, name)).type


def _random_input(shape: Sequence[int], dtype: type[np.generic]) -> NDArray[np.generic]:
    """Return random values in the range of pixels, so that no value is denormal."""
    values = np.random.default_rng(0).integers(0, 127, np.array(shape, int))
    return values.astype(dtype)
