"""Architecture -> the bytes of a LiteRT file, in milliseconds and without TensorFlow.

Writes what TensorFlow's converter would: batch normalization folded into the convolution before it, ReLU
fused, the same operators in the same order. A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from nas.architecture import Architecture, Layer
from nas.backends.flatbuffer import FlatBuffer

__all__ = ["Weights", "litert_bytes"]

Weights = Mapping[str, Sequence[np.ndarray]]
"""Each layer's arrays by the layer's name, in the order of Keras' `layer.get_weights()`."""

EPSILON = 1e-3
"""What Keras' BatchNormalization adds to the variance."""

FUSED = ("relu", "relu6")
CONVOLUTIONS = ("conv", "depthwise_conv", "separable_conv", "transposed_conv")
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def litert_bytes(
    architecture: Architecture,
    weights: Weights | None = None,
    precision: Literal["float32", "float16", "dynamic_int8"] = "float32",
) -> bytes:
    """Write a network as a LiteRT file at batch 1, with the weights given or random ones.

    Input (1, *input_shape) float32; output as the Keras model's.
    """
    buffer = FlatBuffer(half=precision == "float16", int8=precision == "dynamic_int8")
    return _Lowering(architecture.layers, weights, buffer).bytes()


class _Lowering:
    """Goes through the layers once and writes each with what can be folded into it."""

    def __init__(self, layers: Sequence[Layer], weights: Weights | None, buffer: FlatBuffer) -> None:
        self.buffer = buffer
        self._weights = weights
        self._random = np.random.default_rng(0)
        self._layers = _without_dropout(layers)
        self._readers: dict[int, list[int]] = {place: [] for place in range(len(self._layers))}
        for number, layer in enumerate(self._layers):
            for place in layer.inputs:
                self._readers[place].append(number)
        self._flat = len(layers[0].shape) == 2  # (length, channels): run as images of height 1
        self._at: dict[int, int] = {}  # the tensor of each layer's output

    def bytes(self) -> bytes:
        entry = self.buffer.tensor((1, *self._layers[0].shape), name="input")
        self._at[0] = self._reshaped(entry, self._shape(self._layers[0])) if self._flat else entry
        for number, layer in enumerate(self._layers):
            if number not in self._at:
                self._lower(number, layer)
        result = self._at[len(self._layers) - 1]
        last = self._layers[-1]
        if self._shape(last) != (1, *last.shape):
            result = self._reshaped(result, (1, *last.shape))
        return self.buffer.finished(entry, result)

    def _shape(self, layer: Layer) -> tuple[int, ...]:
        return (1, 1, *layer.shape) if self._flat and len(layer.shape) == 2 else (1, *layer.shape)

    def _arrays(self, layer: Layer, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Give a layer's weights, or random ones of the shapes."""
        if self._weights is not None:
            return [np.asarray(array, np.float32) for array in self._weights[layer.name]]
        limit = [np.float32(np.sqrt(6 / max(1, prod(shape[:-1])))) for shape in shapes]
        return [
            (self._random.random(shape, np.float32) * 2 - 1) * scale
            for shape, scale in zip(shapes, limit, strict=True)
        ]

    def _normalization(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Give a batch normalization's factor and offset for each channel."""
        channels = layer.shape[-1]
        if self._weights is None:
            return self._random.random(channels, np.float32) + np.float32(0.5), np.zeros(channels, np.float32)
        gamma, beta, mean, variance = self._arrays(layer)
        factor = gamma / np.sqrt(variance + np.float32(EPSILON))
        return factor, beta - mean * factor

    def _behind(self, number: int, kind: str) -> int | None:
        """Give the layer that alone reads this one's output, if it is of a kind."""
        readers = self._readers[number]
        return readers[0] if len(readers) == 1 and self._layers[readers[0]].kind == kind else None

    def _fused(self, number: int) -> tuple[int, str]:
        """Give the last layer that an operator computes with this one's, and the activation in it."""
        behind = self._behind(number, "activation")
        if behind is not None and self._layers[behind].function in FUSED:
            return behind, self._layers[behind].function
        return number, ""

    def _settle(self, number: int, last: int, tensor: int) -> None:
        """Note where the output of a layer lies, and of those up to the last that were folded into it."""
        while number != last:
            self._at[number] = tensor
            number = self._readers[number][0]
        self._at[last] = tensor

    def _lower(self, number: int, layer: Layer) -> None:
        if layer.kind in CONVOLUTIONS:
            self._convolution(number, layer)
            return
        inputs = [self._at[place] for place in layer.inputs]
        shape = self._shape(layer)
        match layer.kind:
            case "rescale":
                readers = [self._layers[place].kind for place in self._readers[number]]
                foldable = not self._flat and all(kind in CONVOLUTIONS for kind in readers)
                self._at[number] = inputs[0] if foldable else self._scaled(inputs[0])
            case "dense":
                self._dense(number, layer, inputs[0])
            case "batch_norm":
                factor, offset = self._normalization(layer)
                x = self.buffer.add("MUL", [inputs[0], self._constant(factor)], shape, self._options("Mul"))
                last, function = self._fused(number)
                options = self._options("Add", fusedActivationFunction=function)
                self._settle(
                    number, last, self.buffer.add("ADD", [x, self._constant(offset)], shape, options)
                )
            case "activation":
                self._at[number] = self._activation(inputs[0], layer.function)
            case "add" | "multiply":
                name = "Add" if layer.kind == "add" else "Mul"
                last, function = self._fused(number)
                options = self._options(name, fusedActivationFunction=function)
                self._settle(number, last, self.buffer.add(name.upper(), inputs, shape, options))
            case _:
                self._at[number] = self._resized(layer, inputs, shape)

    def _resized(self, layer: Layer, inputs: list[int], shape: tuple[int, ...]) -> int:
        """Write a layer without weights that changes the map's shape."""
        match layer.kind:
            case "max_pool" | "average_pool":
                name = "MAX_POOL_2D" if layer.kind == "max_pool" else "AVERAGE_POOL_2D"
                options = self._options(
                    "Pool2D",
                    padding=int(layer.padding == "valid"),
                    strideW=layer.stride,
                    strideH=1 if self._flat else layer.stride,
                    filterWidth=layer.kernel_size,
                    filterHeight=1 if self._flat else layer.kernel_size,
                )
                return self.buffer.add(name, inputs, shape, options)
            case "global_average" | "global_max":
                name = "MEAN" if layer.kind == "global_average" else "REDUCE_MAX"
                options = self._options("Reducer", keepDims=layer.keep_dims)
                return self.buffer.add(name, [inputs[0], self._integers(1, 2)], shape, options)
            case "flatten":
                return self._reshaped(inputs[0], shape)
            case "concat":
                return self.buffer.add(
                    "CONCATENATION", inputs, shape, self._options("Concatenation", axis=-1)
                )
            case "upsample":
                options = self._options("ResizeBilinear", halfPixelCenters=True)
                size = self._integers(*shape[1:3])
                return self.buffer.add("RESIZE_BILINEAR", [inputs[0], size], shape, options, version=3)
            case "crop":
                slices = [
                    self._integers(0, 0, 0, 0),
                    self._integers(0, *shape[1:3], 0),
                    self._integers(1, 1, 1, 1),
                ]
                options = self._options("StridedSlice", beginMask=9, endMask=9)  # batch and channels whole
                return self.buffer.add("STRIDED_SLICE", [inputs[0], *slices], shape, options)
            case _:
                raise AssertionError(f"no LiteRT operator for {layer.kind}")

    def _convolution(self, number: int, layer: Layer) -> None:
        """Write a convolution with the rescaling before it, and what follows it, folded in."""
        x = self._at[layer.inputs[0]]
        channels = self.buffer.shapes[x][-1]
        window = (layer.kernel_size,) * (1 if self._flat else 2)
        bias = ((layer.filters,),) if layer.bias else ()
        if layer.kind in ("depthwise_conv", "separable_conv"):
            kernels = [(*window, channels, layer.depth_multiplier)]
            if layer.kind == "separable_conv":
                kernels.append((1,) * len(window) + (channels * layer.depth_multiplier, layer.filters))
        elif layer.kind == "transposed_conv":
            kernels = [(*window, layer.filters, channels)]
        else:
            kernels = [(*window, channels // layer.groups, layer.filters)]
        arrays = self._arrays(layer, *kernels, *bias)
        if self._flat:
            arrays = [array[np.newaxis] if array.ndim > 1 else array for array in arrays]
        source = self._layers[layer.inputs[0]]
        if source.kind == "rescale" and self.buffer.shapes[x] and x == self._at[0]:
            arrays[0] = arrays[0] * np.float32(1 / 255)
        offset = arrays[len(kernels)] if layer.bias else np.zeros(layer.filters, np.float32)
        kernel = arrays[len(kernels) - 1]
        last = number
        if (behind := self._behind(number, "batch_norm")) is not None:
            factor, shift = self._normalization(self._layers[behind])
            offset, last = offset * factor + shift, behind
            if layer.kind == "transposed_conv":
                factor = factor[:, np.newaxis]
            elif layer.kind == "depthwise_conv":
                factor = factor.reshape(kernel.shape[-2:])
            kernel = kernel * factor
        last, function = self._fused(last)
        if layer.kind == "separable_conv":
            x = self._depthwise(x, arrays[0], np.zeros(kernel.shape[-2], np.float32), layer, "")
            pointwise = layer._replace(kind="conv", stride=1, dilation=1, padding="valid", kernel_size=1)
            result = self._conv(x, kernel, offset, pointwise, function)
        elif layer.kind == "depthwise_conv":
            result = self._depthwise(x, kernel, offset, layer, function)
        elif layer.kind == "transposed_conv":
            result = self._transposed(x, kernel, offset, layer, function)
        else:
            result = self._conv(x, kernel, offset, layer, function)
        self._settle(number, last, result)

    def _window(self, layer: Layer, function: str) -> dict[str, Any]:
        """Give the options that every convolution has."""
        vertical = (1, 1) if self._flat else (layer.stride, layer.dilation)
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

    def _dense(self, number: int, layer: Layer, x: int) -> None:
        kernel, offset = self._arrays(layer, (self.buffer.shapes[x][-1], layer.filters), (layer.filters,))
        last, function = self._fused(number)
        options = self._options("FullyConnected", fusedActivationFunction=function)
        inputs = [x, self.buffer.constant(kernel.T, channel_axis=0), self._constant(offset)]
        self._settle(number, last, self.buffer.add("FULLY_CONNECTED", inputs, self._shape(layer), options))

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
                above = add("GREATER", [x, self._scalar(0.0)], shape)
                line = add("MUL", [x, self._scalar(SELU_SCALE)], shape, options("Mul"))
                curve = add("SUB", [add("EXP", [x], shape), self._scalar(1.0)], shape, options("Sub"))
                curve = add("MUL", [curve, self._scalar(SELU_SCALE * SELU_ALPHA)], shape, options("Mul"))
                return add("SELECT", [above, line, curve], shape)
            case _:
                names = {"sigmoid": "LOGISTIC", "hard_silu": "HARD_SWISH"}
                return add(names.get(function, function.upper()), [x], shape)

    def _scaled(self, x: int) -> int:
        return self.buffer.add("MUL", [x, self._scalar(1 / 255)], self.buffer.shapes[x], self._options("Mul"))

    def _reshaped(self, x: int, shape: tuple[int, ...]) -> int:
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
    """Give the layers that run at inference, their inputs numbered anew."""
    kept: list[Layer] = []
    places: dict[int, int] = {}
    for number, layer in enumerate(layers):
        if layer.kind == "dropout":
            places[number] = places[layer.inputs[0]]
            continue
        places[number] = len(kept)
        kept.append(layer._replace(inputs=tuple(places[place] for place in layer.inputs)))
    return kept
