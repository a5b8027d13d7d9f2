"""The parts of an architecture file: Stem, Stage, Decoder, Head and Training.

Each part is frozen, rejects unknown keys and invalid values, and has a default for every value except the
width, so that a file states only what differs from a plain network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = [
    "Conv",
    "Decoder",
    "Head",
    "Normalization",
    "Part",
    "Scalar",
    "Shrink",
    "Stage",
    "Stem",
    "Training",
]

Scalar = str | int | float | bool
"""A plain value of a file."""

Activation = Literal[
    "none", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_silu", "tanh"
]
Conv = Literal["standard", "separable", "depthwise_pointwise", "inverted_bottleneck"]
Normalization = Literal["none", "before", "between", "after"]
Shrink = Literal["none", "max_pool", "average_pool", "strided"]
Padding = Literal["same", "valid"]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Width = Annotated[int, Field(ge=1, le=8192)]
Count = Annotated[int, Field(ge=1, le=64)]
Units = Annotated[int, Field(ge=0, le=65536)]


def _require_odd(value: Any) -> Any:
    if isinstance(value, int) and value > 0 and value % 2 == 0:
        raise ValueError(f"must be odd, got {value}; use {value - 1} or {value + 1}")
    return value


def _require_integer(value: Any) -> Any:
    # True equals 1 and 2.0 equals 2, so a Literal of integers accepts both.
    if isinstance(value, bool | float):
        raise ValueError(f"must be a whole number, got {format_value(value)}; use {int(value)}")
    return value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


def format_value(value: object) -> str:
    """Return a value as a file writes it."""
    if isinstance(value, bool):
        return repr(value).lower()
    return "null" if value is None else repr(list(value) if isinstance(value, tuple) else value)


KernelSize = Annotated[int, BeforeValidator(_require_odd), Field(ge=1, le=31)]
Stride = Annotated[Literal[1, 2], BeforeValidator(_require_integer)]
PoolSize = Annotated[Literal[2, 3], BeforeValidator(_require_integer)]


class Part(BaseModel):
    """A frozen value that rejects unknown keys, and text or booleans in place of numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: Any) -> Any:
        """Convert the lists of YAML files to tuples."""
        if not isinstance(data, dict):
            return data
        return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


class Stem(Part):
    """One standard convolution before the first stage."""

    width: Width
    """Number of filters."""
    kernel_size: KernelSize = 3
    """Side of the convolution's window in pixels; odd."""
    stride: Stride = 1
    """Step of the convolution in pixels: 2 halves the map."""
    padding: Padding = "same"
    """`same` pads the border, so that the map keeps its size; `valid` does not pad."""
    bias: bool = True
    """Whether the convolution has a bias; a batch normalization directly after it removes the bias."""
    normalization: Normalization = "none"
    """Position of batch normalization. `none`: no normalization. `before`: normalization, activation,
    convolution. `between`: convolution, normalization, activation. `after`: convolution, activation,
    normalization."""
    activation: Activation = "relu"
    """Activation function of the convolution; `none` is the identity."""


class Stage(Part):
    """Blocks of equal width, of which the first may halve the feature map."""

    width: Width
    """Number of output channels of every convolution."""
    blocks: Count = 1
    """Number of blocks."""
    convs: Count = 1
    """Number of convolutions per block."""
    conv: Conv = "standard"
    """Kind of convolution. `standard`: one convolution over all channels, or over `groups` of them.
    `separable`: a depthwise and a 1x1 convolution with nothing in between. `depthwise_pointwise`: the same
    two convolutions, each with its own normalization and activation. `inverted_bottleneck`: a 1x1
    convolution that multiplies the channels by `expansion`, a depthwise convolution, and a 1x1 convolution
    without activation."""
    kernel_size: KernelSize = 3
    """Side of the convolutions' window in pixels; odd."""
    dilation: Count = 1
    """Distance between the pixels that the window reads; a strided convolution has no dilation."""
    groups: Count = 1
    """Number of groups of a standard convolution; reduced to the greatest common divisor of this number and
    of the input and output channels."""
    depth_multiplier: Count = 1
    """Number of depthwise filters per input channel, for `separable` and `depthwise_pointwise`."""
    expansion: Count = 4
    """Inner channels of an inverted bottleneck per input channel; 1 leaves the first convolution out."""
    padding: Padding = "same"
    """Padding of convolutions and poolings. `same` pads the border, so that only a stride makes the map
    smaller; `valid` does not pad, except where the window is larger than the map."""
    bias: bool = True
    """Whether convolutions have a bias; a batch normalization directly after one removes its bias."""
    normalization: Normalization = "none"
    """Position of batch normalization. `none`: no normalization. `before`: normalization, activation,
    convolution, as in Xception. `between`: convolution, normalization, activation. `after`: convolution,
    activation, normalization."""
    activation: Activation = "relu"
    """Activation function of each convolution; `none` is the identity."""
    residual: Literal["none", "identity", "projection"] = "none"
    """Connection that adds a block's input to its output. `none`: no connection. `identity`: the input
    itself, only where both have the same shape. `projection`: the input itself where the shapes are the
    same, otherwise a 1x1 convolution of it."""
    shortcut_bias: bool = True
    """Whether the 1x1 convolution of `residual: projection` has a bias."""
    squeeze_excitation: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Inner width of squeeze-and-excitation as a share of the block's channels; 0 leaves it out."""
    shrink: Shrink = "none"
    """How the first block halves the map. `none`: not at all. `max_pool`, `average_pool`: by a pooling at its
    end. `strided`: by stride 2 in its first convolution. A map of one pixel is never shrunk."""
    pool_size: PoolSize = 2
    """Side of the pooling's window in pixels; its stride is 2."""
    dropout: Rate = 0.0
    """Share of the values that are set to zero in training, after the last block."""


