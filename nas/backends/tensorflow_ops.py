"""Compute a network with TensorFlow operations, directly from its list of layers.

Tracing Keras' layers takes a second for a network that trains in three. These operations compute the same;
a test compares every kind of layer with its Keras model. A signal (length, channels) is computed as an image
of height 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, assert_never

import numpy as np

from nas.architecture import Layer, Shape
from nas.tensorflow_imports import import_tensorflow

__all__ = ["NORM_EPSILON", "ForwardMode", "forward"]

NORM_EPSILON = 1e-3
"""Keras' BatchNormalization adds it to the variance."""

FAST_WIDTH = 3
"""Width of a depthwise kernel over which TensorFlow computes its gradient ten times slower."""


@dataclass(frozen=True)
class ForwardMode:
    """How a network runs: in training, at inference, or to compute the statistics of its batches."""

    batch_statistics: bool  # batch normalization uses those of the batch instead of its moving statistics
    noise: Any = None  # uint64 (2,): seed and step, from which dropout draws; None: no dropout


def forward(
    layers: Sequence[Layer], values: Mapping[str, Any], x: Any, mode: ForwardMode
) -> tuple[Any, dict[str, tuple[Any, int]]]:
    """Run the layers on a batch up to the activation of the output, if any, which the loss includes.

    `values`: the weights by name. `x`: float (batch, height, width, channels) or (batch, length, channels).
    Returns the logits, and by the name of each moving statistic that training updates the statistic of the
    batch (the variance is unbiased) and, for a variance, the number of pixels per image.
    """
    raw = import_tensorflow().raw_ops
    last = len(layers) - 1
    maps: list[Any] = [x if len(layers[0].shape) != 2 else raw.ExpandDims(input=x, axis=1)]
    statistics: dict[str, tuple[Any, int]] = {}
    last_use = {source: index for index, layer in enumerate(layers) for source in layer.inputs}
    for index, layer in enumerate(layers[1:], start=1):
        if index == last and layer.kind == "activation":
            return maps[layer.inputs[0]], statistics
        if layer.kind == "batch_norm" and mode.batch_statistics:
            x, batch_statistics = _normalize_batch(layer, values, maps[layer.inputs[0]])
            statistics |= batch_statistics
        else:
            inputs = [maps[source] for source in layer.inputs]
            x = _apply_layer(layer, layers[layer.inputs[0]].shape, values, inputs, mode, index)
        if layer.bias:
            x = raw.BiasAdd(value=x, bias=values[f"{layer.name}/bias"])
        maps.append(x)
        for source in layer.inputs:
            if last_use[source] == index:
                maps[source] = None  # outside of a traced function this frees its memory
    return maps[-1], statistics


