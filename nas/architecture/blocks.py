"""The layers that the parts of an architecture build: the structure of networks is defined here only.

Rules that hold in every search space: a feature map is never reduced below one pixel; a shortcut is added
only if its shape can be made equal; a value without an effect changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Protocol, assert_never

from nas.architecture.layers import Graph, Shape
from nas.architecture.parts import Decoder, Head, Shrink, Stage, Stem

__all__ = ["Network", "build_network", "decoder", "segmentation_head", "stage", "stem", "vector_head"]

Convolve = Callable[[int, str], int]
"""Adds a convolution after a layer, under a name."""


class Network(Protocol):
    """The values that define a network: an Architecture, or values that are still being matched."""

    @property
    def task(self) -> str:
        """See `Architecture.task`."""
        ...

    @property
    def classes(self) -> int:
        """See `Architecture.classes`."""
        ...

    @property
    def rescale(self) -> bool:
        """Whether the network divides its input by 255."""
        ...

    @property
    def stem(self) -> Stem | None:
        """Convolution before the first stage."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """Stages in the order in which they run."""
        ...

    @property
    def decoder(self) -> Decoder | None:
        """Decoder of a segmentation network; None for one with its defaults."""
        ...

    @property
    def head(self) -> Head | None:
        """Layers after the last feature map; None makes the last feature map the output."""
        ...


def build_network(graph: Graph, parts: Network) -> None:
    """Add all layers of a network after the input."""
    shape = graph.shape(0)
    x = graph.rescale(0, "rescale") if parts.rescale else 0
    skips: list[tuple[int, int]] = []
    if parts.stem is not None:
        before, x = x, stem(graph, x, parts.stem)
        if graph.shape(x)[:-1] != shape[:-1]:
            skips.append((parts.stem.width, before))
    for number, part in enumerate(parts.stages, start=1):
        before, x = x, stage(graph, x, part, f"stage{number}")
        if graph.shape(x)[:-1] != graph.shape(before)[:-1]:
            pools = [index for index in range(before + 1, x + 1) if graph.layers[index].kind in POOLS]
            skips.append((part.width, graph.layers[pools[0]].inputs[0] if pools else before))
    if parts.task == "segmentation":
        x = decoder(graph, x, parts.decoder or Decoder(), skips)
        if parts.head is not None:
            segmentation_head(graph, x, parts.head, parts.classes, shape)
    elif parts.head is not None:
        vector_head(graph, x, parts.head, 1 if parts.task == "binary" else parts.classes, OUTPUTS[parts.task])


OUTPUTS = {"classification": "softmax", "binary": "sigmoid", "multi_label": "sigmoid", "regression": "none"}
"""The activation of the output, by task."""

POOLS = ("max_pool", "average_pool")


def stem(graph: Graph, x: int, part: Stem) -> int:
    """Add the stem: one standard convolution with its normalization and activation."""
    stride = part.stride if min(graph.shape(x)[:-1]) > 1 else 1

    def convolve(y: int, name: str) -> int:
        return graph.conv(
            y, name, part.width, part.kernel_size, stride=stride, bias=part.bias, padding=part.padding
        )

    return _normalized(graph, x, "stem", convolve, part)


def stage(graph: Graph, x: int, part: Stage, name: str) -> int:
    """Add a stage: its blocks, of which the first may halve the map, and its dropout."""
    for block in range(part.blocks):
        shrink: Shrink = part.shrink if block == 0 and min(graph.shape(x)[:-1]) > 1 else "none"
        x = _block(graph, x, part, f"{name}_block{block + 1}", shrink)
    return graph.dropout(x, f"{name}_dropout", part.dropout)


def _block(graph: Graph, x: int, part: Stage, name: str, shrink: Shrink) -> int:
    """Add a block: its convolutions, squeeze-and-excitation, pooling and shortcut."""
    start, shortcut = len(graph.layers), x
    for number in range(part.convs):
        stride = 2 if shrink == "strided" and number == 0 else 1
        x = _convolution(graph, x, part, f"{name}_conv{number + 1}", stride)
    if part.squeeze_excitation:
        x = _squeeze_excitation(graph, x, part, f"{name}_se")
    match shrink:
        case "max_pool" | "average_pool":
            if min(graph.shape(x)[:-1]) > 1:
                x = graph.pool(x, f"{name}_pool", shrink, part.pool_size, part.padding)
        case "none" | "strided":
            pass
        case _:
            assert_never(shrink)
    x = _shortcut(graph, shortcut, x, part, name)
    graph.add_span("block", start)
    return x


def _shortcut(graph: Graph, shortcut: int, x: int, part: Stage, name: str) -> int:
    """Add the connection from a block's input to its output, if their shapes are or can be made equal."""
    same_shape = graph.shape(shortcut) == graph.shape(x)
    match part.residual:
        case "none":
            return x
        case "identity":
            if not same_shape:
                return x
        case "projection":
            if not same_shape:
                before, after = graph.shape(shortcut)[:-1], graph.shape(x)[:-1]
                stride = 1 if before == after else 2
                if after != tuple(-(-size // stride) for size in before):
                    return x
                width, bias = graph.channels(x), part.shortcut_bias
                shortcut = graph.conv(shortcut, f"{name}_shortcut", width, stride=stride, bias=bias)
        case _:
            assert_never(part.residual)
    return graph.merge((x, shortcut), f"{name}_add", "add")


def _convolution(graph: Graph, x: int, part: Stage, name: str, stride: int) -> int:
    """Add one convolution of a block, of the kind that the stage states."""
    start = len(graph.layers)

    def depthwise(y: int, name: str) -> int:
        return graph.conv(
            y, name, 0, part.kernel_size, kind="depthwise_conv", stride=stride, dilation=part.dilation,
            depth_multiplier=part.depth_multiplier if part.conv == "depthwise_pointwise" else 1,
            bias=part.bias, padding=part.padding,
        )  # fmt: skip

    def pointwise(y: int, name: str) -> int:
        return graph.conv(y, name, part.width, bias=part.bias)

    match part.conv:
        case "standard":

            def standard(y: int, name: str) -> int:
                return graph.conv(
                    y, name, part.width, part.kernel_size, stride=stride, dilation=part.dilation,
                    groups=gcd(part.groups, graph.channels(y), part.width), bias=part.bias,
                    padding=part.padding,
                )  # fmt: skip

            x = _normalized(graph, x, name, standard, part)
            label = "standard convolution"
        case "separable":

            def separable(y: int, name: str) -> int:
                return graph.conv(
                    y, name, part.width, part.kernel_size, kind="separable_conv", stride=stride,
                    dilation=part.dilation, depth_multiplier=part.depth_multiplier, bias=part.bias,
                    padding=part.padding,
                )  # fmt: skip

            x = _normalized(graph, x, name, separable, part)
            label = "separable convolution"
        case "depthwise_pointwise":
            x = _normalized(graph, x, f"{name}_depthwise", depthwise, part)
            x = _normalized(graph, x, f"{name}_pointwise", pointwise, part)
            label = "depthwise separable convolution"
        case "inverted_bottleneck":
            # Expansion, depthwise convolution, projection without activation (MobileNetV2, arXiv:1801.04381).
            if part.expansion > 1:
                inner = graph.channels(x) * part.expansion

                def expand(y: int, name: str) -> int:
                    return graph.conv(y, name, inner, bias=part.bias)

                x = _normalized(graph, x, f"{name}_expand", expand, part)
                graph.add_span("expansion", start, ratio=part.expansion)
            x = _normalized(graph, x, f"{name}_depthwise", depthwise, part)
            x = _normalized(graph, x, f"{name}_project", pointwise, part, "none")
            label = "inverted bottleneck"
        case _:
            assert_never(part.conv)
    graph.add_span("unit", start, label)
    return x


def _squeeze_excitation(graph: Graph, x: int, part: Stage, name: str) -> int:
    """Add weights of the channels that depend on the whole map (arXiv:1709.01507)."""
    start, channels = len(graph.layers), graph.channels(x)
    y = graph.global_pool(x, f"{name}_squeeze", "global_average", keep_dims=True)
    y = graph.conv(y, f"{name}_reduce", max(1, round(channels * part.squeeze_excitation)), 1)
    y = graph.activation(y, f"{name}_relu", "relu")
    y = graph.conv(y, f"{name}_expand", channels, 1)
    y = graph.activation(y, f"{name}_sigmoid", "sigmoid")
    x = graph.merge((x, y), f"{name}_scale", "multiply")
    graph.add_span("squeeze_excitation", start, "squeeze-and-excitation", part.squeeze_excitation)
    return x


def _normalized(
    graph: Graph, x: int, name: str, convolve: Convolve, part: Stem | Stage | Decoder, function: str = ""
) -> int:
    """Add a convolution with batch normalization and activation where the part states them.

    `function` replaces the activation of the part.
    """
    function = function or part.activation
    match part.normalization:
        case "before":
            x = graph.batch_norm(x, f"{name}_norm")
            x = graph.activation(x, f"{name}_act", function)
            return convolve(x, name)
        case "between":
            x = convolve(x, name)
            x = graph.batch_norm(x, f"{name}_norm")
            return graph.activation(x, f"{name}_act", function)
        case "after":
            x = convolve(x, name)
            x = graph.activation(x, f"{name}_act", function)
            return graph.batch_norm(x, f"{name}_norm")
        case "none":
            return graph.activation(convolve(x, name), f"{name}_act", function)
        case _:
            assert_never(part.normalization)


def decoder(graph: Graph, x: int, part: Decoder, skips: list[tuple[int, int]]) -> int:
    """Add the decoder, which enlarges the map once for each skip, the last skip first.

    A skip is the width of a stage and the index of the encoder's map before it was halved: the input of the
    pooling, or of the stage whose convolution is strided.
    """
    for number, (width, skip) in enumerate(reversed(skips), start=1):
        name, start = f"decoder{number}", len(graph.layers)
        for conv in range(part.convs - 1):
            x = _decoder_conv(graph, x, part, f"{name}_conv{conv + 1}", width, 1)
        x = _decoder_conv(graph, x, part, f"{name}_up", width, 2)
        x = graph.crop(x, f"{name}_crop", graph.shape(skip)[:-1])
        if part.skip != "none" and graph.layers[skip].kind not in ("input", "rescale"):
            if part.skip == "add" and graph.channels(skip) != width:
                skip = graph.conv(skip, f"{name}_skip", width, 1)
            x = graph.merge((x, skip), f"{name}_{part.skip}", part.skip)
        graph.add_span("decoder_block", start)
    return graph.dropout(x, "decoder_dropout", part.dropout)


def _decoder_conv(graph: Graph, x: int, part: Decoder, name: str, width: int, stride: int) -> int:
    """Add one convolution of a decoder; a stride of 2 doubles the map."""
    if part.upsample == "interpolated" and stride == 2:
        x = graph.upsample(x, f"{name}_sample")
    start = len(graph.layers)

    def convolve(y: int, name: str) -> int:
        match part.upsample, part.conv:
            case "transposed", _:
                return graph.transposed_conv(y, name, width, part.kernel_size, stride=stride, bias=part.bias)
            case "interpolated", "standard":
                return graph.conv(y, name, width, part.kernel_size, bias=part.bias)
            case "interpolated", "separable":
                return graph.conv(y, name, width, part.kernel_size, kind="separable_conv", bias=part.bias)
            case unknown:
                assert_never(unknown)

    x = _normalized(graph, x, name, convolve, part)
    kind = "transposed" if part.upsample == "transposed" else part.conv
    graph.add_span("unit", start, f"{kind} convolution")
    return x


def vector_head(graph: Graph, x: int, part: Head, outputs: int, function: str) -> int:
    """Add pooling or flattening, hidden dense layers, dropout and the output layer with its activation."""
    match part.pooling:
        case "flatten" if max(graph.shape(x)[:-1]) > 1:
            x = graph.flatten(x, "head_flatten")
        case "flatten" | "global_average":
            x = graph.global_pool(x, "head_pool", "global_average")
        case "global_max":
            x = graph.global_pool(x, "head_pool", "global_max")
        case _:
            assert_never(part.pooling)
    for number, units in enumerate(filter(None, part.dense), start=1):
        x = graph.dense(x, f"head_dense{number}", units)
        x = graph.activation(x, f"head_dense{number}_act", part.activation)
    x = graph.dropout(x, "head_dropout", part.dropout)
    x = graph.dense(x, "output", outputs)
    return graph.activation(x, "output_act", function)


def segmentation_head(graph: Graph, x: int, part: Head, classes: int, shape: Shape) -> int:
    """Add dropout and the convolution that predicts the class of each pixel of the input."""
    x = graph.crop(x, "head_crop", shape[:-1])
    x = graph.dropout(x, "head_dropout", part.dropout)
    x = graph.conv(x, "output", classes, part.kernel_size)
    return graph.activation(x, "output_act", "softmax")
