"""Arrays in `.npz` files: shapes, types, labels and masks, and the errors for unsuitable ones."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, examples, save_npz, shared_data, some_labels, some_pixels
from PIL import Image

from nas.data import DataOptions, load_dataset
from nas.errors import DataError


def test_an_npz_keeps_its_test_split_and_all_training_images() -> None:
    source = shared_data("mnist.npz")
    mnist = load_dataset(source, DataOptions(validation=0.25))
    assert mnist.name == "mnist"
    assert mnist.shape == (28, 28, 1)
    with np.load(source) as file:
        assert mnist.test is not None
        np.testing.assert_array_equal(mnist.test.x[..., 0], file["x_test"])
        np.testing.assert_array_equal(mnist.test.y, file["y_test"])
        both = np.concatenate([mnist.train.y, mnist.validation.y])
        np.testing.assert_array_equal(np.bincount(both), np.bincount(file["y_train"]))
        all_images = {image.tobytes() for image in file["x_train"]}
        assert examples(mnist.train) | examples(mnist.validation) == all_images
    assert len(mnist.validation) == 15_000
    assert len(set(mnist.train.y[:100].tolist())) == 10, "the training order must be shuffled"


def test_an_npz_of_masks_has_classes_and_an_ignored_label() -> None:
    source = shared_data("camvid_120x90.npz")
    camvid = load_dataset(source, DataOptions(ignore_label=11))
    assert camvid.task == "segmentation"
    assert camvid.shape == (90, 120, 3)
    assert camvid.classes == tuple(map(str, range(11)))
    assert camvid.ignore_label == 11
    with np.load(source) as file:
        np.testing.assert_array_equal(camvid.validation.y, file["y_val"])
        assert camvid.test is not None
        np.testing.assert_array_equal(camvid.test.y, file["y_test"])
        pairs = zip(file["x_train"], file["y_train"], strict=True)
        mask_of = {image.tobytes(): mask for image, mask in pairs}
    for image, mask in zip(camvid.train.x, camvid.train.y, strict=True):
        np.testing.assert_array_equal(mask, mask_of[image.tobytes()])
    everything = load_dataset(source, DataOptions(train_limit=20, image_size=32))
    assert len(everything.classes) == 12
    assert everything.ignore_label is None
    assert everything.train.x.shape == (20, 32, 32, 3)
    assert everything.train.y.shape == (20, 32, 32)


def test_any_integer_labels_become_classes_named_by_them(tmp_path: Path) -> None:
    y = np.array([-1, 3, 7])[some_labels(30, 3)].astype(np.int64)[:, None]
    x = some_pixels(30, 4, 4, 3)
    source = save_npz(tmp_path, x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    some = load_dataset(source)
    assert some.classes == ("-1", "3", "7")
    assert some.test is not None
    np.testing.assert_array_equal(some.test.y, [0, 1, 2])


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((20, 6, 4), np.uint8, (6, 4, 1)),
        ((20, 6, 4), np.int64, (6, 4, 1)),
        ((20, 50, 3), np.float64, (50, 3)),
        ((20, 50, 1), np.float32, (50, 1)),
        ((20, 5, 5), np.float32, (5, 5, 1)),
        ((20, 6, 4, 2), np.float16, (6, 4, 2)),
    ],
)
def test_three_axes_are_images_or_signals(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, expected: tuple[int, ...]
) -> None:
    x, y = some_pixels(*shape).astype(dtype), some_labels(20)
    some = load_dataset(save_npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y))
    assert some.shape == expected
    assert some.test is not None
    assert some.test.x.dtype == (np.uint8 if np.dtype(dtype).kind in "iu" else np.float32)
    np.testing.assert_array_equal(some.test.x, x.reshape(20, *expected))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_resized_like_pillow(tmp_path: Path, channels: int, dtype: type) -> None:
    x, y = some_pixels(4, 9, 12, channels).astype(dtype), some_labels(4)
    train = some_pixels(9, 9, 12, channels).astype(dtype)
    source = save_npz(tmp_path, x_train=train, y_train=some_labels(9), x_test=x, y_test=y)
    resized = load_dataset(source, DataOptions(image_size=5))
    assert resized.test is not None
    assert resized.test.x.shape == (4, 5, 5, channels)
    assert resized.test.x.dtype == dtype
    for image, result in zip(x, resized.test.x, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(image[..., channel].copy()).resize((5, 5), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(result[..., channel], np.asarray(plane))


def test_masks_are_resized_with_the_nearest_pixel(tmp_path: Path) -> None:
    x, y = some_pixels(8, 9, 12, 3), some_pixels(8, 9, 12, seed=1) % 4
    source = save_npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y)
    resized = load_dataset(source, DataOptions(image_size=7))
    assert resized.test is not None
    for mask, result in zip(y, resized.test.y, strict=True):
        expected = Image.fromarray(mask).resize((7, 7), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(result, np.asarray(expected))


CASES: dict[str, tuple[str, dict[str, np.ndarray | None]]] = {}


def case(match: str, name: str, **changed: np.ndarray | None) -> None:
    """Add a case: a valid .npz of which some arrays are replaced or, with None, omitted."""
    CASES[name] = (match, changed)


case("must hold x_train, y_train, got x_test, y_test in .*np.savez", "no train", x_train=None, y_train=None)
case("must hold y_test", "no test labels", y_test=None)
case("one length, got 20 and 19", "lengths", y_train=some_labels(19))
case("at least 2 classes, got only '0'", "one class", y_train=some_labels(20, 1), y_test=some_labels(4, 1))
case("at least 2 examples of each class.*got 1 of class '1'", "lone", y_train=np.eye(20, dtype=int)[3])
case("y_test must occur in y_train, got 9", "unseen label", y_test=some_labels(4) + 9)
case(
    "must be finite, got NaN.* in example 3",
    "nan",
    x_train=np.insert(np.ones((19, 9, 3)), 3, np.nan, axis=0),
    x_test=np.ones((4, 9, 3)),
)
case("must be finite", "beyond float32", x_train=np.full((20, 9, 3), 1e300), x_test=np.ones((4, 9, 3)))
case("one shape, got .* in x_train and .* in x_test", "shapes", x_test=some_pixels(4, 5, 6))
case("one shape", "signals", x_train=np.ones((20, 9, 1)), x_test=np.ones((4, 9, 3)))
case("pickled Python objects.*astype", "objects", x_train=np.array([None] * 20))
case(r"got \(20, 24\); reshape", "flat", x_train=some_pixels(20, 24))
case("must hold integers or floating", "text", x_train=np.full((20, 4, 6), "a"))
case("must hold examples, got none", "no examples", y_test=some_labels(0), x_test=some_pixels(0, 4, 6))
case(
    r"size of their images, got x_train \(20, 4, 6, 1\)",
    "masks' size",
    y_train=some_pixels(20, 6, 4),
    y_test=some_pixels(4, 6, 4),
)
case("masks in y_train and classes in y_test", "masks and classes", y_train=some_pixels(20, 4, 6))
case("classes in y_train and masks in y_test", "classes and masks", y_test=some_pixels(4, 4, 6))
case(
    "at least 2 labels, got 255; ",
    "masks of one label",
    y_train=np.full((20, 4, 6), 255),
    y_test=np.full((4, 4, 6), 255),
)
case(
    "labels from 0, got -1",
    "negative masks",
    y_train=some_pixels(20, 4, 6) % 3 - np.int8(1),
    y_test=some_pixels(4, 4, 6) % 2,
)


@pytest.mark.parametrize("name", CASES)
def test_unsuitable_arrays_are_refused_with_one_sentence(tmp_path: Path, name: str) -> None:
    match, changed = CASES[name]
    valid = {
        "x_train": some_pixels(20, 4, 6), "y_train": some_labels(20),
        "x_test": some_pixels(4, 4, 6), "y_test": some_labels(4),
    }  # fmt: skip
    arrays = {key: value for key, value in (valid | changed).items() if value is not None}
    assert_refused(save_npz(tmp_path, **arrays), match)


def truncated_npz(folder: Path) -> str:
    path = Path(save_npz(folder, x_train=some_pixels(20, 40, 40), y_train=some_labels(20)))
    path.write_bytes(path.read_bytes()[:9000])
    return str(path)


def damaged_npz(folder: Path) -> str:
    path = folder / "some.npz"
    np.savez_compressed(path, x_train=some_pixels(20, 40, 40) // 9, y_train=some_labels(20))
    content = bytearray(path.read_bytes())
    content[2000:3000] = bytes(1000)
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("save", [truncated_npz, damaged_npz])
def test_a_damaged_npz_is_refused_with_one_sentence(tmp_path: Path, save: Callable[[Path], str]) -> None:
    assert_refused(save(tmp_path), "readable by numpy.load, got .*some.npz")


def test_signals_have_no_image_size(tmp_path: Path) -> None:
    source = save_npz(tmp_path, x_train=np.ones((20, 9, 2)), y_train=some_labels(20))
    with pytest.raises(DataError, match=r"must be for images, got signals of shape \(9, 2\)"):
        load_dataset(source, DataOptions(image_size=32))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    evidence = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return (open, (str(evidence), "w"))

    path = save_npz(tmp_path, x_train=np.array([Bomb()] * 3, dtype=object), y_train=some_labels(3))
    with pytest.raises(DataError, match="pickled"):
        load_dataset(path)
    assert not evidence.exists()
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="readable"):
        load_dataset(str(tmp_path / "raw.npz"))
    assert not evidence.exists()


def test_integers_of_few_examples_each_may_be_numbers(tmp_path: Path) -> None:
    ages = 20 + np.arange(40) // 2
    source = save_npz(tmp_path, x=some_pixels(40, 4, 6), y=ages)
    with pytest.raises(DataError, match=r"got 2 of class '20'; .*--labels numbers"):
        load_dataset(source)
    assert load_dataset(source, DataOptions(labels="numbers")).task == "regression"
    with pytest.raises(DataError, match="at least 3 examples") as caught:
        load_dataset(source, DataOptions(labels="classes"))
    assert "numbers" not in str(caught.value)


def test_colours_of_masks_are_for_image_files(tmp_path: Path) -> None:
    x, masks = some_pixels(20, 4, 6, 3), some_pixels(20, 4, 6) % 2
    source = save_npz(tmp_path, x=x, y=masks)
    with pytest.raises(DataError, match="mask_colors must be for masks in image files, got red, black for"):
        load_dataset(source, DataOptions(mask_colors=("red", "black")))
