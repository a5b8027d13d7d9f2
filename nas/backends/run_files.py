"""Run the content of a model file on examples, in the file's own runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.architecture import Architecture, Stage
from nas.backends.litert_file import litert_bytes
from nas.errors import ConversionError
from nas.quiet import silence_stderr
from nas.text import error_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Run", "integer_scales", "litert_interpreter", "load_litert", "load_onnx"]

Run = Callable[[np.ndarray], np.ndarray]
"""Returns the outputs, float32 (n, ...), for examples (n, ...) as the network takes them."""


def litert_interpreter(content: bytes, threads: int) -> Any:
    """Return LiteRT's interpreter of a file, ready to run; raises ValueError or RuntimeError."""
    from ai_edge_litert.interpreter import Interpreter

    _drop_first_message(Interpreter)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


@cache
def _drop_first_message(interpreter: Any) -> None:
    """Load a tiny model once, because LiteRT writes a message to stderr for a process' first model."""
    tiny = Architecture(input_shape=(1, 1, 1), rescale=False, head=None, stages=(Stage(width=1),))
    with silence_stderr():
        interpreter(model_content=litert_bytes(tiny)).allocate_tensors()


def load_litert(content: bytes, threads: int = 1) -> Run:
    """Load a LiteRT file. Its function gives it the examples one by one.

    Numbers are quantized for an integer input, and those of an integer output are converted back. Raises
    ConversionError if LiteRT cannot run the file.
    """
    try:
        interpreter = litert_interpreter(content, threads)
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"LiteRT must be able to run the file, but: {error_line(error)}") from None

    def run(example: Floats) -> Floats:
        interpreter.set_tensor(taken["index"], _quantized(example[None], taken))
        interpreter.invoke()
        return _as_floats(interpreter.get_tensor(given["index"])[0], given)

    return lambda examples: _each(run, examples)


def integer_scales(content: bytes) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of a LiteRT file's integer tensors: of `input` and of `output`."""
    interpreter = litert_interpreter(content, 1)
    found = {"input": interpreter.get_input_details()[0], "output": interpreter.get_output_details()[0]}
    return {name: one["quantization"] for name, one in found.items() if np.dtype(one["dtype"]).kind in "iu"}


def load_onnx(content: bytes) -> Run:
    """Load an ONNX file. Its function gives it the examples one by one.

    Both raise ConversionError if ONNX Runtime cannot run the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with _onnx_errors():
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
    kinds = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    kind = kinds.get(taken.type, np.float32)

    def run(examples: Floats) -> Floats:
        with _onnx_errors():
            return _each(
                lambda example: np.asarray(session.run(None, {taken.name: example[None].astype(kind)})[0][0]),
                examples,
            )

    return run


@contextlib.contextmanager
def _onnx_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the runtime's exceptions have no common type
        raise ConversionError(
            f"ONNX Runtime must be able to run the file, but: {error_line(error)}"
        ) from None


def _each(run: Callable[[Floats], Floats], examples: Floats) -> Floats:
    return np.stack([run(np.asarray(example, np.float32)) for example in examples]).astype(np.float32)


def _quantized(values: Floats, details: dict[str, Any]) -> NDArray[Any]:
    """Convert values to the type of an input, by its scale and zero point if it has them."""
    kind = np.dtype(details["dtype"])
    if kind.kind not in "iu":
        return values.astype(kind)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(kind)
    scaled = values / scale + zero_point if scale else values
    clipped: NDArray[Any] = np.clip(np.round(scaled), limits.min, limits.max).astype(kind)
    return clipped


def _as_floats(values: NDArray[Any], details: dict[str, Any]) -> Floats:
    scale, zero_point = details["quantization"]
    if values.dtype.kind not in "iu" or not scale:
        return np.asarray(values, np.float32)
    return np.asarray((values.astype(np.float32) - zero_point) * scale, np.float32)
