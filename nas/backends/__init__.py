"""Turn the layers of a network into a Keras model, TensorFlow operations or a LiteRT file."""

from nas.backends.flatbuffer import pack_model, unpack_model
from nas.backends.keras_model import (
    METRICS,
    build_compiled_model,
    build_model,
    keras_layer,
    moving_layers,
    predict,
    recoloring_layers,
    training_loss,
)
from nas.backends.litert_file import litert_bytes
from nas.backends.precision import PRECISIONS, Precision
from nas.backends.run_files import litert_interpreter, run_litert, run_onnx
from nas.backends.runtime_operators import Operator, lower_to_operators, operator_features
from nas.backends.target_scale import TargetScale
from nas.backends.tensorflow_ops import ForwardMode, forward
from nas.backends.weights import WeightSpec, initial_weights, weight_specs

__all__ = [
    "METRICS",
    "PRECISIONS",
    "ForwardMode",
    "Operator",
    "Precision",
    "TargetScale",
    "WeightSpec",
    "build_compiled_model",
    "build_model",
    "forward",
    "initial_weights",
    "keras_layer",
    "litert_bytes",
    "litert_interpreter",
    "lower_to_operators",
    "moving_layers",
    "operator_features",
    "pack_model",
    "predict",
    "recoloring_layers",
    "run_litert",
    "run_onnx",
    "training_loss",
    "unpack_model",
    "weight_specs",
]
