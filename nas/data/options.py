"""How a data set is read and split: what a user may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from nas.architecture import Part, validate_part

__all__ = ["Axes", "DataOptions", "LabelKind"]

Axes = Literal["auto", "channels_last", "channels_first"]

LabelKind = Literal["auto", "classes", "multi_label", "numbers", "masks"]

Positive = Annotated[int, Field(ge=1)]


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
    """Keep one of byte-equal image files: in the test split, else in the validation split."""
    strict: bool = False
    """Stop at the first file that cannot be read. Otherwise up to 1 % of the files are skipped."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate values; raises InputError."""
        return validate_part(cls, dict(values), "")
