"""The parts an architecture is written in: Stem, Stage, Decoder, Head, and how it is trained.

Each is frozen, refuses unknown keys and impossible values, and has a default for every value but the
width, so that a file says only what is special about a network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nas.errors import SpaceError, nearest

__all__ = ["Decoder", "Head", "Part", "Scalar", "Stage", "Stem", "Training", "validated"]

Scalar = str | int | float | bool

Activation = Literal[
    "none", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_silu", "tanh"
]
Convolution = Literal["standard", "separable", "depthwise_pointwise", "inverted_bottleneck"]
Normalization = Literal["none", "before", "between", "after"]
Padding = Literal["same", "valid"]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Width = Annotated[int, Field(ge=1, le=8192)]
Count = Annotated[int, Field(ge=1, le=64)]


def _odd(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value % 2 == 0:
        raise ValueError(f"must be odd, got {value}; use {max(1, value - 1)} or {value + 1}")
    return value


KernelSize = Annotated[int, BeforeValidator(_odd), Field(ge=1, le=31)]


class Part(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Stem(Part):
    """One standard convolution before the first stage."""

    width: Width  # filters
    kernel_size: KernelSize = 3
    stride: Literal[1, 2] = 1
    padding: Padding = "same"
    bias: bool = True
    normalization: Normalization = "none"  # where batch normalization stands: see Stage
    activation: Activation = "relu"


class Stage(Part):
    """Blocks at one width; the first of them may halve the feature map."""

    width: Width  # filters of every convolution
    blocks: Count = 1  # how often the block is repeated
    convs: Count = 1  # convolutions in a block
    conv: Convolution = "standard"
    kernel_size: KernelSize = 3
    dilation: Count = 1  # not applied to a strided convolution
    groups: Count = 1  # of a standard convolution; the greatest common divisor with the widths is taken
    depth_multiplier: Count = 1  # of separable and depthwise_pointwise
    expansion: Count = 4  # of the inverted bottleneck: its inner width over its input's
    padding: Padding = "same"  # of convolutions and pooling
    bias: bool = True  # dropped where batch normalization follows at once
    # none | before: normalization, activation, convolution (Xception) | between: convolution,
    # normalization, activation | after: convolution, activation, normalization
    normalization: Normalization = "none"
    activation: Activation = "relu"
    residual: Literal["none", "identity", "projection"] = "none"  # projection: 1x1 only where shapes differ
    shortcut_bias: bool = True  # of the projection
    squeeze_excitation: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # inner width over outer; 0: none
    shrink: Literal["none", "max_pool", "average_pool", "strided"] = "none"  # by 2, in the first block
    pool_size: Literal[2, 3] = 2  # window of the pooling, whose stride is 2
    dropout: Rate = 0.0  # after the stage


class Decoder(Part):
    """Mirrors the stages that shrink, last first, until the output has the input's size (segmentation)."""

    upsample: Literal["transposed", "interpolated"] = "transposed"  # strided transposed | 2x + convolution
    convs: Count = 2  # convolutions in a stage, the one that enlarges included
    conv: Literal["standard", "separable"] = "standard"  # of the convolutions after interpolation
    kernel_size: KernelSize = 3
    bias: bool = True
    normalization: Literal["none", "between", "after"] = "none"
    activation: Activation = "relu"
    skip: Literal["none", "add", "concat"] = "none"  # joins the encoder's map of the same size
    dropout: Rate = 0.0


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


class Head(Part):
    """From the last feature map to the classes."""

    pooling: Literal["global_average", "global_max", "flatten"] = "global_average"
    dense: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_as_tuple)] = ()  # 0: left out
    activation: Activation = "relu"  # of the hidden dense layers
    dropout: Rate = 0.0  # before the output layer
    kernel_size: KernelSize = 1  # of the output convolution (segmentation)


class Training(Part):
    """How a network is trained: belongs to a trial, not to the architecture's id."""

    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 0.002
    schedule: Literal["constant", "cosine"] = "constant"  # cosine: to zero over the trial's full length
    weight_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # of adamw and sgd, decoupled
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    flip: bool = False  # augmentation: left and right
    rotation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0  # augmentation: greatest share of a full turn
    zoom: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0  # augmentation: greatest share in or out


PartT = TypeVar("PartT", bound=BaseModel)


def validated(model: type[PartT], data: object, where: str) -> PartT:
    """Build a part from plain data; raise SpaceError with the first rule that it breaks."""
    if not isinstance(data, dict):
        raise SpaceError(f"{where} must be a mapping of names to values, got {data!r}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpaceError(_sentence(model, error, where)) from None


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    """Turn pydantic's first complaint into one sentence with the rule, the value and the fix."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in (where, *first["loc"]) if str(step))
    value = first.get("input")
    kind = first["type"]
    if kind == "extra_forbidden":
        key = str(first["loc"][-1])
        return f"{where or 'the file'} has no value named '{key}'; {nearest(key, model.model_fields)}"
    if kind == "missing":
        return f"{place} must be given; write for example '{first['loc'][-1]}: 32'"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{place} must be one of its values, got {value!r}; {nearest(str(value), allowed)}"
    if kind == "value_error":
        return f"{place} {first['ctx']['error']}"
    rule = first["msg"][0].lower() + first["msg"][1:]
    rule = rule.removeprefix("input ").replace("should", "must")
    return f"{place} {rule}, got {value!r}"
