"""The runtimes that run a model file: each opens it anew as a function that runs it once on random input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.architecture import Architecture, Stage
from nas.backends import litert_bytes
from nas.errors import ConversionError, InputError
from nas.quiet import silence_stderr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Opener", "litert", "onnx", "require_onnxruntime"]

Opener = Callable[[], Callable[[], object]]
"""Opens a model anew and gives the function that runs it once."""


def litert(content: bytes, threads: int) -> Opener:
    from ai_edge_litert.interpreter import Interpreter

    _greeted(Interpreter)

    def opener() -> Callable[[], object]:
        try:
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
            for details in interpreter.get_input_details():
                interpreter.set_tensor(details["index"], _input(details["shape"], details["dtype"]))
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ConversionError(f"LiteRT must be able to run the file, but: {_reason(error)}") from None
        invoke: Callable[[], object] = interpreter.invoke
        return invoke

    return opener


@cache
def _greeted(interpreter: Any) -> None:
    """Run a first, tiny model, at which LiteRT writes a line about itself to the standard error stream."""
    tiny = Architecture(input_shape=(1, 1, 1), rescale=False, head=None, stages=(Stage(width=1),))
    with silence_stderr():
        interpreter(model_content=litert_bytes(tiny)).allocate_tensors()


def require_onnxruntime() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise InputError(
            "runtime onnx needs onnxruntime, which is not installed; run: pip install 'nas[onnx]'"
        ) from None


def onnx(content: bytes, threads: int) -> Opener:
    require_onnxruntime()
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 4

    def opener() -> Callable[[], object]:
        try:
            session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
            feed = {
                entry.name: _input(_sizes(entry.shape), _dtype(entry.type)) for entry in session.get_inputs()
            }
            session.run(None, feed)
        except Exception as error:  # the runtime's exceptions have no common type
            raise ConversionError(
                f"ONNX Runtime must be able to run the file, but: {_reason(error)}"
            ) from None
        return lambda: session.run(None, feed)

    return opener


def _sizes(shape: Sequence[object]) -> list[int]:
    return [size if isinstance(size, int) and size > 0 else 1 for size in shape]


def _dtype(kind: str) -> type[np.generic]:
    """Give the NumPy type of an ONNX one such as 'tensor(float)'."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(name, name)).type


def _input(shape: Sequence[int], dtype: type[np.generic]) -> NDArray[np.generic]:
    """Give random values in the range of an image's pixels, so that no number is denormal."""
    values = np.random.default_rng(0).integers(0, 127, np.array(shape, int))
    return values.astype(dtype)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
