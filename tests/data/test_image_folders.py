"""Folders and zips of images: every layout, every kind of image, and the errors for unsuitable ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    assert_refused,
    collect_refusals,
    save_class_folders,
    save_image,
    save_images_and_masks,
    save_zip,
    some_pixels,
)
from PIL import Image

from nas.data import DataOptions, load_dataset


def test_train_limit_chooses_images_of_a_zip_with_splits(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for split, count in (("train", 30), ("test", 4)):
        for name in ("cat", "dog"):
            for number in range(count):
                save_image(folder / split / name / f"{number:02}.jpg", mode="RGB", seed=number)
    pets = load_dataset(save_zip(folder, tmp_path / "pets.zip"), DataOptions(train_limit=10))
    assert (pets.shape, pets.classes) == ((5, 6, 3), ("cat", "dog"))
    assert (len(pets.train), len(pets.validation)) == (10, 2)
    assert pets.test is not None
    np.testing.assert_array_equal(np.bincount(pets.test.y), 4)
    with Image.open(folder / "test" / "cat" / "00.jpg") as image:
        np.testing.assert_array_equal(pets.test.x[0], np.asarray(image))


def test_a_folder_and_zips_of_it_are_the_same_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    save_class_folders(folder / "train", count=6)
    save_class_folders(folder / "test", count=2)
    (folder / "train" / "cat" / ".hidden.png").write_bytes(b"no image")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    pets = load_dataset(str(folder))
    assert (pets.name, pets.classes, pets.shape) == ("pets", ("cat", "dog"), (5, 6, 1))
    assert pets.test is not None
    assert [len(pets.train), len(pets.validation), len(pets.test)] == [10, 2, 4]
    np.testing.assert_array_equal(pets.test.x[0, ..., 0], some_pixels(5, 6, seed=0))
    np.testing.assert_array_equal(pets.test.y, [0, 0, 1, 1])
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.writestr(f"./{file.relative_to(folder)}", file.read_bytes())
    assert load_dataset(str(tmp_path / "c.zip")).fingerprint == pets.fingerprint
    for source in (save_zip(folder, tmp_path / "a.zip"), save_zip(folder, tmp_path / "b.zip", "pets")):
        assert load_dataset(source).fingerprint == pets.fingerprint


def test_a_class_may_be_named_train(tmp_path: Path) -> None:
    vehicles = load_dataset(str(save_class_folders(tmp_path, ("bus", "train"))))
    assert vehicles.classes == ("bus", "train")
    assert vehicles.test is not None
    assert len(vehicles.train) + len(vehicles.validation) + len(vehicles.test) == 10


def test_grey_images_become_rgb_if_any_split_has_colour(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "train")
    save_class_folders(tmp_path / "test", count=1)
    save_image(tmp_path / "test" / "dog" / "colour.png", mode="RGB", seed=7)
    some = load_dataset(str(tmp_path))
    assert some.shape == (5, 6, 3)
    assert (some.train.x == some.train.x[..., :1]).all()
    assert some.test is not None
    np.testing.assert_array_equal(some.test.x[-1], some_pixels(5, 6, 3, seed=7))


def test_images_of_any_mode_and_size_are_converted_to_one(tmp_path: Path) -> None:
    folder = save_class_folders(tmp_path)
    for index, mode in enumerate(("RGB", "RGBA", "LA")):
        save_image(folder / "cat" / f"{mode}.png", (10 + index, 20), mode)
    Image.fromarray(some_pixels(30, 9, 3)).convert("CMYK").save(folder / "dog" / "cmyk.jpg")
    Image.fromarray(some_pixels(30, 9, 3)).quantize(7).save(folder / "dog" / "palette.gif", transparency=0)
    Image.fromarray(np.tile(np.uint16([0x100, 0x500]), (9, 5))).save(folder / "dog" / "deep.png")
    some = load_dataset(str(folder), DataOptions(image_size=12))
    assert some.shape == (12, 12, 3)
    assert some.test is not None
    everything = np.concatenate([some.train.x, some.validation.x, some.test.x])
    assert len(everything) == 16
    assert some.warnings == (
        "1 of 16 images have more than 8 bits: their values 256..1280 become 0..255, and those of the other "
        "images are kept.",
    )


@pytest.mark.parametrize("layout", ["flat", "split_above", "split_below"])
def test_images_and_masks_are_paired_by_name_in_every_layout(tmp_path: Path, layout: str) -> None:
    if layout == "flat":
        save_images_and_masks(tmp_path)
    else:
        for split in ("train", "test"):
            save_images_and_masks(tmp_path / split)
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
    masks = {
        some_pixels(5, 6, 3, seed=number).tobytes(): some_pixels(5, 6, seed=number) % 3 for number in range(6)
    }
    for split in (some.train, some.validation, some.test):
        assert split.y.dtype == np.uint8
        for image, mask in zip(split.x, split.y, strict=True):
            np.testing.assert_array_equal(mask, masks[image.tobytes()])


def test_palette_and_16_bit_masks_keep_their_labels(tmp_path: Path) -> None:
    folder = save_images_and_masks(tmp_path, 5)
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


REFUSED, refused = collect_refusals()


@refused("must be readable, got .*some.zip")
def not_a_zip(folder: Path) -> str:
    (folder / "some.zip").write_bytes(b"PK, but not a zip")
    return str(folder / "some.zip")


@refused("images must be readable, got .*cat/bad.png, which is not .unknown format.")
def not_an_image(folder: Path) -> str:
    save_class_folders(folder)
    (folder / "cat" / "bad.png").write_text("not an image")
    return str(folder)


@refused(r"images must be readable, got .*some.zip/dog/4.png, which is not")
def truncated_image(folder: Path) -> str:
    save_class_folders(folder / "some", count=4)
    save_image(folder / "some" / "dog" / "4.png")
    file = folder / "some" / "dog" / "4.png"
    file.write_bytes(file.read_bytes()[:60])
    return save_zip(folder / "some", folder / "some.zip")


@refused(
    "one size, got 6x5 in .*png and 7x5 in .*wide.png; .*--image-size 64|one size, got 7x5 in .*wide.png"
)
def different_sizes(folder: Path) -> str:
    save_class_folders(folder)
    save_image(folder / "dog" / "wide.png", (7, 5))
    return str(folder)


@refused("one sub-folder per class, or images/ and masks/, got .* without any")
def empty_folder(folder: Path) -> str:
    return str(folder)


@refused("every class must have images, got .*mouse with none")
def empty_class(folder: Path) -> str:
    save_class_folders(folder)
    (folder / "mouse").mkdir()
    return str(folder)


@refused("at least 2 classes, got only 'cat'")
def one_class(folder: Path) -> str:
    return str(save_class_folders(folder / "train", ("cat",)).parent)


@refused("at least 3 examples of each class.*got 2 of class 'cat'")
def few_examples(folder: Path) -> str:
    return str(save_class_folders(folder, count=2))


@refused("every split must have images in one sub-folder per class, got none in .*test")
def split_without_classes(folder: Path) -> str:
    save_class_folders(folder / "train")
    save_image(folder / "test" / "a.png")
    return str(folder)


@refused("train/ must hold one sub-folder per class.*got .*train without any")
def splits_without_classes(folder: Path) -> str:
    save_image(folder / "train" / "a.png")
    save_image(folder / "test" / "a.png")
    return str(folder)


@refused("every class must occur in .*train, got .*test/mouse")
def class_missing_in_train(folder: Path) -> str:
    save_class_folders(folder / "train")
    save_class_folders(folder / "test", ("cat", "mouse"))
    return str(folder)


@refused(r"every image must have a mask.*got only .*images/3.png")
def image_without_mask(folder: Path) -> str:
    (save_images_and_masks(folder) / "masks" / "3.png").unlink()
    return str(folder)


@refused(r"every mask an image, got only .*masks/9.png")
def mask_without_image(folder: Path) -> str:
    save_image(save_images_and_masks(folder) / "masks" / "9.png")
    return str(folder)


@refused("one file per name, got .*images/3.jpg and .*images/3.png")
def two_images_with_one_name(folder: Path) -> str:
    save_image(save_images_and_masks(folder) / "images" / "3.jpg")
    return str(folder)


@refused("images/ must hold images, got none in .*images")
def empty_images_folder(folder: Path) -> str:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    return str(folder)


@refused(r"size of their images, got 6x5 in .*images/2.png and 5x6 in .*masks/2.png")
def mask_of_another_size(folder: Path) -> str:
    save_image(save_images_and_masks(folder) / "masks" / "2.png", (5, 6))
    return str(folder)


@refused("one label for each class, got 33 labels of which 30 occur only in edges")
def photo_as_mask(folder: Path) -> str:
    save_image(save_images_and_masks(folder) / "masks" / "2.png", mode="RGB")
    return str(folder)


@refused("one channel that holds integer labels, got floating-point values in .*masks/2.tif")
def floating_point_mask(folder: Path) -> str:
    (save_images_and_masks(folder) / "masks" / "2.png").unlink()
    Image.fromarray(np.zeros((5, 6), np.float32)).save(folder / "masks" / "2.tif")
    return str(folder)


@refused("masks must be PNG images of integer labels, got .*masks/2.jpg")
def lossy_mask(folder: Path) -> str:
    save_images_and_masks(folder)
    (folder / "masks" / "2.png").unlink()
    save_image(folder / "masks" / "2.jpg")
    return str(folder)


@pytest.mark.parametrize("name", REFUSED)
def test_unsuitable_folders_are_refused_with_one_sentence(tmp_path: Path, name: str) -> None:
    save, match = REFUSED[name]
    assert_refused(save(tmp_path), match)
