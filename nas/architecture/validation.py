"""Validation of parts: plain data in, a part or one sentence that explains the first error out."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from nas.architecture.parts import Decoder, Head, Part, Stage, Stem, format_value
from nas.errors import SpaceError, nearest

__all__ = ["validate_part"]

PartT = TypeVar("PartT", bound=BaseModel)

FILE_KEYS = ("block", "training")
"""Keys of a file in addition to the fields of an Architecture."""

STAGE_MAPPING_KEYS = ("count", "growth")
"""Keys of `stages` as a mapping in addition to the fields of a stage."""

EXAMPLES = {"input_shape": "[32, 32, 3]"}
"""A valid value of required keys; 32 for any other key."""

RULES = {
    "int_type": ("must be a whole number", "write for example 3"),
    "float_type": ("must be a number", "write for example 0.5"),
    "bool_type": ("must be true or false", "write true or false"),
    "string_type": ("must be text", "put it in quotes"),
    "tuple_type": ("must be a list", "write for example [32, 32, 3]"),
    "too_short": ("must have at least {min_length} values", "add one"),
    "too_long": ("must have at most {max_length} values", "remove one"),
    "model_type": ("must be a mapping of names to values", "write for example {{width: 32}}"),
    "greater_than_equal": ("must be at least {ge}", "use {ge} or more"),
    "greater_than": ("must be over {gt}", "use more than {gt}"),
    "less_than_equal": ("must be at most {le}", "use {le} or less"),
    "less_than": ("must be under {lt}", "use less than {lt}"),
}
"""Rule and fix by pydantic's type of error."""


def validate_part(model: type[PartT], data: object, where: str) -> PartT:
    """Build a part from plain data.

    `where` is the key path of the data in the file; "" for the file itself. Raises SpaceError with the first
    rule that the data breaks.
    """
    if not isinstance(data, dict):
        raise SpaceError(f"{where or 'the file'} must be a mapping of names to values, got {data!r}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpaceError(_explain(model, error, where)) from None


def _explain(model: type[BaseModel], error: ValidationError, where: str) -> str:
    """Return one sentence about the first unknown key, or about the first error if all keys are known."""
    first = min(error.errors(include_url=False), key=lambda details: details["type"] != "extra_forbidden")
    path = first["loc"]
    # Indices count from 1 in messages, as in the names of open values.
    steps = [where, *(step + 1 if isinstance(step, int) else step for step in path)]
    key_path = ".".join(str(step) for step in steps if step != "")
    value, kind, key = first.get("input"), first["type"], str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        owner = key_path.removesuffix(key).rstrip(".")
        return f"{owner or 'the file'} has no value named '{key}'; {nearest(key, _valid_keys(model, path))}"
    if kind == "missing":
        return f"{key_path} must be given; write for example '{key}: {EXAMPLES.get(key, '32')}'"
    if kind == "value_error":
        return f"{key_path} {first['ctx']['error']}"
    if isinstance(value, dict):
        fix = "an open value is written {choice: [...]} or {range: [low, high, step]}"
        return f"{key_path} must be a plain value, got {value!r}; {fix}"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        closest = nearest(str(value), allowed)
        return f"{key_path} must be one of its values, got {format_value(value)}; {closest}"
    rule, fix = RULES.get(kind, (first["msg"].replace("Input should", "must"), "change it"))
    bounds = {name: str(bound) for name, bound in first.get("ctx", {}).items()}
    return f"{key_path} {rule.format(**bounds)}, got {format_value(value)}; {fix.format(**bounds)}"


def _valid_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the part at a path accepts."""
    parts: dict[str, type[Part]] = {"stem": Stem, "stages": Stage, "decoder": Decoder, "head": Head}
    keys = list(model.model_fields)
    if "stages" in keys:
        keys += FILE_KEYS
    if len(path) > 1 and path[0] in parts:
        keys = list(parts[str(path[0])].model_fields)
        keys += STAGE_MAPPING_KEYS if path[0] == "stages" else ()
    return keys
