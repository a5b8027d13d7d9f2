from __future__ import annotations

import gzip
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data import DataOptions, Dataset, Split, load_dataset
from nas.data.arrays import Examples, Source
from nas.data.splits import chosen
from nas.errors import DataError, RunError

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[3] / "shared"))
ROOT = Path(__file__).parents[2]


def real(name: str) -> str:
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"the real data set {path} is not here")
    return str(path)


def python(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(split: Split) -> set[bytes]:
    return {example.tobytes() for example in split.x}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(count: int, classes: int = 2) -> np.ndarray:
    return np.arange(count) % classes


def npz(folder: Path, name: str = "some", **arrays: np.ndarray) -> str:
    path = folder / f"{name}.npz"
    np.savez(path, **arrays)
    return str(path)


def picture(path: Path, size: tuple[int, int] = (6, 5), mode: str = "L", seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    Image.fromarray(noise(size[1], size[0], *channels, seed=seed)).save(path)


def classes_folder(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 5) -> Path:
    for place, name in enumerate(classes):
        for number in range(count):
            picture(folder / name / f"{number}.png", seed=100 * place + number)
    return folder


def masks_folder(folder: Path, count: int = 6) -> Path:
    for number in range(count):
        picture(folder / "images" / f"{number}.png", mode="RGB", seed=number)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(noise(5, 6, seed=number) % 3).save(folder / "masks" / f"{number}.png")
    return folder


def zipped(folder: Path, target: Path, below: str = "") -> str:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(below) / file.relative_to(folder))
    return str(target)


# -- the embedded digits and real files ------------------------------------------------------------------


def test_digits_are_sixteen_pixels_wide_uint8_and_split_three_ways() -> None:
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


def test_digits_at_eight_pixels_are_scikit_learns_own() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    digits = load_dataset("digits", DataOptions(image_size=8))
    assert digits.test is not None
    splits = (digits.train, digits.validation, digits.test)
    ours = sorted(
        (int(label), image.tobytes())
        for split in splits
        for image, label in zip(split.x, split.y, strict=True)
    )
    scaled = np.rint(x / 16 * 255).astype(np.uint8)
    theirs = sorted((int(label), image.tobytes()) for image, label in zip(scaled, y, strict=True))
    assert ours == theirs


def test_mnist_file_keeps_its_test_split_and_loses_no_training_image() -> None:
    source = real("mnist.npz")
    mnist = load_dataset(source, DataOptions(validation=0.25))
    assert mnist.name == "mnist"
    assert mnist.shape == (28, 28, 1)
    with np.load(source) as file:
        assert mnist.test is not None
        np.testing.assert_array_equal(mnist.test.x[..., 0], file["x_test"])
        np.testing.assert_array_equal(mnist.test.y, file["y_test"])
        both = np.concatenate([mnist.train.y, mnist.validation.y])
        np.testing.assert_array_equal(np.bincount(both), np.bincount(file["y_train"]))
        assert rows(mnist.train) | rows(mnist.validation) == {image.tobytes() for image in file["x_train"]}
    assert len(mnist.validation) == 15_000
    assert len(set(mnist.train.y[:100].tolist())) == 10, "the training order must be shuffled"


def test_train_limit_is_exact_and_validation_keeps_its_share() -> None:
    options = DataOptions(validation=1 / 3, train_limit=10_000, image_size=14)
    fashion = load_dataset(real("fashion_mnist.npz"), options)
    assert (len(fashion.train), len(fashion.validation)) == (10_000, 5_000)
    assert fashion.test is not None
    assert len(fashion.test) == 10_000
    assert fashion.shape == (14, 14, 1)
    np.testing.assert_array_equal(np.bincount(fashion.train.y), 1000)
    np.testing.assert_array_equal(np.bincount(fashion.validation.y), 500)


def test_a_zip_is_read_directly_and_only_where_images_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    source = real("cifar10.zip")
    read: list[str] = []
    original = zipfile.ZipFile.read

    def counted(archive: zipfile.ZipFile, name: str) -> bytes:
        read.append(name)
        return original(archive, name)

    monkeypatch.setattr(zipfile.ZipFile, "read", counted)
    cifar = load_dataset(source, DataOptions(train_limit=100))
    assert cifar.shape == (32, 32, 3)
    assert cifar.classes[:3] == ("airplane", "automobile", "bird")
    assert (len(cifar.train), len(cifar.validation)) == (100, 25)
    assert len(read) == len(set(read)) == 100 + 25 + 10_000
    assert sum(name.startswith("train/") for name in read) == 125
    assert cifar.test is not None
    np.testing.assert_array_equal(np.bincount(cifar.test.y), 1000)
    with zipfile.ZipFile(source) as archive, archive.open("test/airplane/0000.jpg") as file:
        np.testing.assert_array_equal(cifar.test.x[0], np.asarray(Image.open(file)))


def test_camvid_has_masks_eleven_classes_and_an_ignored_label() -> None:
    source = real("camvid_120x90.npz")
    camvid = load_dataset(source, DataOptions(ignore_label=11))
    assert camvid.task == "segmentation"
    assert camvid.shape == (90, 120, 3)
    assert camvid.classes == tuple(map(str, range(11)))
    assert camvid.ignore_label == 11
    with np.load(source) as file:
        np.testing.assert_array_equal(camvid.validation.y, file["y_val"])
        assert camvid.test is not None
        np.testing.assert_array_equal(camvid.test.y, file["y_test"])
        of = {image.tobytes(): mask for image, mask in zip(file["x_train"], file["y_train"], strict=True)}
    for image, mask in zip(camvid.train.x, camvid.train.y, strict=True):
        np.testing.assert_array_equal(mask, of[image.tobytes()])
    everything = load_dataset(source, DataOptions(train_limit=20, image_size=32))
    assert len(everything.classes) == 12
    assert everything.ignore_label is None
    assert everything.train.x.shape == (20, 32, 32, 3)
    assert everything.train.y.shape == (20, 32, 32)


# -- splits ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 60), min_size=2, max_size=8),
    validation=st.floats(0.01, 0.9),
    seed=st.integers(0, 5),
    limit=st.none() | st.integers(8, 100),
)
def test_every_split_has_every_class_and_none_shares_an_example(
    counts: list[int], validation: float, seed: int, limit: int | None
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    source = Source(tuple(map(str, range(len(counts)))), {"train": Examples(len(y), y, lambda n: (n, None))})
    parts = {name: some for name, (_, some) in chosen(source, validation, seed, limit).items()}
    together = np.concatenate(list(parts.values()))
    assert len(together) == len(set(together.tolist()))
    for some in parts.values():
        assert set(y[some].tolist()) == set(range(len(counts)))
    if limit is None:
        assert len(together) == len(y)
    else:
        assert len(parts["train"]) <= max(limit, len(counts))
        free = len(y) - len(parts["test"]) - len(parts["validation"])
        assert len(parts["train"]) == min(limit, free)


def test_the_same_seed_splits_alike_and_another_leaves_the_test_split_alone(tmp_path: Path) -> None:
    source = npz(tmp_path, x_train=noise(100, 4, 4), y_train=labels(100, 3))
    first, again, other = (
        load_dataset(source),
        load_dataset(source),
        load_dataset(source, DataOptions(seed=1)),
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert rows(first.validation) != rows(other.validation)
    assert first.test is not None
    assert other.test is not None
    assert rows(first.test) == rows(other.test)
    assert not rows(first.test) & (rows(other.train) | rows(other.validation))
    assert len(first.test) == 20


def test_a_given_validation_split_is_kept_whole(tmp_path: Path) -> None:
    source = npz(
        tmp_path,
        x_train=noise(9, 4, 4), y_train=labels(9),
        x_val=noise(5, 4, 4, seed=1), y_val=labels(5),
        x_test=noise(4, 4, 4, seed=2), y_test=labels(4),
    )  # fmt: skip
    some = load_dataset(source, DataOptions(train_limit=4))
    assert some.test is not None
    assert [len(some.train), len(some.validation), len(some.test)] == [4, 5, 4]
    np.testing.assert_array_equal(some.validation.x[..., 0], noise(5, 4, 4, seed=1))


# -- arrays ----------------------------------------------------------------------------------------------


def test_labels_of_any_integers_become_classes_named_by_them(tmp_path: Path) -> None:
    y = np.array([-1, 3, 7])[labels(30, 3)].astype(np.int64)[:, None]
    source = npz(tmp_path, x_train=noise(30, 4, 4, 3), y_train=y, x_test=noise(3, 4, 4, 3), y_test=y[:3])
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
def test_three_axes_are_images_or_signals_by_one_rule(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, expected: tuple[int, ...]
) -> None:
    x = noise(*shape).astype(dtype)
    some = load_dataset(npz(tmp_path, x_train=x, y_train=labels(20), x_test=x, y_test=labels(20)))
    assert some.shape == expected
    assert some.rescale == (np.dtype(dtype).kind in "iu")
    assert some.test is not None
    assert some.test.x.dtype == (np.uint8 if some.rescale else np.float32)
    np.testing.assert_array_equal(some.test.x, x.reshape(20, *expected))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_resized_as_pillow_does(tmp_path: Path, channels: int, dtype: type) -> None:
    x = noise(4, 9, 12, channels).astype(dtype)
    y = labels(4)
    source = npz(
        tmp_path, x_train=noise(9, 9, 12, channels).astype(dtype), y_train=labels(9), x_test=x, y_test=y
    )
    resized = load_dataset(source, DataOptions(image_size=5))
    assert resized.test is not None
    assert resized.test.x.shape == (4, 5, 5, channels)
    assert resized.test.x.dtype == dtype
    for image, ours in zip(x, resized.test.x, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(image[..., channel].copy()).resize((5, 5), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(ours[..., channel], np.asarray(plane))


def test_masks_are_resized_by_the_nearest_pixel(tmp_path: Path) -> None:
    x, y = noise(8, 9, 12, 3), noise(8, 9, 12, seed=1) % 4
    resized = load_dataset(npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y), DataOptions(image_size=7))
    assert resized.test is not None
    for mask, ours in zip(y, resized.test.y, strict=True):
        theirs = Image.fromarray(mask).resize((7, 7), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize(
    ("values", "ignore_label", "expected", "classes", "ignored"),
    [
        ([0, 1, 2], None, [0, 1, 2], ("0", "1", "2"), None),
        ([0, 1, 2], 2, [0, 1, 2], ("0", "1"), 2),
        ([0, 1, 255], None, [0, 1, 255], ("0", "1"), 255),
        ([0, 1, 2], 0, [255, 0, 1], ("1", "2"), 255),
        ([0, 10, 20], None, [0, 1, 2], ("0", "10", "20"), None),
        ([-1, 0, 1], -1, [255, 0, 1], ("0", "1"), 255),
        ([0, 5, 1000], 1000, [0, 1, 1000], ("0", "5"), 1000),
    ],
)
def test_masks_labels_are_numbered_around_the_ignored_one(
    tmp_path: Path,
    values: list[int],
    ignore_label: int | None,
    expected: list[int],
    classes: tuple[str, ...],
    ignored: int | None,
) -> None:
    places = noise(6, 5, 4) % 3
    y = np.array(values, np.int32)[places]
    x = noise(6, 5, 4)
    some = load_dataset(
        npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y), DataOptions(ignore_label=ignore_label)
    )
    assert some.task == "segmentation"
    assert some.shape == (5, 4, 1)
    assert some.classes == classes
    assert some.ignore_label == ignored
    assert some.test is not None
    assert some.test.y.dtype == (np.int32 if max(expected) > 255 else np.uint8)
    np.testing.assert_array_equal(some.test.y, np.array(expected)[places])


# -- folders ---------------------------------------------------------------------------------------------


def test_a_folder_a_zip_and_a_wrapped_zip_are_the_same_data(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    classes_folder(folder / "train", count=6)
    classes_folder(folder / "test", count=2)
    (folder / "train" / "cat" / ".hidden.png").write_bytes(b"no image")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    pets = load_dataset(str(folder))
    assert (pets.name, pets.classes, pets.shape) == ("pets", ("cat", "dog"), (5, 6, 1))
    assert pets.test is not None
    assert [len(pets.train), len(pets.validation), len(pets.test)] == [10, 2, 4]
    np.testing.assert_array_equal(pets.test.x[0, ..., 0], noise(5, 6, seed=0))
    np.testing.assert_array_equal(pets.test.y, [0, 0, 1, 1])
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.writestr(f"./{file.relative_to(folder)}", file.read_bytes())
    assert load_dataset(str(tmp_path / "c.zip")).fingerprint == pets.fingerprint
    for source in (zipped(folder, tmp_path / "a.zip"), zipped(folder, tmp_path / "b.zip", "pets")):
        assert load_dataset(source).fingerprint == pets.fingerprint


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    vehicles = load_dataset(str(classes_folder(tmp_path, ("bus", "train"))))
    assert vehicles.classes == ("bus", "train")
    assert vehicles.test is not None
    assert len(vehicles.train) + len(vehicles.validation) + len(vehicles.test) == 10


def test_grey_images_become_rgb_where_any_split_has_colour(tmp_path: Path) -> None:
    classes_folder(tmp_path / "train")
    classes_folder(tmp_path / "test", count=1)
    picture(tmp_path / "test" / "dog" / "colour.png", mode="RGB", seed=7)
    some = load_dataset(str(tmp_path))
    assert some.shape == (5, 6, 3)
    assert (some.train.x == some.train.x[..., :1]).all()
    assert some.test is not None
    np.testing.assert_array_equal(some.test.x[-1], noise(5, 6, 3, seed=7))


def test_images_of_any_mode_and_size_are_brought_to_one(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path)
    for place, mode in enumerate(("RGB", "RGBA", "LA")):
        picture(folder / "cat" / f"{mode}.png", (10 + place, 20), mode)
    Image.fromarray(noise(30, 9, 3)).convert("CMYK").save(folder / "dog" / "cmyk.jpg")
    Image.fromarray(noise(30, 9, 3)).quantize(7).save(folder / "dog" / "palette.gif", transparency=0)
    Image.fromarray(np.full((9, 9), 0x80FF, np.uint16)).save(folder / "dog" / "deep.png")
    some = load_dataset(str(folder), DataOptions(image_size=12))
    assert some.shape == (12, 12, 3)
    assert some.test is not None
    everything = np.concatenate([some.train.x, some.validation.x, some.test.x])
    assert len(everything) == 16
    assert (everything == 0x80).all(axis=(1, 2, 3)).sum() == 1, "16 bits of grey keep their upper eight"


@pytest.mark.parametrize("layout", ["flat", "split_above", "split_below"])
def test_images_and_masks_are_paired_by_name_in_every_layout(tmp_path: Path, layout: str) -> None:
    if layout == "flat":
        masks_folder(tmp_path)
    else:
        for split in ("train", "test"):
            masks_folder(tmp_path / split)
    if layout == "split_below":
        for kind in ("images", "masks"):
            for split in ("train", "test"):
                (tmp_path / kind).mkdir(exist_ok=True)
                (tmp_path / split / kind).rename(tmp_path / kind / split)
        for split in ("train", "test"):
            (tmp_path / split).rmdir()
    some = load_dataset(str(tmp_path))
    assert (some.task, some.classes, some.shape) == ("segmentation", ("0", "1", "2"), (5, 6, 3))
    assert some.test is not None
    assert [len(some.train), len(some.validation), len(some.test)] == (
        [4, 1, 1] if layout == "flat" else [5, 1, 6]
    )
    masks = {noise(5, 6, 3, seed=number).tobytes(): noise(5, 6, seed=number) % 3 for number in range(6)}
    for split in (some.train, some.validation, some.test):
        assert split.y.dtype == np.uint8
        for image, mask in zip(split.x, split.y, strict=True):
            np.testing.assert_array_equal(mask, masks[image.tobytes()])


def test_palette_and_sixteen_bit_masks_hold_their_labels(tmp_path: Path) -> None:
    folder = masks_folder(tmp_path, 5)
    palette = Image.fromarray(np.tile(np.uint8([0, 1, 2]), (5, 2)), mode=None).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(folder / "masks" / "0.png")
    Image.fromarray(np.full((5, 6), 700, np.uint16)).save(folder / "masks" / "1.png")
    some = load_dataset(str(folder))
    assert some.classes == ("0", "1", "2", "700")
    assert some.test is not None
    everything = np.concatenate([some.train.y, some.validation.y, some.test.y])
    assert (everything == 3).all(axis=(1, 2)).sum() == 1
    assert (everything == np.tile([0, 1, 2], (5, 2))).all(axis=(1, 2)).sum() == 1


# -- saved for the workers -------------------------------------------------------------------------------


def test_a_saved_data_set_is_mapped_by_another_process(tmp_path: Path) -> None:
    digits = load_dataset()
    folder = digits.save(tmp_path / "deep" / "digits")
    opened = Dataset.open(folder)
    assert isinstance(opened.train.x, np.memmap)
    assert not opened.train.x.flags.writeable
    assert (opened.name, opened.shape, opened.classes) == (digits.name, digits.shape, digits.classes)
    code = (
        "import sys; from nas.data.dataset import Dataset, load; from pathlib import Path\n"
        "print(Dataset.open(Path(sys.argv[1])).fingerprint, load().fingerprint)"
    )
    assert python(code, str(folder), PYTHONHASHSEED="7").split() == [digits.fingerprint] * 2


def test_saving_again_replaces_and_other_content_is_refused(tmp_path: Path) -> None:
    first = load_dataset(npz(tmp_path, x_train=noise(20, 4, 4), y_train=labels(20)))
    second = load_dataset(first.source, DataOptions(seed=3))
    folder = tmp_path / "saved"
    first.save(folder)
    mapped = Dataset.open(folder)
    second.save(folder)
    assert Dataset.open(folder).fingerprint == second.fingerprint
    assert mapped.fingerprint == first.fingerprint, "a process that has it open keeps its own"
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "some.npz"}
    with pytest.raises(RunError, match="folder of its own"):
        first.save(tmp_path)
    assert (tmp_path / "some.npz").exists()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    small = load_dataset(npz(tmp_path, x_train=noise(20, 4, 4), y_train=labels(20)))
    large = load_dataset(npz(tmp_path, "large", x_train=noise(300, 64, 64), y_train=labels(300)))
    small.save(tmp_path / "saved")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        for folder in ("saved", "fresh"):
            with pytest.raises(RunError, match=r"free some space or use another folder"):
                large.save(tmp_path / folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "some.npz", "large.npz"}
    assert Dataset.open(tmp_path / "saved").fingerprint == small.fingerprint


def test_a_damaged_saved_data_set_is_refused(tmp_path: Path) -> None:
    folder = load_dataset("digits", DataOptions(image_size=8)).save(tmp_path / "saved")
    array = folder / "validation_x.npy"
    array.write_bytes(array.read_bytes()[:500])
    with pytest.raises(RunError, match="must be complete"):
        Dataset.open(folder)
    with pytest.raises(RunError, match="must be complete"):
        Dataset.open(tmp_path / "none")


# -- Keras' loaders --------------------------------------------------------------------------------------


def idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


def test_keras_loaders_use_its_cache_and_say_what_helps_without_a_network(tmp_path: Path) -> None:
    cache = tmp_path / "datasets" / "fashion-mnist"
    with np.load(real("fashion_mnist.npz")) as file:
        for theirs, ours in (("train", "train"), ("t10k", "test")):
            idx(cache / f"{theirs}-images-idx3-ubyte.gz", file[f"x_{ours}"][::50])
            idx(cache / f"{theirs}-labels-idx1-ubyte.gz", file[f"y_{ours}"][::50])
        expected = int(file["x_test"][::50].sum())
    code = """if True:
        from nas.datasets import load
        from nas.errors import DataError
        fashion = load("fashion_mnist")
        train, validation, test = (s.x for s in (fashion.train, fashion.validation, fashion.test))
        print(fashion.name, fashion.classes[0], len(train), len(validation), test.sum())
        try:
            load("cifar10")
        except DataError as error:
            print(error)
    """
    nowhere = "http://127.0.0.1:9"
    printed = python(
        code, KERAS_HOME=str(tmp_path), https_proxy=nowhere, HTTPS_PROXY=nowhere, TF_CPP_MIN_LOG_LEVEL="3"
    )
    first, second = printed.splitlines()
    assert first == f"fashion_mnist T-shirt/top 960 240 {expected}"
    assert second.startswith("'cifar10' must be in Keras' cache or be downloadable, got: ")
    assert second.endswith("--data path/to/cifar10.npz")


# -- bad input -------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Callable[[Path], str], str]] = {}


def bad(match: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    def keep(make: Callable[[Path], str]) -> Callable[[Path], str]:
        BAD[make.__name__] = (make, match)
        return make

    return keep


def arrays(match: str, name: str, **changed: np.ndarray | None) -> None:
    """Add a row: a good .npz of which some arrays are changed or, with None, left out."""

    def make(folder: Path) -> str:
        good = {
            "x_train": noise(20, 4, 6), "y_train": labels(20), "x_test": noise(4, 4, 6), "y_test": labels(4),
        }  # fmt: skip
        return npz(folder, **{key: value for key, value in (good | changed).items() if value is not None})

    BAD[name] = (make, match)


BAD["empty name"] = (lambda _: "", "got ''; known: cifar10")
BAD["no folder"] = (lambda folder: f"{folder}/a/b.npz", "file must exist, got .*; check the path")
BAD["unknown name"] = (lambda _: "mnsit", "got 'mnsit'; did you mean 'mnist'")
arrays("must hold x_train, y_train, got x_test, y_test in .*np.savez", "no train", x_train=None, y_train=None)
arrays("must hold y_test", "no test labels", y_test=None)
arrays("one length, got 20 and 19", "lengths", y_train=labels(19))
arrays("at least 2 classes, got only '0'", "one class", y_train=labels(20, 1), y_test=labels(4, 1))
arrays("at least 2 examples of each class.*got 1 of class '1'", "lone", y_train=np.eye(20, dtype=int)[3])
arrays("y_test must occur in y_train, got 9", "unseen label", y_test=labels(4) + 9)
arrays("must hold integers, got float64", "float labels", y_train=labels(20) / 2)
arrays(r"got \(20, 2\); undo a one-hot coding", "one-hot", y_train=np.eye(2, dtype=int)[labels(20)])
arrays(
    "must be finite, got NaN.* in example 3", "nan", x_train=np.insert(np.ones((19, 9, 3)), 3, np.nan, axis=0)
)
arrays("must be finite", "beyond float32", x_train=np.full((20, 9, 3), 1e300))
arrays("one shape and type, got .* for training and .* for test", "shapes", x_test=noise(4, 5, 6))
arrays("one shape and type", "signals", x_train=np.ones((20, 9, 1)), x_test=np.ones((4, 9, 3)))
arrays("one shape and type", "types", x_test=noise(4, 4, 6, 1).astype(np.float32))
arrays("pickled Python objects.*astype", "objects", x_train=np.array([None] * 20))
arrays("must be 0..255, got 0..256", "integers", x_train=np.arange(20 * 24).reshape(20, 4, 6) % 257)
arrays("channels last.*np.moveaxis", "channels first", x_train=noise(20, 3, 8, 8))
arrays(r"got \(20, 24\); reshape", "flat", x_train=noise(20, 24))
arrays("must hold integers 0..255 or floating", "text", x_train=np.full((20, 4, 6), "a"))
arrays("must hold examples, got none", "no examples", y_test=labels(0), x_test=noise(0, 4, 6))
arrays(r"size of their images, got x_train \(20, 4, 6, 1\)", "masks' size", y_train=noise(20, 6, 4))
arrays(r"size of their images.*y_test", "masks and classes", y_train=noise(20, 4, 6))
arrays("classes in y_train and masks in y_test", "classes and masks", y_test=noise(4, 4, 6))
arrays(
    "at least 2 labels beside the ignored 255, got 0",
    "0 and 255",
    y_train=noise(20, 4, 6) // 128 * 255,
    y_test=noise(4, 4, 6) // 128 * 255,
)
arrays(
    "labels from 0, got -1",
    "negative masks",
    y_train=noise(20, 4, 6) % 3 - np.int8(1),
    y_test=noise(4, 4, 6) % 2,
)


@bad(r"file must exist, got .*some\.npy; did you mean .*some\.npz")
def missing(folder: Path) -> str:
    npz(folder, x_train=noise(1, 1, 1), y_train=labels(1))
    return str(folder / "some.npy")


@bad("must be an .npz or a .zip, got .*table.csv")
def other_suffix(folder: Path) -> str:
    (folder / "table.csv").write_text("a,b")
    return str(folder / "table.csv")


@bad("readable by numpy.load, got .*some.npz")
def truncated_npz(folder: Path) -> str:
    path = Path(npz(folder, x_train=noise(20, 40, 40), y_train=labels(20)))
    path.write_bytes(path.read_bytes()[:9000])
    return str(path)


@bad("readable by numpy.load, got .*some.npz")
def damaged_npz(folder: Path) -> str:
    path = folder / "some.npz"
    np.savez_compressed(path, x_train=noise(20, 40, 40) // 9, y_train=labels(20))
    content = bytearray(path.read_bytes())
    content[2000:3000] = bytes(1000)
    path.write_bytes(content)
    return str(path)


@bad("must be readable, got .*some.zip")
def no_zip(folder: Path) -> str:
    (folder / "some.zip").write_bytes(b"PK, but nothing more")
    return str(folder / "some.zip")


@bad("images must be readable, got .*cat/bad.png that is not .no known format.")
def no_image(folder: Path) -> str:
    classes_folder(folder)
    (folder / "cat" / "bad.png").write_text("no image")
    return str(folder)


@bad(r"images must be readable, got .*some.zip/dog/4.png that is not")
def truncated_image(folder: Path) -> str:
    classes_folder(folder / "some", count=4)
    picture(folder / "some" / "dog" / "4.png", (60, 50))
    file = folder / "some" / "dog" / "4.png"
    file.write_bytes(file.read_bytes()[:1000])
    return zipped(folder / "some", folder / "some.zip")


@bad("one size, got 6x5 in .*png and 7x5 in .*wide.png; .*--image-size 64|one size, got 7x5 in .*wide.png")
def sizes(folder: Path) -> str:
    classes_folder(folder)
    picture(folder / "dog" / "wide.png", (7, 5))
    return str(folder)


@bad("one sub-folder a class, or images/ and masks/, got .* without any")
def empty_folder(folder: Path) -> str:
    return str(folder)


@bad("every class must have images, got .*mouse with none")
def empty_class(folder: Path) -> str:
    classes_folder(folder)
    (folder / "mouse").mkdir()
    return str(folder)


@bad("at least 2 classes, got only 'cat'")
def one_folder(folder: Path) -> str:
    return str(classes_folder(folder / "train", ("cat",)).parent)


@bad("at least 3 examples of each class.*got 2 of class 'cat'")
def few(folder: Path) -> str:
    return str(classes_folder(folder, count=2))


@bad("every split must have images in a sub-folder a class, got none in .*test")
def flat_test(folder: Path) -> str:
    classes_folder(folder / "train")
    picture(folder / "test" / "a.png")
    return str(folder)


@bad("train/ must hold one sub-folder a class.*got .*train without any")
def flat_splits(folder: Path) -> str:
    picture(folder / "train" / "a.png")
    picture(folder / "test" / "a.png")
    return str(folder)


@bad("every class must occur in .*train, got .*test/mouse")
def unseen_class(folder: Path) -> str:
    classes_folder(folder / "train")
    classes_folder(folder / "test", ("cat", "mouse"))
    return str(folder)


@bad(r"every image must have a mask.*got only .*images/3.png")
def no_mask(folder: Path) -> str:
    (masks_folder(folder) / "masks" / "3.png").unlink()
    return str(folder)


@bad(r"every mask an image, got only .*masks/9.png")
def no_image_of_mask(folder: Path) -> str:
    picture(masks_folder(folder) / "masks" / "9.png")
    return str(folder)


@bad("one file of a name, got .*images/3.jpg and .*images/3.png")
def two_images_of_a_name(folder: Path) -> str:
    picture(masks_folder(folder) / "images" / "3.jpg")
    return str(folder)


@bad("images/ must hold images, got none in .*images")
def no_images(folder: Path) -> str:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    return str(folder)


@bad(r"size of their images, got 6x5 in .*images/2.png and 5x6 in .*masks/2.png")
def mask_size(folder: Path) -> str:
    picture(masks_folder(folder) / "masks" / "2.png", (5, 6))
    return str(folder)


@bad("one channel that holds integer labels, got RGB in .*masks/2.png")
def colour_mask(folder: Path) -> str:
    picture(masks_folder(folder) / "masks" / "2.png", mode="RGB")
    return str(folder)


@bad("masks must be PNG images of integer labels, got .*masks/2.jpg")
def lossy_mask(folder: Path) -> str:
    masks_folder(folder)
    (folder / "masks" / "2.png").unlink()
    picture(folder / "masks" / "2.jpg")
    return str(folder)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str) -> None:
    make, match = BAD[name]
    source = make(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(source)
    sentence = str(caught.value)
    assert re.search(match, sentence), sentence
    assert ";" in sentence, "the fix is missing"
    assert "\n" not in sentence
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"validation": 1.0}, "share between 0 and 1, got 1.0"),
        ({"train_limit": -3}, "train_limit must be at least 1, got -3"),
        ({"train_limit": 9}, "train_limit must allow an example of each class, got 9; use 10 or more"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"ignore_label": 3}, "ignore_label must be for masks, got 3"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, float], match: str) -> None:
    with pytest.raises(DataError, match=match):
        load_dataset("digits", DataOptions(**options))  # type: ignore[arg-type]


def test_signals_have_no_image_size(tmp_path: Path) -> None:
    source = npz(tmp_path, x_train=np.ones((20, 9, 2)), y_train=labels(20))
    with pytest.raises(DataError, match=r"must be for images, got signals of shape \(9, 2\)"):
        load_dataset(source, DataOptions(image_size=32))


def test_nothing_pickled_is_ever_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return (open, (str(mark), "w"))

    path = npz(tmp_path, x_train=np.array([Bomb()] * 3, dtype=object), y_train=labels(3))
    with pytest.raises(DataError, match="pickled"):
        load_dataset(path)
    assert not mark.exists()
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="readable"):
        load_dataset(str(tmp_path / "raw.npz"))
    assert not mark.exists()
