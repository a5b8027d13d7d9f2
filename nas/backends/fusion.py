"""Which layers a runtime computes in one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from nas.architecture import Layer

__all__ = ["fuse_layers", "is_convolution"]

FUSED_ACTIVATIONS = ("relu", "relu6")


def is_convolution(layer: Layer) -> bool:
    """Return whether a layer is a convolution, into which normalization and rescaling can be folded."""
    return layer.kind in ("conv", "depthwise_conv", "separable_conv", "transposed_conv")


def fuse_layers(layers: Sequence[Layer]) -> list[int]:
    """Return for each layer the index of the layer whose operator computes it: its own unless it is fused.

    An operator also computes the layers after it, as long as each is the only reader of the one before:
    batch normalization after a convolution, then ReLU or ReLU6. Dropout has no operator at inference.
    """
    readers = [0] * len(layers)
    for layer in layers:
        for source in layer.inputs:
            readers[source] += 1
    operators: list[int] = []
    last: list[Layer | None] = []  # for each layer, the layer that its reader could be fused with
    for index, layer in enumerate(layers):
        source = layer.inputs[0] if layer.inputs else index
        previous = last[source] if layer.inputs and readers[source] == 1 else None
        if layer.kind == "dropout":
            operators.append(operators[source])
            last.append(previous)
            continue
        fused = previous is not None and _is_fused(layer, previous)
        operators.append(operators[source] if fused else index)
        last.append(layer)
    return operators


def _is_fused(layer: Layer, previous: Layer) -> bool:
    if layer.kind == "batch_norm":
        return is_convolution(previous)
    return layer.kind == "activation" and layer.function in FUSED_ACTIVATIONS and _computes_relu(previous)


def _computes_relu(layer: Layer) -> bool:
    """Return whether the operator of a layer can apply ReLU or ReLU6 to its result."""
    match layer.kind:
        case "conv" | "depthwise_conv" | "separable_conv" | "transposed_conv" | "dense":
            return True
        case "batch_norm" | "add" | "multiply":
            return True
        case "input" | "rescale" | "activation" | "dropout" | "flatten" | "concat" | "upsample" | "crop":
            return False
        case "max_pool" | "average_pool" | "global_average" | "global_max":
            return False
        case _:
            assert_never(layer.kind)
