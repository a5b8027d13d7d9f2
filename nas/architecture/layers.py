"""The layers of a network as plain data, and the graph that builds them.

A network is a list of `Layer` in the order in which they run. The cost model, the Keras model, the latency
model and the architecture's id read this list. A list of `Span` records which layers form a block or a unit;
it serves readers of the network, such as exported source, and has no effect on the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Literal, NamedTuple

__all__ = ["BIASED_KINDS", "NORM_MOMENTUM", "Graph", "Kind", "Layer", "Shape", "Span", "SpanKind"]

Shape = tuple[int, ...]
"""Shape of a tensor without the batch: (height, width, channels), (length, channels) or (units,)."""

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
"""Kinds of layers that have a kernel and may have a bias."""

NORM_MOMENTUM = 0.9
"""Momentum of the moving statistics of batch normalization.

With Keras' default of 0.99 the initial statistics still matter after hundreds of steps, which would distort
the validation of a network that is trained for a few epochs on a small data set.
"""


class Layer(NamedTuple):
    """One layer. Values that its kind does not use have their defaults."""

    kind: Kind
    name: str
    inputs: tuple[int, ...]  # indices in the list of layers
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


SpanKind = Literal["block", "decoder_block", "unit", "expansion", "squeeze_excitation"]


class Span(NamedTuple):
    """Consecutive layers that form one part of a network; spans are nested or disjoint.

    A `unit` is one convolution of a block with its normalization and activation. In an `expansion` and a
    `squeeze_excitation` the first convolution has `ratio` output channels per input channel; in the latter,
    the second has as many as the span's input.
    """

    kind: SpanKind
    start: int  # index of the first layer
    end: int  # index after the last layer
    label: str = ""  # for readers: of a unit, the kind of its convolution
    ratio: float = 0.0


class Graph:
    """Builder of the list of layers. A method that adds a layer returns the index of the layer."""

    def __init__(self, input_shape: Shape) -> None:
        self.layers: list[Layer] = [Layer("input", "input", (), input_shape)]
        self.spans: list[Span] = []

    def add_span(self, kind: SpanKind, start: int, label: str = "", ratio: float = 0.0) -> None:
        """Record that the layers added since the list had `start` layers form one part; may be none."""
        if start < len(self.layers):
            self.spans.append(Span(kind, start, len(self.layers), label, ratio))

    def shape(self, index: int) -> Shape:
        """Return the shape of a layer's output."""
        return self.layers[index].shape

    def channels(self, index: int) -> int:
        """Return the number of channels of a layer's output."""
        return self.layers[index].shape[-1]

    def _add(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers) - 1

    def _window(
        self, x: int, kernel_size: int, stride: int, dilation: int, padding: str
    ) -> tuple[Shape, str]:
        """Return the spatial shape of the output of a sliding window over x, and the effective padding.

        The effective padding is 'same' if the window is larger than the map, or if both paddings are equal.
        """
        spatial = self.shape(x)[:-1]
        extent = (kernel_size - 1) * dilation + 1
        padded = tuple(ceil(size / stride) for size in spatial)
        if padding == "same" or min(spatial) < extent:
            return padded, "same"
        inside = tuple((size - extent) // stride + 1 for size in spatial)
        ends = [(count - 1) * stride + extent for count in padded]
        equal = padded == inside and all(end <= size for end, size in zip(ends, spatial, strict=True))
        return inside, "same" if equal else "valid"

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
        """Add a convolution; `filters` is ignored by a depthwise one: it has channels x depth_multiplier."""
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
        """Add a convolution that multiplies the size of the map by its stride."""
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
        """Add an activation; add nothing for 'none'."""
        if function == "none":
            return x
        return self._add(Layer("activation", name, (x,), self.shape(x), function=function))

    def pool(
        self, x: int, name: str, kind: Literal["max_pool", "average_pool"], size: int, padding: str
    ) -> int:
        """Add a pooling of stride 2; a window of 3 is reduced to 2 on a map of at most 2 pixels."""
        size = min(size, max(2, *self.shape(x)[:-1]))
        spatial, padding = self._window(x, size, 2, 1, padding)
        return self._add(Layer(kind, name, (x,), (*spatial, self.channels(x)), 0, size, 2, padding=padding))

    def global_pool(
        self, x: int, name: str, kind: Literal["global_average", "global_max"], keep_dims: bool = False
    ) -> int:
        """Add a global pooling; on a map of one pixel always the average, which equals the maximum there."""
        channels = self.channels(x)
        if set(self.shape(x)[:-1]) == {1}:
            kind = "global_average"
        shape = (*(1 for _ in self.shape(x)[:-1]), channels) if keep_dims else (channels,)
        return self._add(Layer(kind, name, (x,), shape, keep_dims=keep_dims))

    def flatten(self, x: int, name: str) -> int:
        """Add a flattening of the map to one dimension."""
        units = 1
        for size in self.shape(x):
            units *= size
        return self._add(Layer("flatten", name, (x,), (units,)))

    def dropout(self, x: int, name: str, rate: float) -> int:
        """Add a dropout; add nothing for a rate of 0."""
        return self._add(Layer("dropout", name, (x,), self.shape(x), rate=rate)) if rate else x

    def rescale(self, x: int, name: str) -> int:
        """Add a division of pixels by 255."""
        return self._add(Layer("rescale", name, (x,), self.shape(x)))

    def upsample(self, x: int, name: str) -> int:
        """Add a bilinear interpolation that doubles the size of the map."""
        *spatial, channels = self.shape(x)
        return self._add(Layer("upsample", name, (x,), (*(2 * size for size in spatial), channels), stride=2))

    def crop(self, x: int, name: str, spatial: Sequence[int]) -> int:
        """Add a cropping at the end of each dimension; add nothing if the map already has the size."""
        shape = (*spatial, self.channels(x))
        return x if shape == self.shape(x) else self._add(Layer("crop", name, (x,), shape))

    def merge(self, inputs: Sequence[int], name: str, kind: Literal["add", "multiply", "concat"]) -> int:
        """Add a merge of maps; the output of 'add' and 'multiply' has the shape of the first map."""
        shape = self.shape(inputs[0])
        if kind == "concat":
            shape = (*shape[:-1], sum(self.channels(index) for index in inputs))
        return self._add(Layer(kind, name, tuple(inputs), shape))

    def finished(self) -> tuple[Layer, ...]:
        """Return the layers, without the biases that a batch normalization directly after them removes."""
        readers: dict[int, list[str]] = {}
        for layer in self.layers:
            for index in layer.inputs:
                readers.setdefault(index, []).append(layer.kind)
        return tuple(
            layer._replace(bias=False) if layer.bias and readers.get(index) == ["batch_norm"] else layer
            for index, layer in enumerate(self.layers)
        )
