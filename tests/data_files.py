"""Files of data sets for tests, and the check of an error message."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import Split, load_dataset
from nas.errors import DataError, NasError

__all__ = [
    "assert_refused",
    "collect_refusals",
    "examples",
    "refusal",
    "save_class_folders",
    "save_image",
    "save_images_and_masks",
    "save_npz",
    "save_zip",
    "shared_case",
    "shared_data",
    "some_labels",
    "some_pixels",
]

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[2] / "shared"))


def shared_data(name: str) -> str:
    """Return the path of a real data set; skip the test if it is not there."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"the real data set {path} is not here")
    return str(path)


def shared_case(name: str) -> str:
    """Return the path of the data of a small shared case; skip the test if it is not there."""
    folder = SHARED / "cases" / name / "data"
    if not folder.exists():
        pytest.skip(f"the case {folder} is not here")
    return str(folder / "data.npz" if (folder / "data.npz").exists() else folder)


def examples(split: Split) -> set[bytes]:
    """Return the content of each example of a split."""
    return {example.tobytes() for example in split.x}


def some_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random uint8 values."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def some_labels(count: int, classes: int = 2) -> np.ndarray:
    """Return labels 0, 1, ... in turn."""
    return np.arange(count) % classes


def save_npz(folder: Path, name: str = "some", **arrays: np.ndarray) -> str:
    """Save arrays and return the path of the file."""
    path = folder / f"{name}.npz"
    np.savez(path, **arrays)
    return str(path)


def save_image(path: Path, size: tuple[int, int] = (6, 5), mode: str = "L", seed: int = 0) -> None:
    """Save an image of random pixels; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    Image.fromarray(some_pixels(size[1], size[0], *channels, seed=seed)).save(path)


def save_class_folders(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 5) -> Path:
    """Save `count` images per class in a sub-folder each, and return the folder."""
    for label, name in enumerate(classes):
        for number in range(count):
            save_image(folder / name / f"{number}.png", seed=100 * label + number)
    return folder


def save_images_and_masks(folder: Path, count: int = 6) -> Path:
    """Save RGB images and masks with labels 0..2 in images/ and masks/, and return the folder."""
    for number in range(count):
        save_image(folder / "images" / f"{number}.png", mode="RGB", seed=number)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(some_pixels(5, 6, seed=number) % 3).save(folder / "masks" / f"{number}.png")
    return folder


def save_zip(folder: Path, target: Path, wrapper: str = "") -> str:
    """Save the files of a folder in a .zip, below a folder `wrapper`, and return the path."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(wrapper) / file.relative_to(folder))
    return str(target)


def refusal(source: str) -> str:
    """Return the sentence with which a source is refused, empty if it is read."""
    try:
        load_dataset(source)
    except NasError as error:
        return str(error)
    return ""


Refusals = dict[str, tuple[Callable[[Path], Any], str]]
Decorator = Callable[[Callable[[Path], Any]], Callable[[Path], Any]]


def collect_refusals() -> tuple[Refusals, Callable[[str], Decorator]]:
    """Return an empty collection, and a decorator that adds functions to it.

    Such a function saves data that are refused with a sentence that matches the decorator's argument.
    """
    found: Refusals = {}

    def refused(match: str) -> Decorator:
        def add(save: Callable[[Path], Any]) -> Callable[[Path], Any]:
            found[save.__name__] = (save, match)
            return save

        return add

    return found, refused


def assert_refused(source: str, match: str) -> None:
    """Check that a source is refused with one sentence that matches and that contains a fix."""
    with pytest.raises(DataError) as caught:
        load_dataset(source)
    sentence = str(caught.value)
    assert re.search(match, sentence), sentence
    assert ";" in sentence, "the fix is missing"
    assert "\n" not in sentence
    assert caught.value.exit_code == 2
