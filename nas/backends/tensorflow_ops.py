"""A network as TensorFlow operations, straight from its list of layers.

Keras' layers cost a second of tracing for a network that trains in three. These operations compute
the same: a test holds every kind of layer against the Keras model that `nas.backends.keras_model` builds. A signal
(length, channels) is computed as an image of height 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from nas.architecture import Layer, Shape

__all__ = ["EPSILON", "ForwardMode", "WeightSpec", "forward", "initial_weights", "weight_specs"]

EPSILON = 1e-3  # of Keras' batch normalization

FAST_WIDTH = 3
"""Of a depthwise kernel: TensorFlow takes ten times as long for the gradient of a wider one."""

Role = Literal["kernel", "zeros", "gamma", "beta", "moving_mean", "moving_variance"]


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """One variable of a network, named as Keras names its path."""

    name: str
    shape: Shape
    role: Role

    @property
    def is_statistic(self) -> bool:
        """Whether it follows the batches instead of the gradient."""
        return self.role in ("moving_mean", "moving_variance")

    @property
    def is_norm(self) -> bool:
        """Whether it belongs to a batch normalization."""
        return self.role not in ("kernel", "zeros")


def weight_specs(layers: Sequence[Layer]) -> tuple[WeightSpec, ...]:
    """List a network's variables in the order of Keras' `model.weights`."""
    return tuple(weight for place in _keras_order(layers) for weight in _layer_weights(layers[place], layers))


def initial_weights(listed: Sequence[WeightSpec], seed: int) -> list[np.ndarray]:
    """Draw initial values as Keras' layers do by default: Glorot uniform kernels, zeros, ones."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in listed:
        if weight.role == "kernel":
            receptive = prod(weight.shape[:-2])
            limit = (6 / (receptive * sum(weight.shape[-2:]))) ** 0.5
            value = rng.uniform(-limit, limit, weight.shape)
        else:
            value = np.full(weight.shape, 1.0 if weight.role in ("gamma", "moving_variance") else 0.0)
        values.append(value.astype(np.float32))
    return values


def _keras_order(layers: Sequence[Layer]) -> list[int]:
    """Order the places of layers as a Functional model does: by depth, then by first visit from the end."""
    depths = [0] * len(layers)
    for place in range(len(layers) - 1, -1, -1):
        for source in layers[place].inputs:
            depths[source] = max(depths[source], depths[place] + 1)
    visits: dict[int, int] = {}
    pending = [len(layers) - 1]
    while pending:
        place = pending.pop()
        if place not in visits:
            visits[place] = len(visits)
            pending.extend(reversed(layers[place].inputs))
    return sorted(visits, key=lambda place: (-depths[place], visits[place]))


