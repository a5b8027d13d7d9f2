"""How a data set is read and split: what a user may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator

from nas.architecture import Part, validate_part

__all__ = ["Axes", "DataOptions", "LabelKind", "parse_colour"]

Axes = Literal["auto", "channels_last", "channels_first"]

LabelKind = Literal["auto", "classes", "multi_label", "numbers", "masks"]

Positive = Annotated[int, Field(ge=1)]


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return the colour of a name or of #rrggbb; raises ValueError."""
    from PIL import ImageColor

    red, green, blue, *_ = ImageColor.getrgb(text)
    return red, green, blue


class DataOptions(Part):
    """How to read and split a data set. A search and a training have these options too."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)  # JSON has no tuples

    image_size: Positive | None = None
    """Side in pixels to which every image is resized; `null`: images keep their size."""
    train_limit: Positive | None = None
    """Greatest number of training examples, stratified by class; `null`: all."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training examples that is taken for validation if the data has no such split."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed by which examples are taken for validation and for `train_limit`."""
    labels: LabelKind = "auto"
    """Kind of the labels: one class each, several classes each, numbers (regression), or masks. `auto`:
    inferred from the data."""
    label_column: tuple[str, ...] = ()
    """Columns of a table that hold the labels; empty: `label`, or the only column that may. Several columns
    are several classes (0 and 1) or numbers."""
    label_from: str = ""
    """Regular expression that finds the label in the path of an image: its group `label`, or its first group.
    For a folder of files such as `class_name_001.jpg`: `"(.+)_\\d+"`."""
    axes: Axes = "auto"
    """Order of the axes of arrays. With another value than `auto`, examples with two different axes are
    signals."""
    ignore_label: int | None = None
    """Segmentation: the label that neither the loss nor the score counts."""
    drop_duplicates: bool = False
    """Keep one of byte-equal image files, or of equal rows of arrays: in the test split, else in the
    validation split."""
    strict: bool = False
    """Stop at the first file that cannot be read. Otherwise up to 1 % of the files are skipped."""
    mask_colors: tuple[str, ...] = ()
    """Segmentation: the colours of masks, as #rrggbb or names, in the order of their labels from 0. Empty:
    masks hold numbers, or few colours, which are taken as the classes."""
    background: str = "white"
    """Colour below the transparent pixels of images, as #rrggbb or a name."""

    @field_validator("background", "mask_colors")
    @classmethod
    def _check_colours(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        colours = (value,) if isinstance(value, str) else value
        known: dict[tuple[int, int, int], str] = {}
        for colour in colours:
            try:
                rgb = parse_colour(colour)
            except ValueError:
                raise ValueError(
                    f"must be colours as #rrggbb or names, got {colour!r}; write for example #ff0000"
                ) from None
            if rgb in known:
                raise ValueError(f"must be different colours, got {colour!r} twice; remove one")
            known[rgb] = colour
        return value

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate values; raises InputError."""
        return validate_part(cls, dict(values), "")
