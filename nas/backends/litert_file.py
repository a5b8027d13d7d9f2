"""Write LiteRT files, in milliseconds and without TensorFlow.

The content is that of TensorFlow's converter: batch normalization folded into the convolution before it, ReLU
fused, the same operators in the same order. A test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, assert_never

import numpy as np

from nas.architecture import Architecture, Layer
from nas.backends.flatbuffer import FlatBuffer
from nas.backends.fusion import fuse_layers, is_convolution
from nas.backends.precision import FloatPrecision
from nas.backends.tensorflow_ops import NORM_EPSILON

__all__ = ["Weights", "litert_bytes"]

Weights = Mapping[str, Sequence[np.ndarray]]
"""The arrays of each layer by the layer's name, in the order of Keras' `layer.get_weights()`."""

ACTIVATION_OPERATORS = {
    "relu": "RELU",
    "relu6": "RELU6",
    "elu": "ELU",
    "tanh": "TANH",
    "sigmoid": "LOGISTIC",
    "hard_silu": "HARD_SWISH",
}
"""Operators of the activations that need no options."""

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def litert_bytes(
    architecture: Architecture, weights: Weights | None = None, precision: FloatPrecision = "float32"
) -> bytes:
    """Return a network as a LiteRT file with batch size 1; random weights if `weights` is None.

    Input (1, *input_shape) float32; output as that of the Keras model.
    """
    buffer = FlatBuffer(float16=precision == "float16", int8=precision == "dynamic_int8")
    return _Writer(architecture.layers, weights, buffer).bytes()


class _Writer:
    """Writes the operators of the layers, in one pass."""

    def __init__(self, layers: Sequence[Layer], weights: Weights | None, buffer: FlatBuffer) -> None:
        self.buffer = buffer
        self._weights = weights
        self._rng = np.random.default_rng(0)
        self._layers = _without_dropout(layers)
        self._fused: dict[int, list[int]] = {}  # for each layer with an operator, the layers fused with it
        for index, operator in enumerate(fuse_layers(self._layers)):
            self._fused.setdefault(operator, []).append(index)
        self._is_signal = len(layers[0].shape) == 2  # (length, channels): computed as images of height 1
        self._tensors: dict[int, int] = {}  # the index of each layer's output tensor

    def bytes(self) -> bytes:
        entry = self.buffer.tensor((1, *self._layers[0].shape), name="input")
        first = self._reshape(entry, self._shape(self._layers[0])) if self._is_signal else entry
        self._tensors[0] = first
        for index, fused in self._fused.items():
            if index > 0:
                tensor = self._write(index, self._layers[index])
                self._tensors.update(dict.fromkeys(fused, tensor))
        result = self._tensors[len(self._layers) - 1]
        last = self._layers[-1]
        if self._shape(last) != (1, *last.shape):
            result = self._reshape(result, (1, *last.shape))
        return self.buffer.to_bytes(entry, result)

    def _shape(self, layer: Layer) -> tuple[int, ...]:
        return (1, 1, *layer.shape) if self._is_signal and len(layer.shape) == 2 else (1, *layer.shape)

    def _arrays(self, layer: Layer, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Return the weights of a layer, or random arrays of the given shapes."""
        if self._weights is not None:
            return [np.asarray(array, np.float32) for array in self._weights[layer.name]]
        limits = [np.float32(np.sqrt(6 / max(1, prod(shape[:-1])))) for shape in shapes]
        return [
            (self._rng.random(shape, np.float32) * 2 - 1) * limit
            for shape, limit in zip(shapes, limits, strict=True)
        ]

    def _normalization(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Return the factor and the offset of a batch normalization for each channel."""
        channels = layer.shape[-1]
        if self._weights is None:
            return self._rng.random(channels, np.float32) + np.float32(0.5), np.zeros(channels, np.float32)
        gamma, beta, mean, variance = self._arrays(layer)
        factor = gamma / np.sqrt(variance + np.float32(NORM_EPSILON))
        return factor, beta - mean * factor

    def _fused_normalization(self, index: int) -> Layer | None:
        """Return the batch normalization that is folded into a layer."""
        fused = (self._layers[i] for i in self._fused[index] if i != index)
        return next((layer for layer in fused if layer.kind == "batch_norm"), None)

    def _fused_activation(self, index: int) -> str:
        """Return the function of the activation that is fused with a layer, or an empty string."""
        fused = (self._layers[i] for i in self._fused[index] if i != index)
        return next((layer.function for layer in fused if layer.kind == "activation"), "")

    def _write(self, index: int, layer: Layer) -> int:
        """Write the operators of a layer and of those fused with it; return the output tensor."""
        inputs = [self._tensors[source] for source in layer.inputs]
        shape, function = self._shape(layer), self._fused_activation(index)
        x = inputs[0]
        match layer.kind:
            case "input" | "dropout":
                raise AssertionError(f"a layer of kind {layer.kind} has no operator")
            case "conv" | "depthwise_conv" | "separable_conv" | "transposed_conv":
                return self._convolution(index, layer, function)
            case "rescale":
                readers = [reader for reader in self._layers if index in reader.inputs]
                is_folded = not self._is_signal and all(is_convolution(reader) for reader in readers)
                return x if is_folded else self._scale(x)
            case "dense":
                return self._dense(layer, x, function)
            case "batch_norm":
                factor, offset = self._normalization(layer)
                scaled = self.buffer.add("MUL", [x, self._constant(factor)], shape, self._options("Mul"))
                options = self._options("Add", fusedActivationFunction=function)
                return self.buffer.add("ADD", [scaled, self._constant(offset)], shape, options)
            case "activation":
                return self._activation(x, layer.function)
            case "add":
                options = self._options("Add", fusedActivationFunction=function)
                return self.buffer.add("ADD", inputs, shape, options)
            case "multiply":
                options = self._options("Mul", fusedActivationFunction=function)
                return self.buffer.add("MUL", inputs, shape, options)
            case "max_pool":
                return self.buffer.add("MAX_POOL_2D", inputs, shape, self._pool_options(layer))
            case "average_pool":
                return self.buffer.add("AVERAGE_POOL_2D", inputs, shape, self._pool_options(layer))
            case "global_average":
                options = self._options("Reducer", keepDims=layer.keep_dims)
                return self.buffer.add("MEAN", [x, self._integers(1, 2)], shape, options)
            case "global_max":
                options = self._options("Reducer", keepDims=layer.keep_dims)
                return self.buffer.add("REDUCE_MAX", [x, self._integers(1, 2)], shape, options)
            case "flatten":
                return self._reshape(x, shape)
            case "concat":
                options = self._options("Concatenation", axis=-1)
                return self.buffer.add("CONCATENATION", inputs, shape, options)
            case "upsample":
                options = self._options("ResizeBilinear", halfPixelCenters=True)
                size = self._integers(*shape[1:3])
                return self.buffer.add("RESIZE_BILINEAR", [x, size], shape, options, version=3)
            case "crop":
                begin, end = self._integers(0, 0, 0, 0), self._integers(0, *shape[1:3], 0)
                options = self._options("StridedSlice", beginMask=9, endMask=9)  # all of batch and channels
                slices = [begin, end, self._integers(1, 1, 1, 1)]
                return self.buffer.add("STRIDED_SLICE", [x, *slices], shape, options)
            case _:
                assert_never(layer.kind)

    def _pool_options(self, layer: Layer) -> Any:
        return self._options(
            "Pool2D",
            padding=int(layer.padding == "valid"),
            strideW=layer.stride,
            strideH=1 if self._is_signal else layer.stride,
            filterWidth=layer.kernel_size,
            filterHeight=1 if self._is_signal else layer.kernel_size,
        )

    def _convolution(self, index: int, layer: Layer, function: str) -> int:
        """Write a convolution, with the rescaling before it and the normalization after it folded in."""
        x = self._tensors[layer.inputs[0]]
        channels = self.buffer.shapes[x][-1]
        window = (layer.kernel_size,) * (1 if self._is_signal else 2)
        bias = ((layer.filters,),) if layer.bias else ()
        kernels = self._kernel_shapes(layer, window, channels)
        arrays = self._arrays(layer, *kernels, *bias)
        if self._is_signal:
            arrays = [array[np.newaxis] if array.ndim > 1 else array for array in arrays]
        source = self._layers[layer.inputs[0]]
        if source.kind == "rescale" and x == self._tensors[0]:
            arrays[0] = arrays[0] * np.float32(1 / 255)
        offset = arrays[len(kernels)] if layer.bias else np.zeros(layer.filters, np.float32)
        kernel = arrays[len(kernels) - 1]
        if (normalization := self._fused_normalization(index)) is not None:
            factor, shift = self._normalization(normalization)
            offset = offset * factor + shift
            if layer.kind == "transposed_conv":
                factor = factor[:, np.newaxis]
            elif layer.kind == "depthwise_conv":
                factor = factor.reshape(kernel.shape[-2:])
            kernel = kernel * factor
        if layer.kind == "separable_conv":
            x = self._depthwise(x, arrays[0], np.zeros(kernel.shape[-2], np.float32), layer, "")
            pointwise = layer._replace(kind="conv", stride=1, dilation=1, padding="valid", kernel_size=1)
            return self._conv(x, kernel, offset, pointwise, function)
        if layer.kind == "depthwise_conv":
            return self._depthwise(x, kernel, offset, layer, function)
        if layer.kind == "transposed_conv":
            return self._transposed(x, kernel, offset, layer, function)
        return self._conv(x, kernel, offset, layer, function)

    @staticmethod
    def _kernel_shapes(layer: Layer, window: tuple[int, ...], channels: int) -> list[tuple[int, ...]]:
        if layer.kind == "transposed_conv":
            return [(*window, layer.filters, channels)]
        if layer.kind == "conv":
            return [(*window, channels // layer.groups, layer.filters)]
        depthwise = (*window, channels, layer.depth_multiplier)
        if layer.kind == "depthwise_conv":
            return [depthwise]
        return [depthwise, (1,) * len(window) + (channels * layer.depth_multiplier, layer.filters)]

    def _window(self, layer: Layer, function: str) -> dict[str, Any]:
        """Return the options that every convolution has."""
        vertical = (1, 1) if self._is_signal else (layer.stride, layer.dilation)
        return {
            "padding": int(layer.padding == "valid"),
            "strideW": layer.stride,
            "strideH": vertical[0],
            "dilationWFactor": layer.dilation,
            "dilationHFactor": vertical[1],
            "fusedActivationFunction": function,
        }

    def _conv(self, x: int, kernel: np.ndarray, offset: np.ndarray, layer: Layer, function: str) -> int:
        filters = self.buffer.constant(kernel.transpose(3, 0, 1, 2), channel_axis=0)
        options = self._options("Conv2D", **self._window(layer, function))
        version = 6 if layer.groups > 1 else 1
        return self.buffer.add(
            "CONV_2D", [x, filters, self._constant(offset)], self._shape(layer), options, version
        )

    def _depthwise(self, x: int, kernel: np.ndarray, offset: np.ndarray, layer: Layer, function: str) -> int:
        height, width = kernel.shape[:2]
        channels = kernel.shape[2] * kernel.shape[3]
        filters = self.buffer.constant(kernel.reshape(1, height, width, channels), channel_axis=3)
        options = self._options(
            "DepthwiseConv2D", depthMultiplier=kernel.shape[3], **self._window(layer, function)
        )
        shape = (*self._shape(layer)[:-1], channels)
        version = 2 if layer.dilation > 1 else 1
        inputs = [x, filters, self._constant(offset)]
        return self.buffer.add("DEPTHWISE_CONV_2D", inputs, shape, options, version)

    def _transposed(self, x: int, kernel: np.ndarray, offset: np.ndarray, layer: Layer, function: str) -> int:
        shape = self._shape(layer)
        filters = self.buffer.constant(kernel.transpose(2, 0, 1, 3), channel_axis=0)
        options = self._options(
            "TransposeConv", padding=0, strideW=layer.stride, strideH=layer.stride,
            fusedActivationFunction=function,
        )  # fmt: skip
        inputs = [self._integers(*shape), filters, x, self._constant(offset)]
        return self.buffer.add("TRANSPOSE_CONV", inputs, shape, options, version=4)

    def _dense(self, layer: Layer, x: int, function: str) -> int:
        kernel, offset = self._arrays(layer, (self.buffer.shapes[x][-1], layer.filters), (layer.filters,))
        options = self._options("FullyConnected", fusedActivationFunction=function)
        # Numbers may be over the greatest float16, and their mean much greater than their deviation.
        exact = layer is self._layers[-1]
        inputs = [
            x,
            self.buffer.constant(kernel.T, channel_axis=0, exact=exact),
            self.buffer.constant(offset.astype(np.float32), exact=exact),
        ]
        return self.buffer.add("FULLY_CONNECTED", inputs, self._shape(layer), options)

    def _activation(self, x: int, function: str) -> int:
        shape, add, options = self.buffer.shapes[x], self.buffer.add, self._options
        match function:
            case "silu":
                return add("MUL", [x, add("LOGISTIC", [x], shape)], shape, options("Mul"))
            case "leaky_relu":
                return add("LEAKY_RELU", [x], shape, options("LeakyRelu", alpha=0.2))
            case "gelu":
                return add("GELU", [x], shape, options("Gelu"))
            case "softmax":
                return add("SOFTMAX", [x], shape, options("Softmax", beta=1.0))
            case "selu":
                positive = add("GREATER", [x, self._scalar(0.0)], shape)
                line = add("MUL", [x, self._scalar(SELU_SCALE)], shape, options("Mul"))
                curve = add("SUB", [add("EXP", [x], shape), self._scalar(1.0)], shape, options("Sub"))
                curve = add("MUL", [curve, self._scalar(SELU_SCALE * SELU_ALPHA)], shape, options("Mul"))
                return add("SELECT", [positive, line, curve], shape)
            case _:
                return add(ACTIVATION_OPERATORS[function], [x], shape)

    def _scale(self, x: int) -> int:
        return self.buffer.add("MUL", [x, self._scalar(1 / 255)], self.buffer.shapes[x], self._options("Mul"))

    def _reshape(self, x: int, shape: tuple[int, ...]) -> int:
        options = self._options("Reshape", newShape=np.array(shape, np.int32))
        return self.buffer.add("RESHAPE", [x, self._integers(*shape)], shape, options)

    def _options(self, kind: str, **values: Any) -> Any:
        return self.buffer.options(kind, **values)

    def _constant(self, values: np.ndarray) -> int:
        return self.buffer.constant(values.astype(np.float32))

    def _scalar(self, value: float) -> int:
        return self.buffer.constant(np.array(value, np.float32))

    def _integers(self, *values: int) -> int:
        return self.buffer.constant(np.array(values, np.int32))


def _without_dropout(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that run at inference, their inputs renumbered."""
    remaining: list[Layer] = []
    indices: dict[int, int] = {}
    for index, layer in enumerate(layers):
        if layer.kind == "dropout":
            indices[index] = indices[layer.inputs[0]]
            continue
        indices[index] = len(remaining)
        remaining.append(layer._replace(inputs=tuple(indices[source] for source in layer.inputs)))
    return remaining
