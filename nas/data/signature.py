"""What goes into a network of a data set, and what comes out: recorded, and written with each export."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict

from nas.architecture import Part
from nas.data.feeding import Feeding

__all__ = ["Signature", "labels_text"]


class Signature(Part):
    """The meaning of a network's input and of each output."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)  # JSON has no tuples

    task: str
    """Task of the data."""
    input_shape: tuple[int, ...]
    """Shape of one example, channels last."""
    classes: tuple[str, ...]
    """Name of each output: of the classes, the numbers or the labels of masks."""
    feeding: Feeding
    """How an example becomes an input."""

    def input_text(self) -> str:
        """Return how to feed an example, as the end of a sentence."""
        feeding, shape = self.feeding, "x".join(map(str, self.input_shape))
        kinds = {"RGB": "an RGB image", "grey": "a grey image", "other": "an array"}
        parts = [f"{kinds[feeding.channels]} of {shape}, channels last"]
        if feeding.resize:
            parts.append(f"resized with {feeding.resize} interpolation and antialiasing")
        if feeding.background:
            parts.append(f"with {feeding.background} under transparent pixels")
        low, high = feeding.value_range
        if not feeding.rescale:
            parts.append(f"with values as in the data, {low:g} to {high:g}")
        elif (low, high) in ((0.0, 255.0), (0.0, 1.0)):
            parts.append("with values from 0 to 255 (do not divide)")
        else:
            parts.append(f"with values from 0 to 255, to which {low:g} to {high:g} in the data are mapped")
        return ", ".join(parts)

    def output_text(self) -> str:
        """Return the names of the outputs, all of them if they are few, as the end of a sentence."""
        names = [f"{index}: {name}" for index, name in enumerate(self.classes)]
        shown = names if len(names) <= 20 else [*names[:10], "...", names[-1]]
        kinds = {
            "regression": "one number each",
            "multi_label": "a probability for each label",
            "segmentation": "probabilities of the labels of each pixel",
        }
        kind = kinds.get(self.task, "probabilities of the classes")
        return f"{kind}, in order: {', '.join(shown)}"

    def text(self) -> str:
        """Return two sentences, about input and output."""
        return f"Input: {self.input_text()}. Output: {self.output_text()}."


def labels_text(names: Sequence[str]) -> str:
    """Return the content of `labels.txt`: the name of each output in a line."""
    return "".join(f"{' '.join(name.splitlines())}\n" for name in names)
