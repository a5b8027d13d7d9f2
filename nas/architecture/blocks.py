"""From the parts of an architecture to layers: the one place where a network's structure is written.

The rules that no space may break are settled here. A feature map is never shrunk below one pixel; a
shortcut stands only where its shape can be made equal; a value without an effect leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Literal, Protocol

from nas.architecture.layers import Graph, Shape
from nas.architecture.parts import Decoder, Head, Stage, Stem

__all__ = ["Network", "build_network", "classifier_head", "decoder", "segmentation_head", "stage", "stem"]

Convolve = Callable[[int, str], int]


class Network(Protocol):
    """What a network is made of: an Architecture, or one whose values are still being looked for."""

    @property
    def task(self) -> str:
        """See Architecture, as for all that follow."""
        ...

    @property
    def classes(self) -> int:
        """How many."""
        ...

    @property
    def rescale(self) -> bool:
        """Whether pixels are divided by 255."""
        ...

    @property
    def stem(self) -> Stem | None:
        """The first convolution."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """In the order in which they run."""
        ...

    @property
    def decoder(self) -> Decoder | None:
        """Of segmentation; None: one with its defaults."""
        ...

    @property
    def head(self) -> Head | None:
        """None: the last feature map is the output."""
        ...


def build_network(graph: Graph, parts: Network) -> None:
    """Add all layers of a network behind the input."""
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
            pools = [place for place in range(before + 1, x + 1) if graph.layers[place].kind in POOLS]
            skips.append((part.width, graph.layers[pools[0]].inputs[0] if pools else before))
    if parts.task == "segmentation":
        x = decoder(graph, x, parts.decoder or Decoder(), skips)
        if parts.head is not None:
            segmentation_head(graph, x, parts.head, parts.classes, shape)
    elif parts.head is not None:
        classifier_head(graph, x, parts.head, 1 if parts.task == "binary" else parts.classes)


POOLS = ("max_pool", "average_pool")


def stem(graph: Graph, x: int, part: Stem) -> int:
    """Add the stem: one standard convolution with its normalization and activation."""
    stride = part.stride if min(graph.shape(x)[:-1]) > 1 else 1

    def convolve(y: int, name: str) -> int:
        return graph.conv(
            y, name, part.width, part.kernel_size, stride=stride, bias=part.bias, padding=part.padding
        )

    return _unit(graph, x, "stem", convolve, part.normalization, part.activation)


def stage(graph: Graph, x: int, part: Stage, name: str) -> int:
    """Add a stage: its blocks, of which the first may shrink the map, and its dropout."""
    for block in range(part.blocks):
        shrink = part.shrink if block == 0 and min(graph.shape(x)[:-1]) > 1 else "none"
        x = _block(graph, x, part, f"{name}_block{block + 1}", shrink)
    return graph.dropout(x, f"{name}_dropout", part.dropout)


def _block(graph: Graph, x: int, part: Stage, name: str, shrink: str) -> int:
    shortcut = x
    for number in range(part.convs):
        stride = 2 if shrink == "strided" and number == 0 else 1
        x = _convolution(graph, x, part, f"{name}_conv{number + 1}", stride)
    if part.squeeze_excitation:
        x = _squeeze_excitation(graph, x, part, f"{name}_se")
    if shrink in ("max_pool", "average_pool") and min(graph.shape(x)[:-1]) > 1:
        kind: Literal["max_pool", "average_pool"] = "max_pool" if shrink == "max_pool" else "average_pool"
        x = graph.pool(x, f"{name}_pool", kind, part.pool_size, part.padding)
    return _shortcut(graph, shortcut, x, part, name)


def _shortcut(graph: Graph, shortcut: int, x: int, part: Stage, name: str) -> int:
    if part.residual == "none":
        return x
    if graph.shape(shortcut) != graph.shape(x):
        before, after = graph.shape(shortcut)[:-1], graph.shape(x)[:-1]
        stride = 1 if before == after else 2
        if part.residual == "identity" or after != tuple(-(-size // stride) for size in before):
            return x
        shortcut = graph.conv(
            shortcut, f"{name}_shortcut", graph.channels(x), 1, stride=stride, bias=part.shortcut_bias
        )
    return graph.merge((x, shortcut), f"{name}_add", "add")


def _convolution(graph: Graph, x: int, part: Stage, name: str, stride: int) -> int:
    """Add one convolution of a block, of whichever kind the stage has."""
    if part.conv == "inverted_bottleneck":
        return _inverted_bottleneck(graph, x, part, name, stride)

    def unit(y: int, name: str, kind: Literal["conv", "depthwise_conv", "separable_conv"]) -> int:
        spatial = kind != "conv" or part.conv == "standard"

        def convolve(z: int, name: str) -> int:
            return graph.conv(
                z,
                name,
                part.width,
                part.kernel_size if spatial else 1,
                kind=kind,
                stride=stride if spatial else 1,
                dilation=part.dilation,
                groups=gcd(part.groups, graph.channels(z), part.width) if part.conv == "standard" else 1,
                depth_multiplier=part.depth_multiplier if kind != "conv" else 1,
                bias=part.bias,
                padding=part.padding,
            )

        return _unit(graph, y, name, convolve, part.normalization, part.activation)

    if part.conv == "standard":
        return unit(x, name, "conv")
    if part.conv == "separable":
        return unit(x, name, "separable_conv")
    x = unit(x, f"{name}_depthwise", "depthwise_conv")
    return unit(x, f"{name}_pointwise", "conv")


def _inverted_bottleneck(graph: Graph, x: int, part: Stage, name: str, stride: int) -> int:
    """Expand, filter each channel, project without activation (MobileNetV2, arXiv:1801.04381)."""
    inner = graph.channels(x) * part.expansion

    def expand(y: int, name: str) -> int:
        return graph.conv(y, name, inner, 1, bias=part.bias)

    def depthwise(y: int, name: str) -> int:
        return graph.conv(
            y, name, inner, part.kernel_size, kind="depthwise_conv", stride=stride,
            dilation=part.dilation, bias=part.bias, padding=part.padding,
        )  # fmt: skip

    def project(y: int, name: str) -> int:
        return graph.conv(y, name, part.width, 1, bias=part.bias)

    if part.expansion > 1:
        x = _unit(graph, x, f"{name}_expand", expand, part.normalization, part.activation)
    x = _unit(graph, x, f"{name}_depthwise", depthwise, part.normalization, part.activation)
    return _unit(graph, x, f"{name}_project", project, part.normalization, "none")


def _squeeze_excitation(graph: Graph, x: int, part: Stage, name: str) -> int:
    """Weigh the channels by what the whole map holds (arXiv:1709.01507)."""
    channels = graph.channels(x)
    y = graph.global_pool(x, f"{name}_squeeze", "global_average", keep_dims=True)
    y = graph.conv(y, f"{name}_reduce", max(1, round(channels * part.squeeze_excitation)), 1)
    y = graph.activation(y, f"{name}_relu", "relu")
    y = graph.conv(y, f"{name}_expand", channels, 1)
    y = graph.activation(y, f"{name}_sigmoid", "sigmoid")
    return graph.merge((x, y), f"{name}_scale", "multiply")


def _unit(graph: Graph, x: int, name: str, convolve: Convolve, normalization: str, function: str) -> int:
    """Place batch normalization and activation around a convolution."""
    if normalization == "before":
        x = graph.batch_norm(x, f"{name}_norm")
        x = graph.activation(x, f"{name}_act", function)
        return convolve(x, name)
    x = convolve(x, name)
    if normalization == "between":
        x = graph.batch_norm(x, f"{name}_norm")
    x = graph.activation(x, f"{name}_act", function)
    if normalization == "after":
        x = graph.batch_norm(x, f"{name}_norm")
    return x


def decoder(graph: Graph, x: int, part: Decoder, skips: list[tuple[int, int]]) -> int:
    """Enlarge the map again, once for each (width, encoder's map before it shrank), the first size last.

    The encoder's map is the input of the pooling, or of the stage whose convolution is strided.
    """
    for number, (width, skip) in enumerate(reversed(skips), start=1):
        name = f"decoder{number}"
        for conv in range(part.convs - 1):
            x = _decoder_conv(graph, x, part, f"{name}_conv{conv + 1}", width, 1)
        x = _decoder_conv(graph, x, part, f"{name}_up", width, 2)
        spatial = graph.shape(skip)[:-1]
        x = graph.crop(x, f"{name}_crop", spatial)
        if part.skip != "none" and graph.layers[skip].kind not in ("input", "rescale"):
            if part.skip == "add" and graph.channels(skip) != width:
                skip = graph.conv(skip, f"{name}_skip", width, 1)
            x = graph.merge((x, skip), f"{name}_{part.skip}", part.skip)
    return graph.dropout(x, "decoder_dropout", part.dropout)


def _decoder_conv(graph: Graph, x: int, part: Decoder, name: str, width: int, stride: int) -> int:
    if part.upsample == "interpolated" and stride == 2:
        x = graph.upsample(x, f"{name}_sample")

    def convolve(y: int, name: str) -> int:
        if part.upsample == "transposed":
            return graph.transposed_conv(y, name, width, part.kernel_size, stride=stride, bias=part.bias)
        kind: Literal["conv", "separable_conv"] = "conv" if part.conv == "standard" else "separable_conv"
        return graph.conv(y, name, width, part.kernel_size, kind=kind, bias=part.bias)

    return _unit(graph, x, name, convolve, part.normalization, part.activation)


def classifier_head(graph: Graph, x: int, part: Head, outputs: int) -> int:
    """Add pooling or flattening, hidden dense layers, dropout and the output layer."""
    if part.pooling == "flatten" and max(graph.shape(x)[:-1]) > 1:
        x = graph.flatten(x, "head_flatten")
    else:
        x = graph.global_pool(
            x, "head_pool", "global_max" if part.pooling == "global_max" else "global_average"
        )
    for number, units in enumerate(filter(None, part.dense), start=1):
        x = graph.dense(x, f"head_dense{number}", units)
        x = graph.activation(x, f"head_dense{number}_act", part.activation)
    x = graph.dropout(x, "head_dropout", part.dropout)
    x = graph.dense(x, "output", outputs)
    return graph.activation(x, "output_act", "sigmoid" if outputs == 1 else "softmax")


def segmentation_head(graph: Graph, x: int, part: Head, classes: int, shape: Shape) -> int:
    """Add dropout and the convolution that gives each pixel of the input its classes."""
    x = graph.crop(x, "head_crop", shape[:-1])
    x = graph.dropout(x, "head_dropout", part.dropout)
    x = graph.conv(x, "output", classes, part.kernel_size)
    return graph.activation(x, "output_act", "softmax")
