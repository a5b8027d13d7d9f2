"""Check whether parts build given layers; stops at the first layer that differs."""

from __future__ import annotations

from collections.abc import Sequence

from nas.architecture.blocks import Network, build_network
from nas.architecture.layers import Graph, Layer

__all__ = ["builds_layers"]


def builds_layers(parts: Network, layers: Sequence[Layer]) -> bool:
    """Check whether parts build these layers of a complete network; names of layers are ignored."""
    graph = _ComparedGraph(layers)
    try:
        build_network(graph, parts)
    except _DifferentLayerError:
        return False
    return len(graph.layers) == len(layers)


class _DifferentLayerError(Exception):
    """A layer that is added differs from the expected one."""


class _ComparedGraph(Graph):
    """A graph that compares each layer that is added with the one at the same index of a finished network."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers[0].shape)
        self._expected = layers
        readers: dict[int, list[str]] = {}
        for layer in layers:
            for index in layer.inputs:
                readers.setdefault(index, []).append(layer.kind)
        # As in `Graph.finished`: a bias has no effect if only batch normalization reads the layer.
        self._unbiased = {index for index, kinds in readers.items() if kinds == ["batch_norm"]}

    def _add(self, layer: Layer) -> int:
        index = len(self.layers)
        if index >= len(self._expected):
            raise _DifferentLayerError
        if index in self._unbiased:
            layer = layer._replace(bias=False)
        expected = self._expected[index]
        if layer[0] != expected[0] or layer[2:] != expected[2:]:
            raise _DifferentLayerError
        return super()._add(layer)
