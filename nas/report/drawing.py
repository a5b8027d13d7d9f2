"""The structure of a network as plain data, from which the page draws it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from nas.architecture import Architecture, Layer, layer_costs

__all__ = ["draw_network"]

CONVOLUTIONS = {
    "standard convolution": "standard",
    "separable convolution": "separable",
    "depthwise separable convolution": "depthwise",
    "inverted bottleneck": "inverted",
    "transposed convolution": "transposed",
}
"""The kind of convolution by the label of a unit."""

DROPOUT = "dropout"
"""What follows the blocks of a stage; it is not drawn."""


def draw_network(architecture: Architecture) -> dict[str, Any]:
    """Return the boxes and the stages of a network.

    `boxes`: the input, the stem, each block and the head, each with its `stage`, the `shape` of its output,
    the `kind` and number (`convs`) of its convolutions, their `kernel` size, and `marks`: residual, skip
    (from the encoder), se (squeeze-and-excitation), norm, dropout, dense, and pool or stride, by which the
    map is halved.
    `stages`: `name`, `params` and `flops` (2 x multiply-adds), counted as Keras counts them.
    """
    layers = architecture.layers
    groups = [list(group) for _, group in groupby(range(len(layers)), key=lambda n: _part(layers[n].name))]
    stages: dict[str, dict[str, Any]] = {}
    for layer, cost in zip(layers, layer_costs(architecture), strict=True):
        name = _part(layer.name).partition(" ")[0]
        stage = stages.setdefault(name, {"name": name, "params": 0, "flops": 0})
        stage["params"] += cost.params
        stage["flops"] += cost.flops
    del stages["input"]
    boxes = [
        _box(architecture, group) for group in groups if not _part(layers[group[0]].name).endswith(DROPOUT)
    ]
    return {"boxes": boxes, "stages": list(stages.values())}


def _part(name: str) -> str:
    """Return the part of the network that a layer belongs to, by the layer's name."""
    words = name.split("_")
    if words[0] in ("input", "rescale"):
        return "input"
    if words[0] == "output":
        return "head"
    if len(words) > 1 and words[1].startswith("block"):
        return f"{words[0]} {words[1]}"
    return f"{words[0]} {DROPOUT}" if words[0].startswith("stage") else words[0]


def _box(architecture: Architecture, group: Sequence[int]) -> dict[str, Any]:
    layers, first, last = architecture.layers, group[0], group[-1]
    own = [layers[index] for index in group]
    units = [s for s in architecture.spans if s.kind == "unit" and first <= s.start and s.end <= last + 1]
    convolutions = [layer for layer in own if layer.kind in ("conv", "transposed_conv")]
    kinds = list(dict.fromkeys(CONVOLUTIONS[unit.label] for unit in units))
    kernels = [layer.kernel_size for layer in own if layer.kind not in ("max_pool", "average_pool")]
    return {
        "stage": _part(own[0].name).partition(" ")[0],
        "shape": list(own[-1].shape),
        "kind": kinds[0] if kinds else ("standard" if convolutions else ""),
        "convs": len(units) or len(convolutions),
        "kernel": max(kernels),
        "marks": _marks(own, layers[own[0].inputs[0]].shape if own[0].inputs else own[0].shape),
    }


def _marks(own: Sequence[Layer], before: Sequence[int]) -> list[str]:
    kinds = {layer.kind for layer in own}
    pooled = kinds & {"max_pool", "average_pool"}
    is_decoder = own[0].name.startswith("decoder")
    halved = len(own[-1].shape) > 1 and own[-1].shape[0] < before[0]
    known = {
        "residual": "add" in kinds and not is_decoder,
        "skip": is_decoder and bool(kinds & {"add", "concat"}),
        "se": "multiply" in kinds,
        "norm": "batch_norm" in kinds,
        "dropout": "dropout" in kinds,
        "pool": bool(pooled),
        "stride": halved and not pooled,
        "dense": "dense" in kinds,
    }
    return [name for name, is_there in known.items() if is_there]
