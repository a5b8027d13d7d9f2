"""The parts an architecture is written in: Stem, Stage, Decoder, Head, and how it is trained.

Each is frozen, refuses unknown keys and impossible values, and has a default for every value but the
width, so that a file says only what is special about a network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nas.errors import SpaceError, nearest

__all__ = ["Decoder", "Head", "Part", "Scalar", "Stage", "Stem", "Training", "validate_part"]

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
    if isinstance(value, int) and value > 0 and value % 2 == 0:
        raise ValueError(f"must be odd, got {value}; use {value - 1} or {value + 1}")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float):  # which equal 1 and 2 and so would pass as a literal
        raise ValueError(f"must be a whole number, got {_shown(value)}; use {int(value)}")
    return value


KernelSize = Annotated[int, BeforeValidator(_odd), Field(ge=1, le=31)]
Stride = Annotated[Literal[1, 2], BeforeValidator(_whole)]
PoolSize = Annotated[Literal[2, 3], BeforeValidator(_whole)]


class Part(BaseModel):
    """A frozen value that refuses keys it does not know, and text or truth where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, data: Any) -> Any:
        """Take lists, as files have them, where tuples belong."""
        if not isinstance(data, dict):
            return data
        return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


class Stem(Part):
    """One standard convolution before the first stage."""

    width: Width  # filters
    kernel_size: KernelSize = 3
    stride: Stride = 1
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
    pool_size: PoolSize = 2  # window of the pooling, whose stride is 2
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
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


Units = Annotated[int, Field(ge=0, le=65536)]


class Head(Part):
    """From the last feature map to the classes."""

    pooling: Literal["global_average", "global_max", "flatten"] = "global_average"
    dense: Annotated[tuple[Units, ...], BeforeValidator(_as_tuple)] = ()  # 0: left out
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

FILE_KEYS = ("block", "training")
"""What a file has besides the values of an Architecture."""

STAGE_MAPPING_KEYS = ("count", "growth")
"""What `stages` as a mapping has besides the values of a stage."""


def validate_part(model: type[PartT], data: object, where: str) -> PartT:
    """Build a part from plain data; raise SpaceError with the first rule that it breaks."""
    if not isinstance(data, dict):
        raise SpaceError(f"{where or 'the file'} must be a mapping of names to values, got {data!r}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpaceError(_sentence(model, error, where)) from None


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    """Turn pydantic's first complaint, a misspelt name before all others, into one sentence."""
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    path = first["loc"]
    steps = [where, *(step + 1 if isinstance(step, int) else step for step in path)]  # places count from 1
    place = ".".join(str(step) for step in steps if step != "")
    value, kind, key = first.get("input"), first["type"], str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        owner = place.removesuffix(key).rstrip(".")
        return f"{owner or 'the file'} has no value named '{key}'; {nearest(key, _known(model, path))}"
    if kind == "missing":
        return f"{place} must be given; write for example '{key}: {EXAMPLES.get(key, '32')}'"
    if kind == "value_error":
        return f"{place} {first['ctx']['error']}"
    if isinstance(value, dict):
        fix = "an open value is written {choice: [...]} or {range: [low, high, step]}"
        return f"{place} must be a plain value, got {value!r}; {fix}"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{place} must be one of its values, got {_shown(value)}; {nearest(str(value), allowed)}"
    rule, fix = RULES.get(kind, (first["msg"].replace("Input should", "must"), "mend it"))
    bounds = {name: str(bound) for name, bound in first.get("ctx", {}).items()}
    return f"{place} {rule.format(**bounds)}, got {_shown(value)}; {fix.format(**bounds)}"


EXAMPLES = {"input_shape": "[32, 32, 3]"}

RULES = {
    "int_type": ("must be a whole number", "write for example 3"),
    "float_type": ("must be a number", "write for example 0.5"),
    "bool_type": ("must be true or false", "write true or false"),
    "string_type": ("must be text", "put it in quotes"),
    "tuple_type": ("must be a list", "write for example [32, 32, 3]"),
    "too_short": ("must have at least {min_length} values", "add one"),
    "too_long": ("must have at most {max_length} values", "leave one out"),
    "model_type": ("must be a mapping of names to values", "write for example {{width: 32}}"),
    "greater_than_equal": ("must be at least {ge}", "use {ge} or more"),
    "greater_than": ("must be over {gt}", "use more than {gt}"),
    "less_than_equal": ("must be at most {le}", "use {le} or less"),
    "less_than": ("must be under {lt}", "use less than {lt}"),
}
"""By pydantic's name of a complaint: the rule, and the fix."""


def _shown(value: object) -> str:
    """Write a value as the file has it."""
    if isinstance(value, bool):
        return repr(value).lower()
    return "null" if value is None else repr(list(value) if isinstance(value, tuple) else value)


def _known(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Give the names that the part at a path takes."""
    parts: dict[str, type[Part]] = {"stem": Stem, "stages": Stage, "decoder": Decoder, "head": Head}
    known = list(model.model_fields)
    if "stages" in known:
        known += FILE_KEYS
    if len(path) > 1 and path[0] in parts:
        known = list(parts[str(path[0])].model_fields)
        known += STAGE_MAPPING_KEYS if path[0] == "stages" else ()
    return known
