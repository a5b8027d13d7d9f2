"""The layers of a network as plain data, and a builder that knows every shape.

A network is a list of `Layer` in the order in which they run. Everything that must know a network's
structure reads this list: the cost model, the Keras model, the latency model and the architecture's
id. Nothing here knows Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Literal, NamedTuple

__all__ = ["BIASED_KINDS", "NORM_MOMENTUM", "Graph", "Kind", "Layer", "Shape"]

Shape = tuple[int, ...]
"""A tensor's shape without the batch: (height, width, channels), (length, channels) or (units,)."""

Kind = Literal[
    "input",
    "rescale",
    "conv",
    "depthwise_conv",
    "separable_conv",
    "transposed_conv",
    "dense",
    "batch_norm",
    "activation",
    "max_pool",
    "average_pool",
    "global_average",
    "global_max",
    "flatten",
    "dropout",
    "add",
    "multiply",
    "concat",
    "upsample",
    "crop",
]

BIASED_KINDS = frozenset({"conv", "depthwise_conv", "separable_conv", "transposed_conv", "dense"})
"""Kinds that have weights and may have a bias."""

NORM_MOMENTUM = 0.9
"""Of batch normalization's moving statistics. Keras' default of 0.99 needs hundreds of steps to forget its
start, so that a network trained for a few epochs on a small data set is judged by statistics not its own."""


class Layer(NamedTuple):
    """One layer. Values that its kind does not use keep their defaults."""

    kind: Kind
    name: str
    inputs: tuple[int, ...]  # places in the list of layers
    shape: Shape  # of the output
    filters: int = 0  # output channels of a convolution, units of a dense layer
    kernel_size: int = 0  # also a pooling's window; the same in every direction
    stride: int = 1  # also the factor of an upsampling
    dilation: int = 1
    groups: int = 1
    depth_multiplier: int = 1
    bias: bool = False
    padding: str = "same"
    function: str = ""  # of an activation
    rate: float = 0.0  # of a dropout
    keep_dims: bool = False  # of a global pooling