def _apply_layer(
    layer: Layer, source: Shape, values: Mapping[str, Any], inputs: list[Any], mode: ForwardMode, index: int
) -> Any:
    """Apply a layer without its bias; `source`: shape of its first input, `index`: of the layer."""
    raw = import_tensorflow().raw_ops
    x = inputs[0]
    is_signal = len(source) == 2  # nothing changes along the height of 1
    strides = [1, 1 if is_signal else layer.stride, layer.stride, 1]
    window = [1, 1 if is_signal else layer.kernel_size, layer.kernel_size, 1]
    padding = layer.padding.upper()
    match layer.kind:
        case "input":
            raise AssertionError("only the first layer of a network is an input")
        case "conv":
            return _conv(layer, source, values[f"{layer.name}/kernel"], x)
        case "depthwise_conv":
            return _depthwise_conv(layer, source, values[f"{layer.name}/kernel"], x)
        case "separable_conv":
            x = _depthwise_conv(layer, source, values[f"{layer.name}/depthwise_kernel"], x)
            pointwise = values[f"{layer.name}/pointwise_kernel"]
            return raw.Conv2D(input=x, filter=pointwise, strides=[1, 1, 1, 1], padding="VALID")
        case "transposed_conv":
            kernel, shape = values[f"{layer.name}/kernel"], [raw.Shape(input=x)[0], *layer.shape]
            return raw.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=x, strides=strides, padding=padding
            )
        case "dense":
            return raw.MatMul(a=x, b=values[f"{layer.name}/kernel"])
        case "batch_norm":
            roles = ("gamma", "beta", "moving_mean", "moving_variance")
            gamma, beta, mean, variance = (values[f"{layer.name}/{role}"] for role in roles)
            return raw.FusedBatchNormV3(
                x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=NORM_EPSILON,
                is_training=False,
            ).y  # fmt: skip
        case "activation":
            return _activation(layer.function, x)
        case "max_pool":
            return raw.MaxPool(input=x, ksize=window, strides=strides, padding=padding)
        case "average_pool":
            return raw.AvgPool(value=x, ksize=window, strides=strides, padding=padding)
        case "global_average":
            return raw.Mean(input=x, axis=[1, 2], keep_dims=layer.keep_dims)
        case "global_max":
            return raw.Max(input=x, axis=[1, 2], keep_dims=layer.keep_dims)
        case "flatten":
            return raw.Reshape(tensor=x, shape=[-1, *layer.shape])
        case "dropout":
            return _dropout(x, layer.rate, index, mode.noise) if mode.noise is not None else x
        case "rescale":
            return raw.Mul(x=x, y=np.float32(1 / 255))
        case "add":
            return raw.AddV2(x=x, y=inputs[1])
        case "multiply":
            return raw.Mul(x=x, y=inputs[1])
        case "concat":
            return raw.ConcatV2(values=inputs, axis=3)
        case "upsample":
            return raw.ResizeBilinear(images=x, size=list(layer.shape[:2]), half_pixel_centers=True)
        case "crop":
            return x[:, : layer.shape[0], : layer.shape[1], :]
        case _:
            assert_never(layer.kind)


def _normalize_batch(
    layer: Layer, values: Mapping[str, Any], x: Any
) -> tuple[Any, dict[str, tuple[Any, int]]]:
    """Normalize a batch with its own statistics, and return those as `forward` does."""
    outputs = import_tensorflow().raw_ops.FusedBatchNormV3(
        x=x, scale=values[f"{layer.name}/gamma"], offset=values[f"{layer.name}/beta"], mean=[], variance=[],
        epsilon=NORM_EPSILON, is_training=True,
    )  # fmt: skip
    return outputs.y, {
        f"{layer.name}/moving_mean": (outputs.batch_mean, 0),
        f"{layer.name}/moving_variance": (outputs.batch_variance, prod(layer.shape[:-1])),
    }


def _conv(layer: Layer, source: Shape, kernel: Any, x: Any) -> Any:
    tf = import_tensorflow()
    is_signal = len(source) == 2
    strides = [1, 1 if is_signal else layer.stride, layer.stride, 1]
    padding = layer.padding.upper()
    if layer.groups > 1:
        kernel = _block_diagonal(kernel, layer, source[-1])
    if layer.kernel_size == 1 and layer.stride > 1:
        # Select the pixels and convolve with stride 1, which is equal: on some processors oneDNN corrupts
        # its memory when it trains a strided 1x1 convolution.
        x, strides = x[:, :: strides[1], :: strides[2]], [1, 1, 1, 1]
    if layer.dilation > 1:  # as in Keras: without oneDNN the raw operation has no gradient
        rate = [1 if is_signal else layer.dilation, layer.dilation]
        return tf.nn.convolution(x, kernel, padding=padding, dilations=rate)
    return tf.raw_ops.Conv2D(input=x, filter=kernel, strides=strides, padding=padding)


def _depthwise_conv(layer: Layer, source: Shape, kernel: Any, x: Any) -> Any:
    tf = import_tensorflow()
    padding = layer.padding.upper()
    if layer.dilation > 1:
        rate = [1 if len(source) == 2 else layer.dilation, layer.dilation]
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], padding, dilations=rate)
    if layer.kernel_size > FAST_WIDTH:
        return _wide_depthwise_conv(x, kernel, layer.stride, padding)
    strides = [1, layer.stride, layer.stride, 1]  # TensorFlow needs equal ones, also for a height of 1
    return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding=padding)


