"""Costs of a network computed from its layers: parameters, FLOPs and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import assert_never

from nas.architecture.architecture import Architecture
from nas.architecture.buffers import Operation, assign_buffers, peak_buffer_bytes
from nas.architecture.layers import Layer

__all__ = ["Cost", "LayerCost", "layer_costs", "network_cost"]

IN_PLACE = frozenset({"rescale", "batch_norm", "activation", "dropout", "flatten", "add", "multiply"})
"""Kinds that a runtime computes into the memory of their first input, or fuses with the layer before."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The costs of one layer: parameters, trainable parameters, and FLOPs (2 x multiply-adds) per example."""

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    trainable_params: int
    flops: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs of a network per example.

    `flops` counts 2 x the multiply-adds of convolutions and dense layers at inference. Operations per element
    (normalization, activation, pooling) are not counted, as in the literature. `peak_bytes` is the largest
    amount of memory that float32 activations take at the same time when layers run in order.
    """

    params: int
    trainable_params: int
    flops: int
    peak_bytes: int


@lru_cache(maxsize=256)
def network_cost(architecture: Architecture) -> Cost:
    """Return the costs of a network; the results of recent calls are cached."""
    costs = layer_costs(architecture)
    return Cost(
        params=sum(layer.params for layer in costs),
        trainable_params=sum(layer.trainable_params for layer in costs),
        flops=sum(layer.flops for layer in costs),
        peak_bytes=peak_bytes(architecture.layers),
    )


def layer_costs(architecture: Architecture) -> list[LayerCost]:
    """Return the costs of each layer, in the order in which they run."""
    layers = architecture.layers
    return [_layer_cost(layer, layers[layer.inputs[0]].shape if layer.inputs else ()) for layer in layers]


def _layer_cost(layer: Layer, before: tuple[int, ...]) -> LayerCost:
    weights = multiply_adds = statistics = 0
    pixels = prod(layer.shape[:-1])
    channels = before[-1] if before else 0
    window = layer.kernel_size ** max(len(before) - 1, 0)
    match layer.kind:
        case "batch_norm":
            weights, statistics = 2 * channels, 2 * channels
        case "dense":
            weights = multiply_adds = channels * layer.filters
        case "conv":
            weights = window * channels // layer.groups * layer.filters
            multiply_adds = weights * pixels
        case "transposed_conv":
            weights = window * channels * layer.filters
            multiply_adds = weights * prod(before[:-1])
        case "depthwise_conv":
            weights = window * channels * layer.depth_multiplier
            multiply_adds = weights * pixels
        case "separable_conv":
            weights = (window + layer.filters) * channels * layer.depth_multiplier
            multiply_adds = weights * pixels
        case "input" | "rescale" | "activation" | "dropout" | "flatten" | "add" | "multiply" | "concat":
            pass
        case "max_pool" | "average_pool" | "global_average" | "global_max" | "upsample" | "crop":
            pass
        case _:
            assert_never(layer.kind)
    if layer.bias:
        weights += layer.filters
    return LayerCost(layer.name, layer.kind, layer.shape, weights + statistics, weights, 2 * multiply_adds)


def peak_bytes(layers: Sequence[Layer]) -> int:
    """Return the largest number of bytes of float32 activations in use at once, at batch 1, in layer order.

    Each layer's output, the input layer's included, takes 4 bytes per value from the layer that writes it to
    the last layer that reads it. Kinds in `IN_PLACE` write over their first input unless a later layer still
    reads it. Weights, scratch memory and alignment are not counted. The arena that LiteRT allocates for the
    same network (`nas.device`) differs: it keeps the network's input to the end, fuses activations and
    normalization into kernels, may overwrite either input of an addition but only one that has no other
    reader, aligns tensors to 64 bytes, and has gaps between them.
    """
    operations = [
        Operation(layer.inputs, (index,), layer.inputs[:1] if layer.kind in IN_PLACE else ())
        for index, layer in enumerate(layers)
    ]
    sizes = {index: 4 * prod(layer.shape) for index, layer in enumerate(layers)}
    return peak_buffer_bytes(assign_buffers(operations, sizes))