class Graph:
    """Builds the list of layers. Every method adds one layer and returns its place."""

    def __init__(self, input_shape: Shape) -> None:
        self.layers: list[Layer] = [Layer("input", "input", (), input_shape)]

    def shape(self, place: int) -> Shape:
        """Give the shape of a layer's output."""
        return self.layers[place].shape

    def channels(self, place: int) -> int:
        """Give the channels of a layer's output."""
        return self.layers[place].shape[-1]

    def _add(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers) - 1

    def _window(
        self, x: int, kernel_size: int, stride: int, dilation: int, padding: str
    ) -> tuple[Shape, str]:
        """Give the spatial shape after a window slid over x, and the padding.

        That is 'same' where the window is too big for the map, and where nothing is to be padded.
        """
        spatial = self.shape(x)[:-1]
        extent = (kernel_size - 1) * dilation + 1
        padded = tuple(ceil(size / stride) for size in spatial)
        if padding == "same" or min(spatial) < extent:
            return padded, "same"
        inside = tuple((size - extent) // stride + 1 for size in spatial)
        ends = [(count - 1) * stride + extent for count in padded]
        alike = padded == inside and all(end <= size for end, size in zip(ends, spatial, strict=True))
        return inside, "same" if alike else "valid"

    def conv(
        self,
        x: int,
        name: str,
        filters: int,
        kernel_size: int = 1,
        *,
        kind: Literal["conv", "depthwise_conv", "separable_conv"] = "conv",
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        padding: str = "same",
    ) -> int:
        """Add a convolution; a depthwise one makes channels x depth_multiplier, whatever `filters` says."""
        dilation = dilation if stride == 1 and kernel_size > 1 else 1
        spatial, padding = self._window(x, kernel_size, stride, dilation, padding)
        if kind == "depthwise_conv":
            filters = self.channels(x) * depth_multiplier
        return self._add(
            Layer(
                kind, name, (x,), (*spatial, filters), filters, kernel_size, stride, dilation, groups,
                depth_multiplier, bias, padding,
            )
        )  # fmt: skip

    def transposed_conv(
        self, x: int, name: str, filters: int, kernel_size: int, *, stride: int, bias: bool
    ) -> int:
        """Add a convolution that enlarges the map by its stride."""
        spatial = tuple(size * stride for size in self.shape(x)[:-1])
        return self._add(
            Layer("transposed_conv", name, (x,), (*spatial, filters), filters, kernel_size, stride, bias=bias)
        )

    def dense(self, x: int, name: str, units: int) -> int:
        """Add a dense layer."""
        return self._add(Layer("dense", name, (x,), (units,), units, bias=True))

    def batch_norm(self, x: int, name: str) -> int:
        """Add batch normalization."""
        return self._add(Layer("batch_norm", name, (x,), self.shape(x)))

    def activation(self, x: int, name: str, function: str) -> int:
        """Add an activation, or nothing for 'none'."""
        if function == "none":
            return x
        return self._add(Layer("activation", name, (x,), self.shape(x), function=function))

    def pool(
        self, x: int, name: str, kind: Literal["max_pool", "average_pool"], size: int, padding: str
    ) -> int:
        """Halve the map; of 2 pixels a window of 3 sees no more than one of 2."""
        size = min(size, max(2, *self.shape(x)[:-1]))
        spatial, padding = self._window(x, size, 2, 1, padding)
        return self._add(Layer(kind, name, (x,), (*spatial, self.channels(x)), 0, size, 2, padding=padding))

    def global_pool(
        self, x: int, name: str, kind: Literal["global_average", "global_max"], keep_dims: bool = False
    ) -> int:
        """Reduce the map to one pixel, or to its channels; of one pixel the greatest is the average."""
        channels = self.channels(x)
        if set(self.shape(x)[:-1]) == {1}:
            kind = "global_average"
        shape = (*(1 for _ in self.shape(x)[:-1]), channels) if keep_dims else (channels,)
        return self._add(Layer(kind, name, (x,), shape, keep_dims=keep_dims))

    def flatten(self, x: int, name: str) -> int:
        """Write a map as one row of numbers."""
        units = 1
        for size in self.shape(x):
            units *= size
        return self._add(Layer("flatten", name, (x,), (units,)))

    def dropout(self, x: int, name: str, rate: float) -> int:
        """Add a dropout, or nothing for a rate of 0."""
        return self._add(Layer("dropout", name, (x,), self.shape(x), rate=rate)) if rate else x

    def rescale(self, x: int, name: str) -> int:
        """Divide pixels by 255."""
        return self._add(Layer("rescale", name, (x,), self.shape(x)))

    def upsample(self, x: int, name: str) -> int:
        """Double the map's size, bilinearly."""
        *spatial, channels = self.shape(x)
        return self._add(Layer("upsample", name, (x,), (*(2 * size for size in spatial), channels), stride=2))

    def crop(self, x: int, name: str, spatial: Sequence[int]) -> int:
        """Cut rows and columns off the end until the map has this size; nothing where it has."""
        shape = (*spatial, self.channels(x))
        return x if shape == self.shape(x) else self._add(Layer("crop", name, (x,), shape))

    def merge(self, places: Sequence[int], name: str, kind: Literal["add", "multiply", "concat"]) -> int:
        """Join maps; the first gives the shape of 'add' and 'multiply'."""
        shape = self.shape(places[0])
        if kind == "concat":
            shape = (*shape[:-1], sum(self.channels(place) for place in places))
        return self._add(Layer(kind, name, tuple(places), shape))

    def finished(self) -> tuple[Layer, ...]:
        """Give the layers, without the biases that a batch normalization right behind makes useless."""
        readers: dict[int, list[str]] = {}
        for layer in self.layers:
            for place in layer.inputs:
                readers.setdefault(place, []).append(layer.kind)
        return tuple(
            layer._replace(bias=False) if layer.bias and readers.get(place) == ["batch_norm"] else layer
            for place, layer in enumerate(self.layers)
        )