def _layer_weights(layer: Layer, layers: Sequence[Layer]) -> list[WeightSpec]:
    source = layers[layer.inputs[0]].shape if layer.inputs else ()
    window = (layer.kernel_size,) * (len(source) - 1)
    named: dict[str, tuple[Shape, Role]] = {}
    match layer.kind:
        case "conv":
            named["kernel"] = (*window, source[-1] // layer.groups, layer.filters), "kernel"
        case "transposed_conv":
            named["kernel"] = (*window, layer.filters, source[-1]), "kernel"
        case "depthwise_conv":
            named["kernel"] = (*window, source[-1], layer.depth_multiplier), "kernel"
        case "separable_conv":
            inner = source[-1] * layer.depth_multiplier
            ones = (1,) * len(window)
            named["depthwise_kernel"] = (*window, source[-1], layer.depth_multiplier), "kernel"
            named["pointwise_kernel"] = (*ones, inner, layer.filters), "kernel"
        case "dense":
            named["kernel"] = (source[-1], layer.filters), "kernel"
        case "batch_norm":
            roles: tuple[Role, ...] = ("gamma", "beta", "moving_mean", "moving_variance")
            named = {role: (source[-1:], role) for role in roles}
    if layer.bias:
        named["bias"] = (layer.shape[-1:], "zeros")
    return [WeightSpec(f"{layer.name}/{name}", shape, role) for name, (shape, role) in named.items()]


@dataclass(frozen=True)
class ForwardMode:
    """How a network is run: in training with dropout and batch statistics, or at inference."""

    training: bool
    frozen_norm: bool = False  # batch normalization at inference although training
    noise: Any = None  # uint64 (2,): seed and step, from which dropout draws


def forward(
    layers: Sequence[Layer], values: Mapping[str, Any], x: Any, how: ForwardMode
) -> tuple[Any, dict[str, tuple[Any, int]]]:
    """Run the layers on a batch up to the last activation, which the loss takes in.

    `x`: float (batch, height, width, channels) or (batch, length, channels). Returns the logits, and
    for each batch normalization in training its batch's mean, unbiased variance, and pixels an image.
    """
    import tensorflow as tf

    raw = tf.raw_ops
    last = len(layers) - 1
    maps: list[Any] = [x if len(layers[0].shape) != 2 else raw.ExpandDims(input=x, axis=1)]
    statistics: dict[str, tuple[Any, int]] = {}
    for place in range(1, len(layers)):
        layer = layers[place]
        x = maps[layer.inputs[0]]
        if place == last and layer.kind == "activation":
            break
        match layer.kind:
            case "conv" | "depthwise_conv" | "separable_conv" | "transposed_conv":
                x = _conv(layer, layers[layer.inputs[0]].shape, values, x)
            case "dense":
                x = raw.MatMul(a=x, b=values[f"{layer.name}/kernel"])
            case "batch_norm":
                gamma, beta, mean, variance = (
                    values[f"{layer.name}/{role}"]
                    for role in ("gamma", "beta", "moving_mean", "moving_variance")
                )
                trained = how.training and not how.frozen_norm
                known = () if trained else (mean, variance)
                done = raw.FusedBatchNormV3(
                    x=x, scale=gamma, offset=beta, epsilon=EPSILON, is_training=trained,
                    mean=known[0] if known else [], variance=known[1] if known else [],
                )  # fmt: skip
                x = done.y
                if trained:
                    statistics[f"{layer.name}/moving_mean"] = done.batch_mean, 0
                    statistics[f"{layer.name}/moving_variance"] = done.batch_variance, prod(layer.shape[:-1])
            case "activation":
                x = _activation(layer.function, x)
            case "dropout":
                x = _dropout(x, layer.rate, place, how.noise) if how.training else x
            case "rescale":
                x = raw.Mul(x=x, y=np.float32(1 / 255))
            case "add":
                x = raw.AddV2(x=x, y=maps[layer.inputs[1]])
            case "multiply":
                x = raw.Mul(x=x, y=maps[layer.inputs[1]])
            case "concat":
                x = raw.ConcatV2(values=[maps[source] for source in layer.inputs], axis=3)
            case _:
                x = _resized(layer, len(layers[layer.inputs[0]].shape), x)
        if layer.bias:
            x = raw.BiasAdd(value=x, bias=values[f"{layer.name}/bias"])
        maps.append(x)
    return x, statistics


def _conv(layer: Layer, source: Shape, values: Mapping[str, Any], x: Any) -> Any:
    import tensorflow as tf

    raw = tf.raw_ops
    flat = len(source) == 2  # a signal: nothing happens along the height of 1
    strides = [1, 1 if flat else layer.stride, layer.stride, 1]
    padding = layer.padding.upper()
    match layer.kind:
        case "conv":
            kernel = values[f"{layer.name}/kernel"]
            if layer.groups > 1:
                kernel = _block_diagonal(kernel, layer, source[-1])
            if layer.kernel_size == 1 and layer.stride > 1:
                # The same as every so many pixels with stride 1. On some processors oneDNN corrupts its
                # memory when it trains a strided one.
                x, strides = x[:, :: strides[1], :: strides[2]], [1, 1, 1, 1]
            if layer.dilation > 1:  # as Keras does: without oneDNN the raw operation has no gradient
                rate = [1 if flat else layer.dilation, layer.dilation]
                return tf.nn.convolution(x, kernel, padding=padding, dilations=rate)
            return raw.Conv2D(input=x, filter=kernel, strides=strides, padding=padding)
        case "transposed_conv":
            batch = raw.Shape(input=x)[0]
            return raw.Conv2DBackpropInput(
                input_sizes=[batch, *layer.shape],
                filter=values[f"{layer.name}/kernel"],
                out_backprop=x,
                strides=strides,
                padding=padding,
            )
    kernel = values[f"{layer.name}/{'kernel' if layer.kind == 'depthwise_conv' else 'depthwise_kernel'}"]
    if layer.dilation > 1:
        rate = [1 if flat else layer.dilation, layer.dilation]
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], padding, dilations=rate)
    elif layer.kernel_size > FAST_WIDTH:
        x = _wide_depthwise(x, kernel, layer.stride, padding)
    else:
        square = [1, layer.stride, layer.stride, 1]
        x = raw.DepthwiseConv2dNative(input=x, filter=kernel, strides=square, padding=padding)
    if layer.kind == "depthwise_conv":
        return x
    pointwise = values[f"{layer.name}/pointwise_kernel"]
    return raw.Conv2D(input=x, filter=pointwise, strides=[1, 1, 1, 1], padding="VALID")