class Decoder(Part):
    """The mirror image of the stages that shrink, from last to first, for segmentation.

    Its output has the size of the network's input.
    """

    upsample: Literal["transposed", "interpolated"] = "transposed"
    """How a step doubles the map. `transposed`: by a transposed convolution of stride 2. `interpolated`: by
    bilinear interpolation and a convolution."""
    convs: Count = 2
    """Number of convolutions per step, the one that doubles the map included."""
    conv: Literal["standard", "separable"] = "standard"
    """Kind of convolution with `upsample: interpolated`, as in a stage; no effect with `transposed`."""
    kernel_size: KernelSize = 3
    """Side of the convolutions' window in pixels; odd."""
    bias: bool = True
    """Whether convolutions have a bias; a batch normalization directly after one removes its bias."""
    normalization: Literal["none", "between", "after"] = "none"
    """Position of batch normalization. `none`: no normalization. `between`: convolution, normalization,
    activation. `after`: convolution, activation, normalization."""
    activation: Activation = "relu"
    """Activation function of each convolution; `none` is the identity."""
    skip: Literal["none", "add", "concat"] = "none"
    """How the encoder's map of the same size is joined. `none`: not at all. `add`: it is added, after a 1x1
    convolution where the number of channels differs. `concat`: its channels are appended. The network's input
    itself is never joined."""
    dropout: Rate = 0.0
    """Share of the values that are set to zero in training, after the last step."""


class Head(Part):
    """The layers from the last feature map to the classes."""

    pooling: Literal["global_average", "global_max", "flatten"] = "global_average"
    """How a map becomes a vector. `global_average`, `global_max`: the mean or the maximum of each channel.
    `flatten`: all values. No effect for segmentation."""
    dense: Annotated[tuple[Units, ...], BeforeValidator(_as_tuple)] = ()
    """Units of the hidden dense layers, one number or a list; a layer of 0 units is left out. No effect for
    segmentation."""
    activation: Activation = "relu"
    """Activation function of the hidden dense layers; `none` is the identity."""
    dropout: Rate = 0.0
    """Share of the values that are set to zero in training, before the output layer."""
    kernel_size: KernelSize = 1
    """Side of the output convolution's window in pixels, for segmentation; odd."""


class Training(Part):
    """How a network is trained; part of the design, not of the architecture's id."""

    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    """Optimizer. `adamw`: Adam with decoupled weight decay. `sgd`: stochastic gradient descent with Nesterov
    momentum 0.9."""
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 0.002
    """Learning rate at the start of training."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate during training. `constant`: unchanged. `cosine`: falls to zero along a half cosine over
    the full length of training."""
    weight_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decoupled weight decay of `adamw` and `sgd`: a step subtracts learning rate x weight decay x weight. No
    effect with other optimizers."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    """Number of examples per training step."""
    class_weight: Literal["none", "balanced"] = "none"
    """Factor of the loss of a training example. `none`: 1. `balanced`: examples / (classes x examples of its
    class), so that each class counts equally. For classification only."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of each training label that is spread evenly over all classes."""
    mixup: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Augmentation: each training example is mixed with another one of its batch, and their labels likewise.
    The shares are drawn from a beta distribution with both parameters at this value; 0 leaves it out. For
    classification only. Source: arXiv:1710.09412."""
    flip: bool = False
    """Augmentation: whether images are flipped left to right at random."""
    crop: Annotated[int, Field(ge=0, le=8192)] = 0
    """Augmentation: a random crop of the image's size, after padding each side by this number of pixels."""
    translation: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    """Augmentation: largest random shift in each direction, as a share of the image's size."""
    rotation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Augmentation: largest random rotation in either direction, as a share of a full turn."""
    zoom: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    """Augmentation: largest random zoom in or out, as a share of the image's size."""
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Augmentation: largest random change of an image's brightness, as a share of the range of values."""
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Augmentation: largest random change of the distance of each value from the mean of its channel, as a
    share of the distance."""
    cutout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Augmentation: sides of a rectangle at a random place that is filled with the middle of the range of
    values, as a share of the image's sides."""
    value_range: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] | None = None
    """Least and greatest value of the images, for `brightness`, `contrast` and `cutout`. null: that of the
    data set; [0, 255] where the network divides its input by 255."""

    @property
    def moves_pixels(self) -> bool:
        """Whether the pixels of training images change their places at random."""
        return bool(self.flip or self.crop or self.translation or self.rotation or self.zoom)

    @property
    def changes_inputs(self) -> bool:
        """Whether training examples are changed at random."""
        return bool(self.moves_pixels or self.brightness or self.contrast or self.cutout or self.mixup)

    @property
    def softens_labels(self) -> bool:
        """Whether training labels are probabilities of the classes."""
        return bool(self.label_smoothing or self.mixup)
