"""The options by which data are read, for each command that reads data."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

__all__ = ["DATA_OPTIONS", "with_data_options"]

DATA_OPTIONS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {
        "image_size": (int, "Resize every image to a square of this side in pixels."),
        "train_limit": (int, "Train on at most N images, stratified by class."),
        "validation": (
            float,
            "Share of the training examples that is taken for validation if the data has no such split.  "
            "[default: 0.2]",
        ),
        "split_seed": (int, "Seed by which examples are taken for validation.  [default: 0]"),
        "labels": (str, "auto, classes, multi_label, numbers or masks.  [default: auto, inferred]"),
        "label_column": (
            tuple,
            "Columns of a table that hold the labels, with commas.  [default: label, or the only one]",
        ),
        "label_from": (str, "Regular expression whose first group is the label in the path of an image."),
        "axes": (
            str,
            "auto, channels_last or channels_first: the order in arrays.  [default: auto, inferred]",
        ),
        "ignore_label": (int, "Segmentation: the label that is not counted."),
        "drop_duplicates": (bool, "Keep one of equal images or rows, in the test split if one is there."),
        "strict": (bool, "Stop at the first unreadable file.  [default: skip up to 1 % of the files]"),
        "mask_colors": (
            tuple,
            "Segmentation: colours of the masks in the order of the labels, as #000000,#ff0000.",
        ),
        "background": (str, "Colour below the transparent pixels of images.  [default: white]"),
    }
)
"""Type and help by field of `DataOptions`, which is not imported here: help pages must be fast. A test
compares the two. A tuple is written with commas."""


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `data_options` of a command by an option for each field of `DataOptions`.

    The command receives the names and values of those that are given.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "data_options":
            parameters += [_parameter(name) for name in DATA_OPTIONS]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        given: dict[str, Any] = {}
        for name, (kind, _) in DATA_OPTIONS.items():
            value = values.pop(name)
            if value is not None and kind is tuple:
                value = tuple(word.strip() for word in value.split(",") if word.strip())
            if value is not None:
                given[name] = value
        command(**values, data_options=given)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions take attributes
    return wrapped


def _parameter(name: str) -> inspect.Parameter:
    kind, text = DATA_OPTIONS[name]
    option = typer.Option(help=text, rich_help_panel="Data", show_default=False)
    annotation = Annotated[(str if kind is tuple else kind) | None, option]  # type: ignore[valid-type]  # read at run time
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
