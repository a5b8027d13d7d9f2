"""From an architecture's layers to calls of Keras layers, in units: a convolution and what is around it."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nas.architecture import BIASED_KINDS, NORM_MOMENTUM, Decoder, Layer, Stage
from nas.export.python.statements import ANY, Call, Code, Fixed, Scaled

__all__ = ["Block", "DecoderBlock", "Excitation", "Unit", "block", "calls_of", "decoder_block", "sections"]

Unit = tuple[Call, ...]
"""A convolution with its normalization and activation."""

SECTION = re.compile(r"stage\d+_block\d+|stage\d+_dropout|decoder\d+|[a-z]+")


class Excitation(NamedTuple):
    """A squeeze-and-excitation that keeps a share of the channels in its middle."""

    ratio: float
    inner: int
    outer: int


@dataclass(frozen=True)
class Block:
    """One block of a stage: units, and what follows them."""

    kind: str  # of convolution
    units: tuple[Unit, ...]
    excitation: Excitation | None
    pool: Call | None
    keeps: bool  # whether the decoder joins the map before the pooling
    projection: Call | None
    add: Call | None


@dataclass(frozen=True)
class DecoderBlock:
    """One step of a decoder: units, of which the last enlarges the map, and what follows them."""

    kind: str  # of convolution
    units: tuple[Unit, ...]
    sample: Call | None
    crop: Call | None
    projection: Call | None
    merge: Call | None


def sections(layers: Sequence[Layer]) -> list[tuple[str, list[int]]]:
    """Cut the layers into stem, blocks, dropouts, decoder, head: (name, places of its layers)."""
    found: list[tuple[str, list[int]]] = []
    for place, layer in enumerate(layers):
        match = SECTION.match(layer.name)
        name = match.group() if match else layer.name
        if not found or found[-1][0] != name:
            found.append((name, []))
        found[-1][1].append(place)
    return found


def block(
    layers: Sequence[Layer], name: str, places: Sequence[int], part: Stage, kept: Container[int] = ()
) -> Block:
    """Sort the layers of a block; `kept` are the places of the maps that the decoder joins."""
    convs = _starting(layers, f"{name}_conv", places)
    units: dict[str, list[int]] = {}
    for place in convs:
        number = layers[place].name.removeprefix(f"{name}_conv").split("_")[0]
        units.setdefault(number, []).append(place)
    excitation = None
    if reduce := _starting(layers, f"{name}_se_reduce", places):
        inner, outer = layers[reduce[0]].filters, layers[layers[reduce[0]].inputs[0]].shape[-1]
        excitation = Excitation(part.squeeze_excitation, inner, outer)
    pool = _single(layers, f"{name}_pool", places)
    return Block(
        kind=part.conv,
        units=tuple(calls_of(layers, unit) for unit in units.values()),
        excitation=excitation,
        pool=pool and Call(pool.function, pool.arguments, role="pool"),
        keeps=any(layers[p].name == f"{name}_pool" and layers[p].inputs[0] in kept for p in places),
        projection=_single(layers, f"{name}_shortcut", places, "shortcut"),
        add=_single(layers, f"{name}_add", places, ("x", "shortcut")),
    )


def decoder_block(layers: Sequence[Layer], name: str, places: Sequence[int], part: Decoder) -> DecoderBlock:
    """Sort the layers of a decoder's step."""
    units: dict[str, list[int]] = {}
    for place in _starting(layers, f"{name}_conv", places) + _starting(layers, f"{name}_up", places):
        number = layers[place].name.removeprefix(f"{name}_").split("_")[0]
        units.setdefault(number, []).append(place)
    transposed = any(layers[place].kind == "transposed_conv" for place in places)
    return DecoderBlock(
        kind="transposed" if transposed else part.conv,
        units=tuple(calls_of(layers, unit) for unit in units.values()),
        sample=_single(layers, f"{name}_up_sample", places),
        crop=_single(layers, f"{name}_crop", places),
        projection=_single(layers, f"{name}_skip", places, "skip"),
        merge=_single(layers, f"{name}_add", places, ("x", "skip"))
        or _single(layers, f"{name}_concat", places, ("x", "skip")),
    )


def _starting(layers: Sequence[Layer], prefix: str, places: Sequence[int]) -> list[int]:
    return [
        place
        for place in places
        if layers[place].name.startswith(prefix) and layers[place].kind != "upsample"
    ]


def _single(
    layers: Sequence[Layer], name: str, places: Sequence[int], inputs: str | tuple[str, ...] = "x"
) -> Call | None:
    """Give the call of the layer of this name, where there is one."""
    for place in places:
        if layers[place].name == name:
            variables = (inputs,) if isinstance(inputs, str) else inputs
            output = inputs if isinstance(inputs, str) else "x"
            made = _call(layers, place)
            return Call(made.function, made.arguments, variables, output)
    return None


