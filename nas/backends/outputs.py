"""The outputs of a network for examples, by the operations with which it is validated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.architecture import Architecture
from nas.backends.tensorflow_ops import ForwardMode, forward
from nas.backends.weights import weight_specs
from nas.tensorflow_imports import import_tensorflow

__all__ = ["compute_outputs"]

BATCH = 32


def compute_outputs(architecture: Architecture, weights: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the outputs of a network for examples, as every exported file has them: float32 (n, *output).

    They are those of the operations of a trial's validation, followed by the activation of the output.
    `weights` have the order of `build_model`.
    """
    tf = import_tensorflow()
    layers = architecture.layers
    values = {}
    for spec, value in zip(weight_specs(layers), weights, strict=True):
        kernel = (
            value[np.newaxis] if value.ndim == 3 else value
        )  # a signal is computed as an image of height 1
        values[spec.name] = tf.constant(kernel)
    activation = layers[-1].function if layers[-1].kind == "activation" else ""
    functions = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}
    outputs = []
    for start in range(0, len(x), BATCH):
        batch = tf.constant(x[start : start + BATCH], tf.float32)
        logits, _ = forward(layers, values, batch, ForwardMode(False))
        outputs.append(functions[activation](logits).numpy() if activation in functions else logits.numpy())
    return np.concatenate(outputs)
