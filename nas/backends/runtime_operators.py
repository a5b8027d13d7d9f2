"""The operators that a runtime runs for a network, each with the sizes that determine its latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple, assert_never

from nas.architecture import Layer
from nas.backends.fusion import fuse_layers

__all__ = ["Operator", "lower_to_operators", "operator_features"]


class Operator(NamedTuple):
    """One operator. Equal operators have equal latencies."""

    kind: str
    pixels: int  # of the output
    inputs: int  # channels that one output value sums over
    outputs: int  # channels
    window: int  # pixels that one output value sums over
    elements: int  # values read


def lower_to_operators(layers: Sequence[Layer]) -> list[Operator]:
    """List the operators in the order in which they run.

    Layers that are fused with another operator have none, and neither have dropout, rescaling and flatten.
    """
    operators: list[Operator] = []
    for index, (layer, operator) in enumerate(zip(layers, fuse_layers(layers), strict=True)):
        if operator == index and layer.inputs:
            operators.extend(_layer_operators(layer, layers[layer.inputs[0]].shape))
    return operators


def _layer_operators(layer: Layer, source: tuple[int, ...]) -> list[Operator]:
    """Return the operators of a layer that is not fused; `source`: shape of its first input."""
    pixels, channels, elements = prod(layer.shape[:-1]), layer.shape[-1], prod(source)
    window = layer.kernel_size ** (len(source) - 1)
    match layer.kind:
        case "input" | "dropout" | "rescale" | "flatten":
            return []
        case "conv":
            inputs = source[-1] // layer.groups
            pointwise = window == 1 and layer.stride == 1 and layer.groups == 1
            kind = "pointwise" if pointwise else "conv"
            return [Operator(kind, pixels, inputs, channels, window, elements)]
        case "depthwise_conv":
            return [Operator("depthwise", pixels, 1, channels, window, elements)]
        case "separable_conv":
            inner = source[-1] * layer.depth_multiplier
            return [
                Operator("depthwise", pixels, 1, inner, window, elements),
                Operator("pointwise", pixels, inner, channels, 1, pixels * inner),
            ]
        case "transposed_conv":
            return [Operator("transposed", prod(source[:-1]), source[-1], channels, window, elements)]
        case "dense":
            return [Operator("dense", 1, source[-1], channels, 1, elements)]
        case "max_pool" | "average_pool":
            return [Operator(layer.kind, pixels, 1, channels, window, elements)]
        case "batch_norm":
            return [Operator("affine", pixels, 1, channels, 1, elements)] * 2
        case "activation" if layer.function == "silu":
            return [Operator(kind, pixels, 1, channels, 1, elements) for kind in ("sigmoid", "multiply")]
        case "activation":
            return [Operator(layer.function, pixels, 1, channels, 1, elements)]
        case "global_average" | "global_max" | "add" | "multiply" | "concat" | "upsample" | "crop":
            return [Operator(layer.kind, pixels, 1, channels, 1, max(elements, prod(layer.shape)))]
        case _:
            assert_never(layer.kind)


def operator_features(operator: Operator) -> Mapping[str, float]:
    """Return by name the quantities to which an operator's latency is roughly proportional.

    Runtimes compute channels in tiles of 8, 16 or 32, so multiply-adds are counted for each tile width.
    Operators without multiply-adds are described by the number of values that they read.
    """
    kind, pixels, inputs, outputs, window, elements = operator
    sums = pixels * inputs * window
    if kind in ("pointwise", "conv", "dense", "transposed"):
        family = "pointwise" if kind == "dense" else kind
        wide = 16 if outputs <= 16 else _round_up(outputs, 32)
        return {
            "operators": 1,
            f"{family} by 1": sums * outputs,
            f"{family} by 8": sums * _round_up(outputs, 8),
            f"{family} by 16": sums * _round_up(outputs, 16),
            f"{family} by 32": sums * wide,
            f"{family} results": pixels * _round_up(outputs, 16),
            f"{family} weights": inputs * window * _round_up(outputs, 16),
            f"{family} windows": pixels * window,
        }
    if kind == "depthwise":
        return {
            "operators": 1,
            f"{kind} {window} by 1": sums * outputs,
            f"{kind} {window} by 16": sums * _round_up(outputs, 16),
            f"{kind} windows": pixels * window,
            f"{kind} results": pixels * outputs,
        }
    if kind in ("max_pool", "average_pool"):
        return {
            "operators": 1,
            f"{kind} by 1": sums * outputs,
            f"{kind} by 16": sums * _round_up(outputs, 16),
            f"{kind} results": pixels * outputs,
            f"{kind} pixels": pixels,
        }
    if kind == "affine":
        return {"operators": 1, "affine values": elements, "affine pixels": pixels}
    return {"operators": 1, f"{kind} values": elements}


def _round_up(channels: int, tile: int) -> int:
    return -(-channels // tile) * tile