def calls_of(layers: Sequence[Layer], places: Sequence[int]) -> Unit:
    """Turn layers that follow one another into calls; an activation joins the convolution before it."""
    found: list[Call] = []
    for place in places:
        layer = layers[place]
        before = layers[place - 1]
        if layer.kind == "activation" and before.kind in BIASED_KINDS and found:
            arguments = dict(found[-1].arguments)
            arguments["activation"] = layer.function
            found[-1] = Call(found[-1].function, tuple(arguments.items()))
        else:
            found.append(_call(layers, place))
    return tuple(found)


def _call(layers: Sequence[Layer], place: int) -> Call:
    """Turn one layer into a call that names every argument, Keras' defaults included."""
    layer = layers[place]
    before = layers[layer.inputs[0]].shape
    function = f"layers.{_class(layer, len(before) - 1)}"
    arguments: dict[str, Any] = {}
    match layer.kind:
        case "conv" | "separable_conv" | "depthwise_conv" | "transposed_conv":
            return Call(function, tuple(_convolution(layer, before).items()))
        case "batch_norm":
            arguments = {"momentum": NORM_MOMENTUM}
        case "dense":
            arguments = {"units": layer.filters, "activation": None}
        case "activation":
            arguments = {"function": layer.function}
        case "max_pool" | "average_pool":
            arguments = _pooling(layer, before)
        case "global_average" | "global_max":
            arguments = {"keepdims": layer.keep_dims}
        case "dropout":
            arguments = {"rate": layer.rate}
        case "rescale":
            arguments = {"scale": Code("1 / 255")}
        case "upsample":
            arguments = {"interpolation": "bilinear"}
        case "crop":
            cut = tuple((0, old - new) for old, new in zip(before[:-1], layer.shape[:-1], strict=True))
            arguments = {"cropping": cut}
    return Call(function, tuple(arguments.items()))


def _pooling(layer: Layer, before: tuple[int, ...]) -> dict[str, Any]:
    """Give the arguments of a pooling; those that make no difference on a map of this size are ANY."""
    tiny = layer.kernel_size == 2 and max(before[:-1]) <= 2  # a window of 3 sees no more
    even = layer.kernel_size == 2 and not any(size % 2 for size in before[:-1])
    return {
        "pool_size": ANY if tiny else layer.kernel_size,
        "strides": ANY if layer.kernel_size == 2 else 2,
        "padding": ANY if even and not tiny else layer.padding,
    }


def _convolution(layer: Layer, before: tuple[int, ...]) -> dict[str, Any]:
    if layer.name.endswith(("_expand", "_pointwise", "_project", "_shortcut", "_skip")):
        expanded = layer.name.endswith("_expand")
        return {
            "filters": Scaled(layer.filters // before[-1]) if expanded else layer.filters,
            "kernel_size": Fixed(1),
            **({"strides": layer.stride} if layer.name.endswith("_shortcut") else {}),
            "activation": None,
            "use_bias": layer.bias,
        }
    point = layer.kernel_size == 1 and layer.kind != "transposed_conv"
    arguments: dict[str, Any] = {"filters": layer.filters, "kernel_size": layer.kernel_size}
    if layer.kind == "depthwise_conv":
        del arguments["filters"]
    arguments["strides"] = layer.stride
    arguments["padding"] = ANY if point else layer.padding
    if layer.kind != "transposed_conv":
        arguments["dilation_rate"] = ANY if point and layer.stride == 1 else layer.dilation
        arguments["groups"] = layer.groups if layer.kind == "conv" else ANY
        arguments["depth_multiplier"] = ANY if layer.kind == "conv" else layer.depth_multiplier
    arguments["activation"] = None
    arguments["use_bias"] = layer.bias
    return arguments


def _class(layer: Layer, rank: int) -> str:
    """Name the class of Keras that a layer is."""
    names = {
        "conv": f"Conv{rank}D",
        "separable_conv": f"SeparableConv{rank}D",
        "depthwise_conv": f"DepthwiseConv{rank}D",
        "transposed_conv": f"Conv{rank}DTranspose",
        "dense": "Dense",
        "batch_norm": "BatchNormalization",
        "activation": "Activation",
        "max_pool": f"MaxPooling{rank}D",
        "average_pool": f"AveragePooling{rank}D",
        "global_average": f"GlobalAveragePooling{rank}D",
        "global_max": f"GlobalMaxPooling{rank}D",
        "flatten": "Flatten",
        "dropout": "Dropout",
        "rescale": "Rescaling",
        "upsample": f"UpSampling{rank}D",
        "crop": f"Cropping{rank}D",
        "add": "Add",
        "multiply": "Multiply",
        "concat": "Concatenate",
    }
    return names[layer.kind]