def _wide_depthwise_conv(x: Any, kernel: Any, stride: int, padding: str) -> Any:
    """Convolve each channel; for wide kernels the gradients take a third of the time of TensorFlow's.

    They replace TensorFlow's where a graph is traced. `tf.custom_gradient` would register each call for ever,
    with its graph.
    """
    tf = import_tensorflow()
    override = {"DepthwiseConv2dNative": _register_wide_gradients()}
    with tf.compat.v1.get_default_graph().gradient_override_map(override):
        strides = [1, stride, stride, 1]
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding=padding)


@cache
def _register_wide_gradients() -> str:
    """Register the gradients of a wide depthwise convolution, and return their name."""
    name = "NasWideDepthwiseConv"
    import_tensorflow().RegisterGradient(name)(_wide_gradients)
    return name


def _wide_gradients(convolution: Any, dy: Any) -> tuple[Any, Any]:
    """Return the gradients of input and kernel.

    That of the kernel is computed for a few columns at a time; that of the input as a convolution with the
    rotated kernel.
    """
    raw = import_tensorflow().raw_ops
    x, kernel = convolution.inputs
    y = convolution.outputs[0]
    strides, padding = convolution.get_attr("strides"), convolution.get_attr("padding").decode()
    stride = strides[1]
    rows, columns, channels, multiplier = kernel.shape
    if stride == multiplier == rows % 2 == columns % 2 == 1 and padding == "SAME":
        rotated = raw.ReverseV2(tensor=kernel, axis=[0, 1])
        dx = raw.DepthwiseConv2dNative(input=dy, filter=rotated, strides=strides, padding=padding)
    else:
        dx = raw.DepthwiseConv2dNativeBackpropInput(
            input_sizes=raw.Shape(input=x), filter=kernel, out_backprop=dy, strides=strides, padding=padding
        )
    margins, parts = [[0, 0]], []
    for size, window, steps in zip(x.shape[1:3], (rows, columns), y.shape[1:3], strict=True):
        over = max(0, (steps - 1) * stride + window - size)
        margins.append([over // 2, over - over // 2])
    padded = raw.Pad(input=x, paddings=[*margins, [0, 0]])
    reach = (y.shape[2] - 1) * stride
    for first in range(0, columns, FAST_WIDTH):
        width = min(FAST_WIDTH, columns - first)
        input_part = padded[:, :, first : first + reach + width, :]
        parts.append(
            raw.DepthwiseConv2dNativeBackpropFilter(
                input=input_part, filter_sizes=[rows, width, channels, multiplier], out_backprop=dy,
                strides=strides, padding="VALID",
            )
        )  # fmt: skip
    return dx, raw.ConcatV2(values=parts, axis=1)


def _block_diagonal(kernel: Any, layer: Layer, channels: int) -> Any:
    """Expand a grouped kernel with zeros: on processors a grouped convolution has no gradient."""
    groups = layer.groups
    inputs = np.arange(channels) // (channels // groups)
    outputs = np.arange(layer.filters) // (layer.filters // groups)
    mask = (inputs[:, None] == outputs[None, :]).astype(np.float32)
    return import_tensorflow().tile(kernel, [1, 1, groups, 1]) * mask


def _activation(function: str, x: Any) -> Any:
    tf = import_tensorflow()
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


def _dropout(x: Any, rate: float, index: int, noise: Any) -> Any:
    """Zero a share of the values and scale the others; random numbers depend on seed, step and layer."""
    tf = import_tensorflow()
    raw = tf.raw_ops
    counter = raw.Pack(values=[np.uint64(index << 48), noise[1]])
    uniform = raw.StatelessRandomUniformV2(
        shape=raw.Shape(input=x), key=noise[:1], counter=counter, alg=1, dtype=tf.float32
    )
    mask = raw.Cast(x=uniform >= rate, DstT=tf.float32)
    return x * (mask * np.float32(1 / (1 - rate)))
