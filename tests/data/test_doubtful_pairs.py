"""Folders of images and their masks, and of splits, are never taken for classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused
from PIL import Image

from nas.data import DataOptions, load_dataset

RED, YELLOW, BLACK = (255, 0, 0), (255, 255, 0), (0, 0, 0)


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3)).astype(np.uint8))


def shape(seed: int) -> np.ndarray:
    mask = np.zeros((24, 24), np.uint8)
    row, column = np.random.default_rng(seed).integers(2, 12, 2)
    mask[row : row + 8, column : column + 8] = 1
    return mask


def save_pair(folder: Path, number: int, image: str, mask: Image.Image, mask_file: str) -> None:
    for file in (image, mask_file):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    photo(number).save(folder / image)
    mask.save(folder / mask_file)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("ISIC_Input/ISIC_{:04}.png", "ISIC_GroundTruth/ISIC_{:04}_segmentation.png"),
        ("pics/{}.png", "anno/{}_gt.png"),
        ("low/{}.png", "high/{}_mask.png"),
        ("original/{}.jpg", "binary/{}.jpg"),
        ("scans/{}.png", "Lung_Masks/{}_lung.png"),
        ("ct/p{}_ct.png", "lesion/p{}_lesion.png"),
        ("frames/{}.png", "mattes/m{:04}.png"),
    ],
)
def test_images_and_masks_in_folders_of_other_names_are_no_classes(
    tmp_path: Path, image: str, mask: str
) -> None:
    for number in range(20):
        drawn = Image.fromarray(255 * shape(number))
        save_pair(tmp_path, number, image.format(number), drawn, mask.format(number))
    assert_refused(str(tmp_path), "rename the folders to images and masks, or set labels to classes")
    classes = load_dataset(str(tmp_path), DataOptions(labels="classes"))
    assert len(classes.classes) == 2


def test_classes_with_equal_numbers_in_their_names_are_no_pairs(tmp_path: Path) -> None:
    for number in range(40):
        name = ("cat", "dog")[number % 2]
        path = tmp_path / name / f"{name}_{number // 2}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo(number).save(path)
    assert load_dataset(str(tmp_path)).classes == ("cat", "dog")


def test_names_of_medical_images_are_paired(tmp_path: Path) -> None:
    for number in range(20):
        mask = Image.fromarray(shape(number))
        save_pair(tmp_path, number, f"imagesTr/c_{number:03}_0000.png", mask, f"labelsTr/c_{number:03}.png")
    data = load_dataset(str(tmp_path))
    assert (data.task, data.classes) == ("segmentation", ("0", "1"))


def test_numbers_with_and_without_leading_zeros_are_paired(tmp_path: Path) -> None:
    """Some names are equal as they are, such as 1000, but only all of them count."""
    for number in range(985, 1005):
        mask = Image.fromarray(shape(number))
        save_pair(tmp_path, number, f"images/a_{number}.png", mask, f"masks/a_{number:04}_mask.png")
    assert load_dataset(str(tmp_path)).task == "segmentation"
    for file in (tmp_path / "masks").iterdir():
        file.rename(file.with_name(file.name.replace("_mask", "")))
    data = load_dataset(str(tmp_path))
    assert len(data.train) + len(data.validation) + len(data.test) == 20  # type: ignore[arg-type]
    save_pair(tmp_path, 5, "images/a_5.png", Image.fromarray(shape(5)), "masks/a_00005.png")
    save_pair(tmp_path, 5, "images/a_5.png", Image.fromarray(shape(5)), "masks/a_005.png")
    assert_refused(str(tmp_path), "every mask an image, got only .*/a_00005.png")


def test_short_names_of_splits_count_beside_a_kind_only(tmp_path: Path) -> None:
    for name in ("va", "ts", "train_station"):
        for number in range(10):
            path = tmp_path / name / f"{name}{number}.png"
            path.parent.mkdir(exist_ok=True)
            photo(number + 100 * len(name)).save(path)
    assert load_dataset(str(tmp_path)).classes == ("train_station", "ts", "va")


@pytest.mark.parametrize(
    "names",
    [
        ("cats_train", "cats_test", "dogs_train", "dogs_test"),
        ("TrainCats", "TestCats", "TrainDogs", "TestDogs"),
        ("catstrain", "catstest", "dogstrain", "dogstest"),
    ],
)
def test_classes_named_after_splits_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        for number in range(5):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            photo(number).save(path)
    assert_refused(str(tmp_path), "must not be named after splits, got 'cats' for test and train")


def palette_mask(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    mask = Image.fromarray(indices.astype(np.uint8), "P")
    mask.putpalette([part for colour in colours for part in colour])
    return mask


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("masks", "classes"),
    [
        # One palette is the other's start, if black at the end is cut within a colour.
        (lambda n: palette_mask(shape(n), BLACK, RED if n % 2 else YELLOW), 3),
        (lambda n: palette_mask(1 - shape(n), RED, BLACK) if n % 2 else palette_mask(0 * shape(n), BLACK), 2),
        (lambda n: palette_mask(shape(n), BLACK, RED), 2),
    ],
    ids=["red and yellow", "an empty mask", "one palette"],
)
def test_palettes_are_compared_by_the_colours_that_pixels_have(tmp_path: Path, masks, classes: int) -> None:
    for number in range(20):
        save_pair(tmp_path, number, f"images/{number}.png", masks(number), f"masks/{number}.png")
    data = load_dataset(str(tmp_path))
    assert len(data.classes) == classes
    shares = data.count_classes(data.train) / data.train.y.size
    assert shares[0] == pytest.approx(1 - 64 / 576 * (0.5 if "an empty" in str(tmp_path) else 1), abs=0.06)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("colours", [(BLACK, RED, RED, YELLOW), (BLACK, BLACK, BLACK)])
def test_one_palette_that_repeats_a_colour_is_read_by_its_numbers(tmp_path: Path, colours) -> None:
    for number in range(20):
        mask = palette_mask(shape(number) * (1 + number % 2), *colours)
        save_pair(tmp_path, number, f"images/{number}.png", mask, f"masks/{number}.png")
    assert load_dataset(str(tmp_path)).classes == ("0", "1", "2")


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_palettes_mixed_with_numbers_are_refused_where_index_0_is_no_background(tmp_path: Path) -> None:
    for number in range(20):
        mask = palette_mask(1 - shape(number), RED, BLACK) if number % 2 else Image.fromarray(shape(number))
        save_pair(tmp_path, number, f"images/{number}.png", mask, f"masks/{number}.png")
    assert_refused(str(tmp_path), "got both palettes and grey images in .*, and index 0 is not black")


def test_files_of_zeros_and_ones_are_fed_as_they_are(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((np.asarray(photo(number))[..., 0] > 90).astype(np.uint8)).save(path)
    data = load_dataset(str(tmp_path))
    assert not data.rescale
    assert data.feeding.value_range == (0.0, 1.0)
    assert "Values 0 and 1 are fed as they are, not divided by 255." in data.notes
