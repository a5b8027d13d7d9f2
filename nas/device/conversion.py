"""Convert any Keras model or SavedModel to LiteRT."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.backends import Precision, convert_function, freeze_function
from nas.errors import InputError
from nas.files import temporary_folder
from nas.quiet import silence_output
from nas.tensorflow_imports import import_keras, import_tensorflow
from nas.text import error_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = [
    "FrozenModel",
    "convert_to_litert",
    "freeze_keras",
    "freeze_saved_model",
    "load_keras_file",
    "load_saved_model",
]

CONFIG = "config.json"  # in a .keras file: the architecture


def load_keras_file(path: Path) -> Any:
    """Load a `.keras` file; a model of float16 or bfloat16 computes in float32, as LiteRT does on processors.

    Raises InputError for a file that Keras cannot load, and for one that Keras has quantized.
    """
    keras = import_keras()
    try:
        with temporary_folder() as folder, silence_output():
            return keras.models.load_model(_with_float32(path, Path(folder, "model.keras")), compile=False)
    except InputError:
        raise
    except Exception as error:  # layers raise errors without a common type: ValueError, tf.errors.OpError
        raise InputError(
            f"a .keras file must be one that Keras can load, got '{path}': {error_line(error)}"
        ) from None


def _with_float32(path: Path, target: Path) -> Path:
    """Return the file, or a copy at `target` whose layers have the policy float32 where they have another."""
    with zipfile.ZipFile(path) as before:
        config = json.loads(before.read(CONFIG))
        if not _set_float32(config, path):
            return path
        with zipfile.ZipFile(target, "w") as after:
            for entry in before.infolist():
                is_config = entry.filename == CONFIG
                after.writestr(entry, json.dumps(config).encode() if is_config else before.read(entry))
    return target


def _set_float32(values: Any, path: Path) -> bool:
    """Change the policies in a configuration, in place; return whether there was another one."""
    if isinstance(values, list):
        return max([_set_float32(value, path) for value in values], default=False)
    if not isinstance(values, dict):
        return False
    kind, policy = values.get("class_name"), values.get("config")
    if isinstance(kind, str) and kind.endswith("DTypePolicy") and isinstance(policy, dict):
        if kind != "DTypePolicy":
            raise InputError(
                f"a .keras file must not be quantized by Keras to be measured, got '{path}' with "
                f"{policy.get('mode', kind)}, which LiteRT cannot express; save the model before quantize(), "
                "and use --precision"
            )
        changed = policy.get("name") != "float32"
        policy["name"] = "float32"
        return changed
    return max([_set_float32(value, path) for value in values.values()], default=False)


def load_saved_model(folder: Path) -> Any:
    """Load a folder of a SavedModel; raises InputError if TensorFlow cannot load it."""
    tf = import_tensorflow()
    try:
        with silence_output():
            return tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow's errors have no common type
        raise InputError(
            f"a SavedModel must be a folder that TensorFlow can load, got '{folder}': {error_line(error)}"
        ) from None


@dataclass(frozen=True)
class FrozenModel:
    """A TensorFlow function whose variables are constants; it is converted faster than a SavedModel."""

    function: Any  # a concrete function of batch size 1
    dtypes: tuple[str, ...]  # of the inputs


def freeze_keras(model: Any) -> FrozenModel:
    """Freeze a Keras model; raises InputError for inputs without a fixed shape, else ConversionError."""
    inputs = getattr(model, "inputs", None) or []
    return _freeze(
        lambda *x: model(x[0] if len(x) == 1 else list(x), training=False),
        [(one.shape, one.dtype) for one in inputs],
    )


def freeze_saved_model(model: Any) -> FrozenModel:
    """Freeze a loaded SavedModel by its signature `serving_default`; see `freeze_keras`."""
    function = model.signatures.get("serving_default")
    if function is None:
        raise InputError(
            f"a SavedModel must have the signature serving_default, got "
            f"{', '.join(model.signatures) or 'none'}; write it with model.export of Keras"
        )
    inputs = function.structured_input_signature[1]
    return _freeze(
        lambda *x: function(**dict(zip(inputs, x, strict=True))),
        [(one.shape, one.dtype.name) for one in inputs.values()],
    )


def _freeze(call: Callable[..., Any], inputs: Sequence[tuple[Any, str]]) -> FrozenModel:
    """Freeze a function of tensors. inputs: shape with batch, and type, of each."""
    tf = import_tensorflow()
    shapes = [tuple(tf.TensorShape(shape))[1:] for shape, _ in inputs]
    if not shapes or any(None in shape for shape in shapes):
        found = ", ".join(str(shape) for shape in shapes) or "none"
        raise InputError(
            f"a model must have inputs of fixed shapes to be measured, got {found}; build it with "
            "keras.Input of a fixed shape"
        )
    signature = [tf.TensorSpec((1, *shape), dtype) for shape, (_, dtype) in zip(shapes, inputs, strict=True)]
    frozen = freeze_function(call, signature)
    return FrozenModel(frozen, tuple(dtype for _, dtype in inputs))


def convert_to_litert(
    model: FrozenModel, precision: Precision = "float32", calibration: Images | None = None
) -> bytes:
    """Convert a model to a LiteRT file with batch size 1 and return its content.

    calibration: images (n, *input_shape) for precision int8, with values as the model takes them. Raises
    InputError if they are missing, ConversionError if LiteRT cannot express the model.
    """
    if precision == "int8" and calibration is None:
        raise InputError(
            "precision int8 must be calibrated on images, got none; add --data, or use dynamic_int8"
        )
    images, dtype = () if calibration is None else calibration, model.dtypes[0]
    return convert_function(
        model.function, precision, lambda: ([image[None].astype(dtype)] for image in images)
    )
