"""A picture of examples with their labels."""

from __future__ import annotations

import io

import numpy as np

from nas.data import Dataset
from nas.report.pictures import CELL, example_pictures
from nas.report.segmentation_pictures import class_colours, draw_legend, legend_height

__all__ = ["draw_contact_sheet"]

TEXT = 16
"""Height of a label in pixels."""

GAP = 6
COLUMNS = 8


def draw_contact_sheet(dataset: Dataset, count: int = 48) -> bytes:
    """Draw up to `count` training examples with their labels, masks below their images; return a PNG.

    Classes take turns, so that each is shown if there are few. Values are shown as the network takes them:
    from 0 to 255, else from the least to the greatest value. Signals are drawn as curves.
    """
    from PIL import Image, ImageDraw, ImageFont

    indices = _chosen(dataset, count)
    x = np.asarray(dataset.train.x[indices])
    pictures = example_pictures(dataset, x)
    rows = -(-len(indices) // COLUMNS)
    width, height = COLUMNS * (CELL + GAP) + GAP, rows * (CELL + TEXT + GAP) + GAP
    legend = dataset.classes if dataset.task == "segmentation" else ()
    sheet = Image.new("RGB", (width, height + legend_height(legend)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    draw_legend(draw, legend, height, width)
    for position, (index, pixels) in enumerate(zip(indices, pictures, strict=True)):
        left = GAP + position % COLUMNS * (CELL + GAP)
        top = GAP + position // COLUMNS * (CELL + TEXT + GAP)
        picture = Image.fromarray(pixels)
        if dataset.task == "segmentation":
            picture = Image.fromarray(_with_mask(dataset, pixels, np.asarray(dataset.train.y[index])))
        scale = CELL / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
        sheet.paste(picture.resize(size, method), (left, top))
        label = _label(dataset, int(index))
        draw.text((left, top + CELL + 1), label, fill="black", font=font)
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _chosen(dataset: Dataset, count: int) -> np.ndarray:
    """Return indices of training examples, ascending: of each class in turn, or evenly spaced."""
    if dataset.task != "classification":
        return np.unique(np.linspace(0, len(dataset.train) - 1, count).astype(int))
    labels = np.asarray(dataset.train.y)
    turns = np.zeros(len(labels), np.intp)  # how many examples of its class come before each example
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(labels == label)
        turns[members] = np.arange(len(members))
    chosen = np.argsort(turns * len(dataset.classes) + labels, kind="stable")[:count]
    ordered: np.ndarray = chosen[np.argsort(labels[chosen], kind="stable")]
    return ordered


def _with_mask(dataset: Dataset, pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the pixels above the mask in the colours of its labels; ignored pixels are black."""
    colours = np.vstack([class_colours(len(dataset.classes)), np.zeros((1, 3), np.uint8)])
    shown = colours[np.minimum(mask, len(dataset.classes))]
    return np.concatenate([pixels, shown], axis=0)


def _label(dataset: Dataset, index: int) -> str:
    """Return the label of a training example, cut to the width of a cell."""
    y = np.asarray(dataset.train.y[index])
    match dataset.task:
        case "classification":
            text = dataset.classes[int(y)]
        case "multi_label":
            text = ", ".join(name for name, is_on in zip(dataset.classes, y, strict=True) if is_on) or "none"
        case "regression":
            text = ", ".join(f"{value:.3g}" for value in y.ravel())
        case _:
            labels = [int(label) for label in np.unique(y) if label < len(dataset.classes)]
            text = ", ".join(dataset.classes[label] for label in labels)
    return text if len(text) <= 18 else f"{text[:17]}…"
