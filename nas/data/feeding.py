"""How an image of a data set becomes an input of a network."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from nas.architecture import Part

__all__ = ["Feeding"]


class Feeding(Part):
    """How an example becomes an input: recorded with a search, and written beside each exported network."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)  # JSON has no tuples

    rescale: bool = True
    """Whether inputs have values from 0 to 255, which the network divides by 255."""
    value_range: tuple[float, float] = (0.0, 255.0)
    """Values in the data. With `rescale` they are mapped to 0..255 where they are others."""
    channels: Literal["RGB", "grey", "other"] = "other"
    """Meaning of the channels, in order."""
    resize: Literal["", "bilinear"] = ""
    """Method by which images are resized to the input's size; empty: they have it."""
    background: str = ""
    """Colour under transparent pixels; empty: the images have none."""
