"""Layers -> the operators that a runtime runs, each with the sizes that decide how long it takes.

What a runtime folds away is no operator: dropout, rescaling, a batch normalization behind a convolution,
a ReLU behind anything that can compute it in the same pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from nas.architecture import Layer

__all__ = ["Operator", "lower_to_operators", "operator_features"]


class Operator(NamedTuple):
    """One operator; equal operators take equal time."""

    kind: str
    pixels: int  # of the output
    inputs: int  # channels that one output value sums over
    outputs: int  # channels
    window: int  # pixels that one output value sums over
    elements: int  # values read


CONVOLUTIONS = ("conv", "depthwise_conv", "separable_conv", "transposed_conv")
FUSING = frozenset({"batch_norm", "add", "multiply", "dense", *CONVOLUTIONS})
"""Kinds of layers that compute a ReLU right behind them in the same pass."""

FREE = frozenset({"input", "dropout", "rescale", "flatten"})


def lower_to_operators(layers: Sequence[Layer]) -> list[Operator]:
    """List the operators in the order in which they run."""
    readers = [0] * len(layers)
    for layer in layers:
        for place in layer.inputs:
            readers[place] += 1
    found: list[Operator] = []
    behind: list[str] = []  # for each layer, the kind that may take in what follows, or nothing
    for layer in layers:
        source = layer.inputs[0] if layer.inputs else 0
        taker = behind[source] if layer.inputs and readers[source] == 1 else ""
        kind = layer.kind
        if kind == "dropout":
            behind.append(taker)
            continue
        folded = (kind == "batch_norm" and taker in CONVOLUTIONS) or (
            kind == "activation" and layer.function in ("relu", "relu6") and taker in FUSING
        )
        if not folded and kind not in FREE:
            found.extend(_of_layer(layer, layers[source].shape))
        behind.append(kind if kind in FUSING else "")
    return found


def _of_layer(layer: Layer, before: tuple[int, ...]) -> list[Operator]:
    """Give the operators of a layer that stands for itself."""
    pixels, channels, elements = prod(layer.shape[:-1]), layer.shape[-1], prod(before)
    window = layer.kernel_size ** (len(before) - 1)
    match layer.kind:
        case "conv":
            inputs = before[-1] // layer.groups
            plain = window == 1 and layer.stride == 1 and layer.groups == 1
            kind = "pointwise" if plain else "conv"
            return [Operator(kind, pixels, inputs, channels, window, elements)]
        case "depthwise_conv":
            return [Operator("depthwise", pixels, 1, channels, window, elements)]
        case "separable_conv":
            inner = before[-1] * layer.depth_multiplier
            return [
                Operator("depthwise", pixels, 1, inner, window, elements),
                Operator("pointwise", pixels, inner, channels, 1, pixels * inner),
            ]
        case "transposed_conv":
            return [Operator("transposed", prod(before[:-1]), before[-1], channels, window, elements)]
        case "dense":
            return [Operator("dense", 1, before[-1], channels, 1, elements)]
        case "max_pool" | "average_pool":
            return [Operator(layer.kind, pixels, 1, channels, window, elements)]
        case "batch_norm":
            return [Operator("affine", pixels, 1, channels, 1, elements)] * 2
        case "activation" if layer.function == "silu":
            return [Operator(kind, pixels, 1, channels, 1, elements) for kind in ("sigmoid", "multiply")]
        case "activation":
            return [Operator(layer.function, pixels, 1, channels, 1, elements)]
        case _:
            return [Operator(layer.kind, pixels, 1, channels, 1, max(elements, prod(layer.shape)))]


def operator_features(operator: Operator) -> Mapping[str, float]:
    """Give the quantities to which an operator's time is close to proportional, by name.

    Runtimes compute channels in tiles of 8, 16 or 32, so multiply-adds are counted for each width of tile.
    """
    kind, pixels, inputs, outputs, window, elements = operator
    sums = pixels * inputs * window
    if kind in ("pointwise", "conv", "dense", "transposed"):
        family = "pointwise" if kind == "dense" else kind
        wide = 16 if outputs <= 16 else _whole(outputs, 32)
        return {
            "operators": 1,
            f"{family} by 1": sums * outputs,
            f"{family} by 8": sums * _whole(outputs, 8),
            f"{family} by 16": sums * _whole(outputs, 16),
            f"{family} by 32": sums * wide,
            f"{family} results": pixels * _whole(outputs, 16),
            f"{family} weights": inputs * window * _whole(outputs, 16),
            f"{family} windows": pixels * window,
        }
    if kind == "depthwise":
        return {
            "operators": 1,
            f"{kind} {window} by 1": sums * outputs,
            f"{kind} {window} by 16": sums * _whole(outputs, 16),
            f"{kind} windows": pixels * window,
            f"{kind} results": pixels * outputs,
        }
    if kind in ("max_pool", "average_pool"):
        return {
            "operators": 1,
            f"{kind} by 1": sums * outputs,
            f"{kind} by 16": sums * _whole(outputs, 16),
            f"{kind} results": pixels * outputs,
            f"{kind} pixels": pixels,
        }
    if kind == "affine":
        return {"operators": 1, "affine values": elements, "affine pixels": pixels}
    return {"operators": 1, f"{kind} values": elements}


def _whole(channels: int, tile: int) -> int:
    return -(-channels // tile) * tile