def _wide_depthwise(x: Any, kernel: Any, stride: int, padding: str) -> Any:
    """Convolve each channel, with gradients that take a third of the time of TensorFlow's for wide kernels.

    The gradient of a kernel is computed for a few of its columns at a time, that of the input as a
    convolution with the kernel turned round.
    """
    import tensorflow as tf

    raw = tf.raw_ops
    strides = [1, stride, stride, 1]
    rows, columns, channels, multiplier = kernel.shape

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow's decorator has no types
    def convolved(x: Any, kernel: Any) -> tuple[Any, Any]:
        y = raw.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding=padding)

        def gradients(dy: Any) -> tuple[Any, Any]:
            if stride == multiplier == rows % 2 == columns % 2 == 1 and padding == "SAME":
                turned = raw.ReverseV2(tensor=kernel, axis=[0, 1])
                dx = raw.DepthwiseConv2dNative(input=dy, filter=turned, strides=strides, padding=padding)
            else:
                dx = raw.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=raw.Shape(input=x), filter=kernel, out_backprop=dy, strides=strides,
                    padding=padding,
                )  # fmt: skip
            margins, wide = [[0, 0]], []
            for size, window, steps in zip(x.shape[1:3], (rows, columns), y.shape[1:3], strict=True):
                over = max(0, (steps - 1) * stride + window - size)
                margins.append([over // 2, over - over // 2])
            padded = raw.Pad(input=x, paddings=[*margins, [0, 0]])
            reach = (y.shape[2] - 1) * stride
            for first in range(0, columns, FAST_WIDTH):
                width = min(FAST_WIDTH, columns - first)
                part = padded[:, :, first : first + reach + width, :]
                wide.append(
                    raw.DepthwiseConv2dNativeBackpropFilter(
                        input=part, filter_sizes=[rows, width, channels, multiplier], out_backprop=dy,
                        strides=strides, padding="VALID",
                    )
                )  # fmt: skip
            return dx, raw.ConcatV2(values=wide, axis=1)

        return y, gradients

    return convolved(x, kernel)


def _block_diagonal(kernel: Any, layer: Layer, channels: int) -> Any:
    """Write a grouped kernel as a full one with zeros: the processor has no gradient of a grouped one."""
    import tensorflow as tf

    groups = layer.groups
    inputs = np.arange(channels) // (channels // groups)
    outputs = np.arange(layer.filters) // (layer.filters // groups)
    mask = (inputs[:, None] == outputs[None, :]).astype(np.float32)
    return tf.tile(kernel, [1, 1, groups, 1]) * mask


def _activation(function: str, x: Any) -> Any:
    import tensorflow as tf

    match function:
        case "relu":
            return tf.raw_ops.Relu(features=x)
        case "relu6":
            return tf.raw_ops.Relu6(features=x)
        case "leaky_relu":
            return tf.raw_ops.LeakyRelu(features=x, alpha=0.2)
        case "elu":
            return tf.raw_ops.Elu(features=x)
        case "selu":
            return tf.raw_ops.Selu(features=x)
        case "gelu":
            return tf.nn.gelu(x, approximate=False)
        case "silu":
            return tf.raw_ops.Mul(x=x, y=tf.raw_ops.Sigmoid(x=x))
        case "hard_silu":
            return x * (tf.raw_ops.Relu6(features=x + 3.0) / 6.0)
        case "tanh":
            return tf.raw_ops.Tanh(x=x)
        case "sigmoid":
            return tf.raw_ops.Sigmoid(x=x)
        case "softmax":
            return tf.nn.softmax(x)
        case _:
            raise AssertionError(f"no operation for {function}")


def _dropout(x: Any, rate: float, place: int, noise: Any) -> Any:
    """Zero a share of the values and scale up the others; each step and place has numbers of its own."""
    import tensorflow as tf

    raw = tf.raw_ops
    counter = raw.Pack(values=[np.uint64(place << 48), noise[1]])
    drawn = raw.StatelessRandomUniformV2(
        shape=raw.Shape(input=x), key=noise[:1], counter=counter, alg=1, dtype=tf.float32
    )
    kept = raw.Cast(x=drawn >= rate, DstT=tf.float32)
    return x * (kept * np.float32(1 / (1 - rate)))


def _resized(layer: Layer, rank: int, x: Any) -> Any:
    """Run a layer that changes the map's size and has no weights."""
    import tensorflow as tf

    raw = tf.raw_ops
    flat = rank == 2
    match layer.kind:
        case "max_pool" | "average_pool":
            window = [1, 1 if flat else layer.kernel_size, layer.kernel_size, 1]
            strides = [1, 1 if flat else layer.stride, layer.stride, 1]
            padding = layer.padding.upper()
            if layer.kind == "max_pool":
                return raw.MaxPool(input=x, ksize=window, strides=strides, padding=padding)
            return raw.AvgPool(value=x, ksize=window, strides=strides, padding=padding)
        case "global_average":
            return raw.Mean(input=x, axis=[1, 2], keep_dims=layer.keep_dims)
        case "global_max":
            return raw.Max(input=x, axis=[1, 2], keep_dims=layer.keep_dims)
        case "flatten":
            return raw.Reshape(tensor=x, shape=[-1, *layer.shape])
        case "upsample":
            size = list(layer.shape[:2])
            return raw.ResizeBilinear(images=x, size=size, half_pixel_centers=True)
        case "crop":
            return x[:, : layer.shape[0], : layer.shape[1], :]
        case _:
            raise AssertionError(f"no operation for {layer.kind}")
