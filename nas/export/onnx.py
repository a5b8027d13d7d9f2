"""A network as an ONNX file; needs the extra `nas[onnx]`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture
from nas.backends import build_model
from nas.data import Signature
from nas.errors import ConversionError, InputError
from nas.export.keras_file import set_weights
from nas.export.signature_metadata import metadata
from nas.files import output_file
from nas.quiet import silence_output
from nas.tensorflow_imports import import_tensorflow
from nas.text import error_line

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_onnx"]

OPSET = 17


def export_onnx(
    architecture: Architecture,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    signature: Signature | None = None,
) -> Path:
    """Write an `.onnx` file; with initial weights if `weights` is None.

    The input `input` is (batch, *input_shape) float32, channels last, with any batch size; the output is that
    of the Keras model. Raises InputError if the extra is not installed, the weights do not fit or the file
    can't be written, and ConversionError if the converter can't convert the network.
    """
    if missing := [name for name in ("onnx", "tf2onnx") if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"the format onnx needs the package {missing[0]}, which is not installed; install nas[onnx]"
        )
    model = build_model(architecture)
    set_weights(model, weights, architecture)
    try:
        with silence_output():
            content = _converted(model, architecture.input_shape, signature)
    except Exception as error:  # the converter's errors have no common type
        raise ConversionError(
            f"ONNX cannot express architecture {architecture.id}: {error_line(error)}"
        ) from error
    with output_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _converted(model: Any, input_shape: Sequence[int], signature: Signature | None) -> bytes:
    tf = import_tensorflow()
    import onnx
    import tf2onnx

    entry = [tf.TensorSpec((None, *input_shape), tf.float32, name="input")]
    function = tf.function(lambda x: model(x, training=False), input_signature=entry)
    with _functions_inlined():
        function.get_concrete_function()
    handlers: dict[str, tuple[Any, list[Any]]] = {"Erfc": (_erfc, [])}
    proto, _ = tf2onnx.convert.from_function(function, entry, opset=OPSET, custom_op_handlers=handlers)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    if signature is not None:
        proto.doc_string = signature.text()
        onnx.helper.set_model_props(proto, metadata(signature))
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


@contextlib.contextmanager
def _functions_inlined() -> Iterator[None]:
    """Run functions eagerly while tracing: Keras wraps grouped convolutions in one that ONNX lacks."""
    tf = import_tensorflow()
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """Convert erfc(x), which GELU needs and tf2onnx lacks, to 1 - erf(x)."""
    import numpy as np

    one = graph.make_const(f"{name}_one", np.float32(1.0))
    shapes, dtypes = [graph.get_shape(node.output[0])], [graph.get_dtype(node.output[0])]
    source, outputs = node.input[0], node.output
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [source], name=f"{name}_erf", shapes=shapes, dtypes=dtypes)
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], name=name, outputs=outputs, shapes=shapes, dtypes=dtypes
    )
