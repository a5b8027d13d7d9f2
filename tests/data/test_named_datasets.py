"""Data sets known by name: the included digits, and Keras' loaders with a cache but without a network."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import some_labels, some_pixels

from nas.data import DataOptions, load_dataset

ROOT = Path(__file__).parents[2]


def test_digits_are_uint8_images_of_16x16_in_three_splits() -> None:
    digits = load_dataset()
    assert (digits.name, digits.source, digits.task) == ("digits", "digits", "classification")
    assert digits.shape == (16, 16, 1)
    assert digits.classes == tuple("0123456789")
    assert digits.rescale
    assert digits.ignore_label is None
    assert digits.test is not None
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1150, 288, 359]
    for split in (digits.train, digits.validation, digits.test):
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int32
        shares = np.bincount(split.y, minlength=10) / len(split)
        np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_digits_of_8x8_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    digits = load_dataset("digits", DataOptions(image_size=8))
    assert digits.test is not None
    splits = (digits.train, digits.validation, digits.test)
    loaded = sorted(
        (int(label), image.tobytes())
        for split in splits
        for image, label in zip(split.x, split.y, strict=True)
    )
    scaled = np.rint(x / 16 * 255).astype(np.uint8)
    expected = sorted((int(label), image.tobytes()) for image, label in zip(scaled, y, strict=True))
    assert loaded == expected


def save_idx(path: Path, array: np.ndarray) -> None:
    """Save an array in the format of the files that Keras' loader of Fashion-MNIST downloads."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


LOAD = """if True:
    from nas.data import load_dataset
    from nas.errors import DataError
    fashion = load_dataset("fashion_mnist")
    train, validation, test = (s.x for s in (fashion.train, fashion.validation, fashion.test))
    print(fashion.name, fashion.classes[0], len(train), len(validation), test.sum())
    try:
        load_dataset("cifar10")
    except DataError as error:
        print(error)
"""


@pytest.mark.trains  # loads TensorFlow in a process of its own
def test_keras_loaders_use_their_cache_and_explain_what_to_do_without_a_network(tmp_path: Path) -> None:
    cache = tmp_path / "datasets" / "fashion-mnist"
    test_images = some_pixels(200, 28, 28, seed=1)
    for name, images in (("train", some_pixels(1200, 28, 28)), ("t10k", test_images)):
        save_idx(cache / f"{name}-images-idx3-ubyte.gz", images)
        save_idx(cache / f"{name}-labels-idx1-ubyte.gz", some_labels(len(images), 10).astype(np.uint8))
    unreachable = "http://127.0.0.1:9"
    environment = {
        **os.environ, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3",
        "https_proxy": unreachable, "HTTPS_PROXY": unreachable,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"fashion_mnist T-shirt/top 960 240 {test_images.sum()}"
    assert second.startswith("'cifar10' must be in Keras' cache or be downloadable, got: ")
    assert second.endswith("--data path/to/cifar10.npz")
