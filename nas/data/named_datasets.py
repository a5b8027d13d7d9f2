"""Data sets known by name: scikit-learn's digits and those that Keras downloads."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nas.data.arrays import source_from_arrays
from nas.data.options import DataOptions
from nas.data.source import Source
from nas.errors import DataError
from nas.tensorflow_imports import import_keras, keras_settings

__all__ = ["CLASS_NAMES", "read_digits", "read_keras"]

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo",
    "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree",
    "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit",
    "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe",
    "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": CLOTHES,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
"""The class names of each data set, by the name of the data set."""


def read_digits(options: DataOptions) -> Source:
    """Read scikit-learn's 1,797 digits (8x8, values 0..16) as uint8 images, 16x16 unless a size is given."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images = np.rint(x * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    arrays, pairs = {"x_train": images, "y_train": y}, {"train": ("x_train", "y_train")}
    options = options.model_copy(update={"image_size": options.image_size or 16})
    return _without_notes(source_from_arrays(arrays, pairs, CLASS_NAMES["digits"], options))


def read_keras(name: str, options: DataOptions) -> Source:
    """Read a data set with its Keras loader, from Keras' cache or, the first time, from the network.

    Raises DataError if the loader fails.
    """
    datasets = import_keras().datasets
    loaders = {
        "mnist": datasets.mnist,
        "fashion_mnist": datasets.fashion_mnist,
        "cifar10": datasets.cifar10,
        "cifar100": datasets.cifar100,
    }
    try:
        with keras_settings(), contextlib.redirect_stdout(sys.stderr):  # progress belongs on stderr
            (x_train, y_train), (x_test, y_test) = loaders[name].load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"'{name}' must be in Keras' cache or be downloadable, got: {reason}; without a network, "
            f"pass a local file with x_train, y_train, x_test, y_test: --data path/to/{name}.npz"
        ) from error
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    pairs = {split: (f"x_{split}", f"y_{split}") for split in ("train", "test")}
    return _without_notes(source_from_arrays(arrays, pairs, CLASS_NAMES[name], options))


def _without_notes(source: Source) -> Source:
    """Return a source without notes: the meaning of its arrays is known, not inferred."""
    return replace(source, notes=())
