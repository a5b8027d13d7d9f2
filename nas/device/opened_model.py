"""Any model that can be measured: a file of four kinds, or an architecture with or without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Architecture
from nas.backends import Precision
from nas.data import Signature
from nas.device.arena import arena_bytes
from nas.device.conversion import (
    FrozenModel,
    convert_to_litert,
    freeze_keras,
    freeze_saved_model,
    load_keras_file,
    load_saved_model,
)
from nas.device.input_values import (
    InputValues,
    litert_input_values,
    onnx_input_values,
    signature_input_values,
    tensorflow_input_shape,
    tensorflow_input_values,
)
from nas.device.latency import LatencyOptions, Runtime, architecture_content
from nas.device.model_files import (
    ModelSummary,
    litert_input_shape,
    litert_precision,
    read_onnx,
    summarize_architecture,
    summarize_keras,
    summarize_litert,
    summarize_onnx,
)
from nas.errors import InputError
from nas.export import read_from_keras, read_from_litert, read_from_onnx
from nas.files import file_problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = ["MODEL_SUFFIXES", "OpenedModel", "open_architecture", "open_model_file"]

MODEL_SUFFIXES = (".keras", ".tflite", ".onnx")

MAX_MODEL_BYTES = 2 * 2**30
"""Size of a model file: FlatBuffers and protocol buffers are limited to it."""


@dataclass(frozen=True)
class OpenedModel:
    """A model, and how it becomes the content of the file that a runtime executes."""

    name: str
    runtime: Runtime
    input_shape: tuple[int, ...]  # of one example
    signature: Signature | None  # None: the file has none
    input_values: InputValues | None  # None: unknown
    has_weights: bool  # False: the weights are random
    content: Callable[[Precision, Images | None], bytes]  # the images calibrate int8
    precision_of: Callable[[bytes, Precision], Precision]  # of the content, and as it was asked for
    summarize: Callable[[bytes], ModelSummary]


def open_model_file(path: Path, options: LatencyOptions) -> OpenedModel:
    """Open a `.keras`, `.tflite` or `.onnx` file, or the folder of a SavedModel.

    Raises InputError for anything else, and for a runtime that cannot execute it.
    """
    if not path.exists():
        raise InputError(f"a model file must exist, got '{path}'; nas export prints the files that it wrote")
    if path.is_dir():
        _require_litert(path, options, "a SavedModel")
        return _saved_model(path)
    if problem := file_problem(path, MAX_MODEL_BYTES):
        raise InputError(f"a model file must be a regular file, got '{path}': {problem}; use another file")
    match path.suffix:
        case ".keras":
            _require_litert(path, options, "a .keras file")
            return _keras(path)
        case ".tflite":
            return _litert(path)
        case ".onnx":
            return _onnx(path)
        case _:
            raise InputError(
                f"a model file must end in {', '.join(MODEL_SUFFIXES)}, got '{path}'; "
                "export the network first"
            )


def _require_litert(path: Path, options: LatencyOptions, kind: str) -> None:
    if options.runtime != "litert":
        raise InputError(
            f"{kind} is measured with the runtime litert, got '{path}' and {options.runtime}; "
            "convert it to .onnx and measure that file"
        )


def _as_asked(_: bytes, precision: Precision) -> Precision:
    return precision


def _keras(path: Path) -> OpenedModel:
    model = load_keras_file(path)
    return _frozen(
        path,
        freeze_keras(model),
        read_from_keras(path),
        lambda content: summarize_keras(model, arena_bytes(content)),
    )


def _saved_model(path: Path) -> OpenedModel:
    return _frozen(path, freeze_saved_model(load_saved_model(path)), None, summarize_litert)


def _frozen(
    path: Path, model: FrozenModel, signature: Signature | None, summarize: Callable[[bytes], ModelSummary]
) -> OpenedModel:
    return OpenedModel(
        name=str(path),
        runtime="litert",
        input_shape=tensorflow_input_shape(model.function.graph),
        signature=signature,
        input_values=_known_values(signature) or tensorflow_input_values(model.function.graph),
        has_weights=True,
        content=partial(convert_to_litert, model),
        precision_of=_as_asked,
        summarize=summarize,
    )


def _litert(path: Path) -> OpenedModel:
    content = path.read_bytes()
    summarize_litert(content)  # raises InputError for other content
    signature = read_from_litert(content)
    return OpenedModel(
        name=str(path),
        runtime="litert",
        input_shape=litert_input_shape(content),
        signature=signature,
        input_values=_known_values(signature) or litert_input_values(content),
        has_weights=True,
        content=lambda _, __: content,
        precision_of=lambda content, _: litert_precision(content),
        summarize=summarize_litert,
    )


def _onnx(path: Path) -> OpenedModel:
    graph = read_onnx(path)
    signature = read_from_onnx(path)
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    shape = tuple(size.dim_value for size in inputs[0].type.tensor_type.shape.dim[1:]) if inputs else ()
    content = path.read_bytes()
    return OpenedModel(
        name=str(path),
        runtime="onnx",
        input_shape=shape,
        signature=signature,
        input_values=_known_values(signature) or onnx_input_values(graph),
        has_weights=True,
        content=lambda _, __: content,
        precision_of=lambda _, __: "float32",
        summarize=lambda _: summarize_onnx(path),
    )


def open_architecture(
    name: str,
    architecture: Architecture,
    options: LatencyOptions,
    weights: Sequence[np.ndarray] | None = None,
    signature: Signature | None = None,
) -> OpenedModel:
    """Return an architecture as a model; without weights it can be timed, but not judged."""
    return OpenedModel(
        name=name,
        runtime=options.runtime,
        input_shape=tuple(architecture.input_shape),
        signature=signature,
        input_values=_known_values(signature) or _architecture_values(architecture),
        has_weights=weights is not None,
        content=lambda _, images: architecture_content(architecture, options, images, weights),
        precision_of=_as_asked,
        summarize=lambda _: summarize_architecture(architecture),
    )


def _known_values(signature: Signature | None) -> InputValues | None:
    return None if signature is None else signature_input_values(signature)


def _architecture_values(architecture: Architecture) -> InputValues:
    if architecture.rescale:
        return InputValues("0..255", "as its first layer divides by 255")
    return InputValues("data", "as it has no layer that rescales")
