"""Pictures of the predictions of a segmentation network next to images and masks."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.data import Dataset

if TYPE_CHECKING:
    import keras
    from PIL import ImageDraw

__all__ = [
    "class_colours",
    "draw_comparison",
    "draw_legend",
    "draw_predictions",
    "legend_height",
]

Pixels = NDArray[np.uint8]

GAP = 4
"""White pixels between pictures."""

LEGEND_ROW, LEGEND_COLUMNS = 20, 4
"""Height of a row of the legend in pixels, and names in a row."""


def class_colours(classes: int) -> Pixels:
    """Return a colour for each class, uint8 (classes, 3): distant hues in two lightnesses."""
    golden_ratio = 0.618033988749895
    colours = [
        colorsys.hls_to_rgb(index * golden_ratio % 1.0, 0.45 + 0.2 * (index % 2), 0.7)
        for index in range(classes)
    ]
    return np.round(255 * np.array(colours)).astype(np.uint8)


def draw_comparison(x: np.ndarray, masks: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> bytes:
    """Draw image, mask and prediction side by side, one example per row, above a legend; return a PNG.

    x: images (n, height, width, channels), 0..255; masks, predicted: class indices (n, height, width). Pixels
    whose label is not a class are grey. Small images are enlarged.
    """
    from PIL import Image, ImageDraw, ImageFont

    colours = np.vstack([class_colours(len(classes)), np.full((1, 3), 128, np.uint8)])
    scale = max(1, 240 // x.shape[2])
    rows = []
    for image, mask, prediction in zip(x, masks, predicted, strict=True):
        shown = np.clip(image, 0, 255).astype(np.uint8)
        shown = np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown[..., :3]
        three = [shown, *(colours[np.minimum(labels, len(classes))] for labels in (mask, prediction))]
        larger = [np.kron(part, np.ones((scale, scale, 1), np.uint8)) for part in three]
        padded = [np.pad(part, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for part in larger]
        rows.append(np.concatenate(padded, axis=1))
    grid = np.concatenate(rows)
    font = ImageFont.load_default()
    height = grid.shape[0] + LEGEND_ROW + legend_height(classes)
    canvas = Image.new("RGB", (grid.shape[1], height), "white")
    canvas.paste(Image.fromarray(grid), (0, 0))
    draw = ImageDraw.Draw(canvas)
    third = grid.shape[1] // 3
    for column, text in enumerate(("image", "mask", "prediction")):
        draw.text((column * third + 2, grid.shape[0] + 2), text, fill="black", font=font)
    draw_legend(draw, classes, grid.shape[0] + LEGEND_ROW, grid.shape[1])
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def legend_height(classes: Sequence[str]) -> int:
    """Return the height in pixels of the legend of these classes."""
    return LEGEND_ROW * -(-len(classes) // LEGEND_COLUMNS)


def draw_legend(draw: ImageDraw.ImageDraw, classes: Sequence[str], top: int, width: int) -> None:
    """Draw the colour and the name of each class below a picture."""
    from PIL import ImageFont

    font = ImageFont.load_default()
    for index, (name, colour) in enumerate(zip(classes, class_colours(len(classes)), strict=True)):
        left = (index % LEGEND_COLUMNS) * width // LEGEND_COLUMNS + 2
        row = top + LEGEND_ROW * (index // LEGEND_COLUMNS)
        draw.rectangle((left, row + 2, left + 12, row + 14), fill=tuple(int(part) for part in colour))
        draw.text((left + 18, row + 2), str(name), fill="black", font=font)


def draw_predictions(model: keras.Model, dataset: Dataset, count: int = 6) -> bytes:
    """Draw evenly spaced validation images, their masks and a model's predictions; return a PNG."""
    from nas.backends import predict

    split = dataset.validation
    indices = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
    x, masks = np.asarray(split.x)[indices], np.asarray(split.y)[indices]
    return draw_comparison(x, masks, predict(model, x).argmax(axis=-1), dataset.classes)
