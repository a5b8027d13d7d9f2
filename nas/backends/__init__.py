"""Turn the layers of a network into a Keras model, TensorFlow operations or a LiteRT file."""

from nas.backends.flatbuffer import pack_model, unpack_model
from nas.backends.int8_file import CALIBRATION_IMAGES
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
from nas.backends.outputs import compute_outputs
from nas.backends.precise_file import trained_litert_bytes
from nas.backends.precision import PRECISIONS, Precision
from nas.backends.run_files import Run, integer_scales, litert_interpreter, load_litert, load_onnx
from nas.backends.runtime_operators import Operator, lower_to_operators, operator_features
from nas.backends.target_scale import TargetScale
from nas.backends.tensorflow_lite import convert_function, freeze_function
from nas.backends.tensorflow_ops import ForwardMode, forward
from nas.backends.weights import WeightSpec, initial_weights, weight_specs

__all__ = [
    "CALIBRATION_IMAGES",
    "METRICS",
    "PRECISIONS",
    "ForwardMode",
    "Operator",
    "Precision",
    "Run",
    "TargetScale",
    "WeightSpec",
    "build_compiled_model",
    "build_model",
    "compute_outputs",
    "convert_function",
    "forward",
    "freeze_function",
    "initial_weights",
    "integer_scales",
    "keras_layer",
    "litert_bytes",
    "litert_interpreter",
    "load_litert",
    "load_onnx",
    "lower_to_operators",
    "moving_layers",
    "operator_features",
    "pack_model",
    "predict",
    "recoloring_layers",
    "trained_litert_bytes",
    "training_loss",
    "unpack_model",
    "weight_specs",
]
