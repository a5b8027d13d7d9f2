"""Layers as calls of Keras' classes."""

from __future__ import annotations

from typing import Any

from nas.architecture import BIASED_KINDS, Layer, Shape
from nas.backends import keras_layer
from nas.export.python.statements import ANY, Call, Code

__all__ = ["layer_call"]


def layer_call(
    layer: Layer, before: Shape, width: tuple[str, Any] | None = None, general: bool = False
) -> Call:
    """Return the call that adds a layer; arguments without an effect are ANY.

    `before` is the shape of the layer's first input. `width` replaces the argument `filters`. With `general`,
    standard and separable convolutions are calls of the same form.
    """
    class_name, arguments = keras_layer(layer, before)
    role = optional = ""
    if layer.kind in BIASED_KINDS:
        arguments["activation"] = None  # until one follows
    if layer.kernel_size == 1 and layer.kind != "transposed_conv":
        arguments["padding"] = ANY
        arguments["dilation_rate"] = ANY if layer.stride == 1 else layer.dilation
    if width is not None:
        del arguments["filters"]
        arguments = dict([width]) | arguments
    match layer.kind:
        case "conv" | "separable_conv" if general:
            role = "conv"
            for name in ("groups", "depth_multiplier"):
                arguments.pop(name, None)
        case "max_pool" | "average_pool":
            role = optional = "pool"
            if layer.kernel_size == 2:  # also the default of the stride
                even = not any(size % 2 for size in before[:-1])
                tiny = max(before[:-1]) <= 2  # a window of 3 has the same result
                arguments["strides"] = ANY
                arguments["pool_size"] = ANY if tiny else 2
                arguments["padding"] = ANY if even and not tiny else layer.padding
        case "crop":
            optional = "crop"
        case "upsample":
            del arguments["size"]
        case "rescale":
            arguments["scale"] = Code("1 / 255")
    return Call(Code(f"layers.{class_name}"), tuple(arguments.items()), role=role, optional=optional)
