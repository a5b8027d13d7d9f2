"""Turn the layers of a network into a Keras model, TensorFlow operations or a LiteRT file."""

from nas.backends.keras_model import LOSSES, build_compiled_model, build_model, keras_layer, predict
from nas.backends.litert_file import litert_bytes
from nas.backends.precision import PRECISIONS, Precision
from nas.backends.runtime_operators import Operator, lower_to_operators, operator_features
from nas.backends.target_scale import TargetScale
from nas.backends.tensorflow_ops import ForwardMode, forward
from nas.backends.weights import WeightSpec, initial_weights, weight_specs

__all__ = [
    "LOSSES",
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
    "lower_to_operators",
    "operator_features",
    "predict",
    "weight_specs",
]
