"""What a network costs, from its layers alone: parameters, FLOPs, memory. No Keras, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

from nas.architecture.architecture import Architecture
from nas.architecture.layers import Layer

__all__ = ["Cost", "LayerCost", "layer_costs", "network_cost"]

IN_PLACE = frozenset({"rescale", "batch_norm", "activation", "dropout", "flatten", "add", "multiply"})
"""Kinds that a runtime computes into the memory of their first input, or fuses with what stands before."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's parameters, those trained, and FLOPs (2 x multiply-adds) for one example."""

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    trainable_params: int
    flops: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A network's costs for one example.

    `flops` counts 2 x the multiply-adds of convolutions and dense layers at inference; what runs once for
    each element (normalization, activation, pooling) is left out, as in the literature.
    `peak_bytes` is the most memory that float32 activations need at once when layers run in order.
    """

    params: int
    trainable_params: int
    flops: int
    peak_bytes: int


@lru_cache(maxsize=256)
def network_cost(architecture: Architecture) -> Cost:
    """Count a network's costs; those counted last are remembered."""
    costs = layer_costs(architecture)
    return Cost(
        params=sum(layer.params for layer in costs),
        trainable_params=sum(layer.trainable_params for layer in costs),
        flops=sum(layer.flops for layer in costs),
        peak_bytes=peak_bytes(architecture.layers),
    )


def layer_costs(architecture: Architecture) -> list[LayerCost]:
    """Count the costs of each layer, in the order in which they run."""
    layers = architecture.layers
    return [_layer_cost(layer, layers[layer.inputs[0]].shape if layer.inputs else ()) for layer in layers]


def _layer_cost(layer: Layer, before: tuple[int, ...]) -> LayerCost:
    weights = multiply_adds = statistics = 0
    pixels = prod(layer.shape[:-1])
    channels = before[-1] if before else 0
    if layer.kind == "batch_norm":
        weights, statistics = 2 * channels, 2 * channels
    elif layer.kind == "dense":
        weights = multiply_adds = channels * layer.filters
    elif layer.kind in ("conv", "transposed_conv"):
        window = layer.kernel_size ** (len(before) - 1)
        weights = window * channels // layer.groups * layer.filters
        multiply_adds = weights * (prod(before[:-1]) if layer.kind == "transposed_conv" else pixels)
    elif layer.kind in ("depthwise_conv", "separable_conv"):
        weights = layer.kernel_size ** (len(before) - 1) * channels * layer.depth_multiplier
        if layer.kind == "separable_conv":
            weights += channels * layer.depth_multiplier * layer.filters
        multiply_adds = weights * pixels
    if layer.bias:
        weights += layer.filters
    return LayerCost(layer.name, layer.kind, layer.shape, weights + statistics, weights, 2 * multiply_adds)


def peak_bytes(layers: tuple[Layer, ...]) -> int:
    """Give the most bytes of float32 activations alive at once, at batch 1, layers run in order."""
    last_use = {place: number for number, layer in enumerate(layers) for place in layer.inputs}
    home: dict[int, int] = {}  # the layer in whose memory each layer's output lies
    released: dict[int, int] = {}  # for each memory, the last layer that reads it
    for number, layer in enumerate(layers):
        first = layer.inputs[0] if layer.inputs else number
        free = home.get(first) is not None and released[home[first]] <= number
        home[number] = home[first] if layer.kind in IN_PLACE and free else number
        released[home[number]] = max(released.get(home[number], number), last_use.get(number, number))
    sizes: dict[int, int] = {}  # of each memory, with what it holds at the moment
    ended: dict[int, list[int]] = {}  # the memories that each layer is the last to read
    for memory, reader in released.items():
        ended.setdefault(reader, []).append(memory)
    peak = total = 0
    for number, layer in enumerate(layers):
        size = 4 * prod(layer.shape)
        total += size - sizes.get(home[number], 0)
        sizes[home[number]] = size
        peak = max(peak, total)
        total -= sum(sizes.pop(memory) for memory in ended.get(number, ()))
    return peak
