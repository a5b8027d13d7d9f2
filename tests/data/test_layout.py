"""Layouts of folders of images: the usual names are recognized, doubtful ones are refused."""

from __future__ import annotations

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

from nas.data import DataOptions, Dataset, load_dataset
from nas.data.folder_names import Role, loose_split, role_of, sorted_names

PETS = ("cat", "dog", "mouse")


def counts(data: Dataset) -> list[int]:
    return [len(split) for split in (data.train, data.validation, data.test) if split is not None]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "", "Testing"),
        ("TRAIN", "Valid", "TEST"),
        ("seg_train/seg_train", "seg_val", "seg_test/seg_test"),
        ("training_set/training_set", "", "test_set/test_set"),
        ("train2017", "val2017", "test2017"),
        ("TrainData", "DevData", "TestData"),
        ("train_images", "val_images", "test_images"),
        ("01_train", "02_validation", "03_holdout"),
        ("cats_train", "", "cats_test"),  # by the classes that both have
        ("trn", "dev", "eval"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "archive/Data Set"])
def test_usual_names_of_splits_are_recognized(
    tmp_path: Path, train: str, validation: str, test: str, wrapper: str
) -> None:
    for name, count in ((train, 5), (validation, 3), (test, 2)):
        if name:
            save_class_folders(tmp_path / wrapper / name, PETS, count)
    pets = load_dataset(str(tmp_path))
    assert (pets.task, pets.classes) == ("classification", PETS)
    assert counts(pets) == ([15, 9, 6] if validation else [12, 3, 6])
    note = next(note for note in pets.notes if "By the names of folders" in note)
    assert f"{train}/ is train" in note
    assert f"{test}/ is test" in note


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "labels"),
        ("image", "mask"),
        ("Images", "Masks"),
        ("imgs", "gt"),
        ("JPEGImages", "SegmentationClass"),
        ("input", "target"),
        ("images", "annotations/trimaps"),
        ("img", "ground_truth"),
        ("data_images", "data_labels"),
    ],
)
@pytest.mark.parametrize("layout", ["{kind}", "{split}/{kind}", "{kind}/{split}", "{split}_{kind}"])
def test_usual_names_of_images_and_masks_are_recognized(
    tmp_path: Path, images: str, masks: str, layout: str
) -> None:
    for split in ("Train", "Test") if "split" in layout else ("",):
        saved = save_images_and_masks(tmp_path / "saved" / split)
        for old, kind in (("images", images), ("masks", masks)):
            target = tmp_path / "data" / layout.format(split=split, kind=kind)
            target.parent.mkdir(parents=True, exist_ok=True)
            (saved / old).rename(target)
    data = load_dataset(str(tmp_path / "data"))
    assert (data.task, data.classes) == ("segmentation", ("0", "1", "2"))
    assert counts(data) == ([5, 1, 6] if "split" in layout else [4, 1, 1])
    assert any(f"{masks.split('/')[-1]}" in note for note in data.notes)


def test_images_beside_a_folder_of_masks_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        saved = save_images_and_masks(tmp_path / "saved")
        (tmp_path / "data").mkdir(exist_ok=True)
        (saved / "images").rename(tmp_path / "data" / split)
        (saved / "masks").rename(tmp_path / "data" / f"{split}annot")
    data = load_dataset(str(tmp_path / "data"))
    assert (data.task, counts(data)) == ("segmentation", [6, 6, 6])


def test_masks_may_have_a_word_more_in_their_names(tmp_path: Path) -> None:
    save_images_and_masks(tmp_path)
    for mask in (tmp_path / "masks").iterdir():
        mask.rename(mask.with_stem(f"{mask.stem}_mask"))
    assert load_dataset(str(tmp_path)).task == "segmentation"


def test_folders_of_labels_that_are_no_images_are_no_masks(tmp_path: Path) -> None:
    save_images_and_masks(tmp_path / "voc")
    for name, kind in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        (tmp_path / "voc" / name).rename(tmp_path / "voc" / kind)
    save_class_folders(tmp_path / "pets" / "train")
    for folder in ("voc/Annotations", "pets/train_labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.xml").write_text("<boxes/>")
    assert load_dataset(str(tmp_path / "voc")).task == "segmentation"
    assert load_dataset(str(tmp_path / "pets")).classes == ("cat", "dog")


def test_labels_decide_where_both_are_possible(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "names", ("images", "labels"))
    for folder in (tmp_path / "names" / "labels").iterdir():
        folder.rename(folder.with_stem(f"other-{folder.stem}"))
    assert_refused(str(tmp_path / "names"), "images and masks must have the same names.*labels to classes")
    data = load_dataset(str(tmp_path / "names"), DataOptions(labels="classes"))
    assert (data.task, data.classes) == ("classification", ("images", "labels"))
    save_class_folders(tmp_path / "days" / "cat", ("day", "night"))
    save_class_folders(tmp_path / "days" / "dog", ("day", "night"))
    assert_refused(str(tmp_path / "days"), "must not repeat.* got day/ and night/ in more than one folder")
    assert load_dataset(str(tmp_path / "days"), DataOptions(labels="classes")).classes == ("cat", "dog")


def test_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["1", "3", "5", "11", "19"]
    data = load_dataset(str(save_class_folders(tmp_path, tuple(names), count=4)))
    assert data.classes == tuple(names)
    assert "order of the numbers" in " ".join(data.notes)
    for image, label in zip(data.train.x, data.train.y, strict=True):
        seeds = [100 * label + number for number in range(4)]
        assert image[..., 0].tobytes() in {some_pixels(5, 6, seed=seed).tobytes() for seed in seeds}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "-1", "2.5"], ["-1", "2.5", "9", "10"]),
        (["class_10", "class_9", "B", "a"], ["B", "a", "class_9", "class_10"]),
        (["007", "7", "07"], ["007", "07", "7"]),
        (["9" * 5000, "1"], ["1", "9" * 5000]),
    ],
)
def test_numbers_in_names_sort_as_numbers(names: list[str], expected: list[str]) -> None:
    assert sorted_names(names) == expected


def test_unlabelled_images_and_folders_beside_splits_are_named(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "seg_train" / "seg_train")
    save_class_folders(tmp_path / "seg_test" / "seg_test")
    for number in range(7):
        save_image(tmp_path / "seg_pred" / "seg_pred" / f"{number}.png", seed=500 + number)
    save_image(tmp_path / "cover.png", seed=900)
    data = load_dataset(str(tmp_path))
    assert counts(data) == [8, 2, 10]
    assert any("8 images are outside" in warning for warning in data.warnings)


def test_a_class_without_images_in_a_split_and_folders_in_classes_are_named(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "train", PETS)
    save_class_folders(tmp_path / "train" / "cat", ("indoor", "outdoor"))
    save_class_folders(tmp_path / "test", PETS[:2])
    warnings = " ".join(load_dataset(str(tmp_path)).warnings)
    assert "1 of 3 classes have no images in test: mouse." in warnings
    assert "cat/indoor, are not classes of their own" in warnings


@pytest.mark.parametrize(
    "name", ["train_test", "steam_train", "test_tube", "cat", "12", "image_labels", "x" * 300]
)
def test_other_names_have_no_role(name: str) -> None:
    assert role_of(name) is None


def test_a_name_may_have_a_split_and_a_kind() -> None:
    assert role_of("TrainMasks_2017") == Role("train", "masks")
    assert role_of("set" * 30 + "x") is None
    assert loose_split("myTrainV2") == "train"
    assert loose_split("train_and_test") is None


def save_pictures(folder: Path, stems: list[str], values: int) -> None:
    """Save images of 40x40 with so many values."""
    folder.mkdir(parents=True)
    for seed, stem in enumerate(stems):
        pixels = np.random.default_rng(seed).integers(0, values, (40, 40), np.uint8)
        Image.fromarray(pixels * (255 // values)).save(folder / f"{stem}.png")


DOUBTFUL, doubtful = collect_refusals()


@doubtful(r"must not repeat the names of their sub-folders, got cat/ and dog/.*rename splits")
def unknown_splits(folder: Path) -> None:
    save_class_folders(folder / "part_a")
    save_class_folders(folder / "part_b")


@doubtful("must not repeat the names of their sub-folders")
def unknown_train_beside_test(folder: Path) -> None:
    save_class_folders(folder / "fit")
    save_class_folders(folder / "test")


@doubtful("beside .*train must be named after its split, got .*extra with the same classes")
def unknown_split_beside_train(folder: Path) -> None:
    for name in ("train", "test", "extra"):
        save_class_folders(folder / name)


@doubtful("train/ must be a split or a class")
def train_beside_another_class_with_folders(folder: Path) -> None:
    save_class_folders(folder / "train", ("steam", "diesel"))
    save_class_folders(folder / "bus", ("red", "blue"))


@doubtful("each split and kind must have one folder, got .*val and .*valid")
def two_folders_of_a_split(folder: Path) -> None:
    for name in ("train", "valid", "val"):
        save_class_folders(folder / name)


@doubtful("must hold different files, got the same names in .*outlines and .*photos")
def unknown_masks(folder: Path) -> None:
    stems = ["a7", "b2", "fall", "spring", "winter"]
    save_pictures(folder / "photos", stems, 256)
    save_pictures(folder / "outlines", stems, 3)


@doubtful("what looks like images and masks of the same names in .*outlines and .*photos")
def unknown_masks_with_running_numbers(folder: Path) -> None:
    stems = [f"img_{number:03}" for number in range(1, 20)]
    save_pictures(folder / "photos", stems, 256)
    save_pictures(folder / "outlines", stems, 2)


@doubtful("must hold different files, got the same names in .*images and .*outlines")
def images_beside_unknown_masks(folder: Path) -> None:
    save_class_folders(folder, ("images", "outlines"))


@doubtful("labels must hold masks, which are images of labels, got none; .*boxes")
def boxes(folder: Path) -> None:
    for number in range(5):
        save_image(folder / "images" / f"{number}.png", seed=number)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{number}.txt").write_text("0 .5 .5 .1 .1")


@doubtful("train/ must hold one sub-folder per class, .* got .*train/train without any")
def splits_without_classes(folder: Path) -> None:
    for number in range(5):
        save_image(folder / "train" / "train" / f"cat.{number}.png", seed=number)
        save_image(folder / "test1" / "test1" / f"{number}.png", seed=50 + number)


@doubtful("masks must be given for a split train, got .* with test only")
def masks_of_the_test_split_only(folder: Path) -> None:
    save_images_and_masks(folder / "test")
    save_class_folders(folder / "train")


@doubtful("must not hold masks, got 0_mask beside the image of that name in .*benign")
def masks_in_folders_of_classes(folder: Path) -> None:
    save_class_folders(folder, ("benign", "normal"))
    for number in range(5):
        save_image(folder / "benign" / f"{number}_mask.png", seed=50 + number)


@doubtful("each split and kind must have one folder, got .*labels and .*masks")
def two_folders_of_masks(folder: Path) -> None:
    save_images_and_masks(folder)
    save_image(folder / "labels" / "0.png")


@doubtful("name of a class must be text without control characters")
def control_characters(folder: Path) -> None:
    save_class_folders(folder, ("cat\n", "dog"))


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_layouts_are_refused_with_one_sentence(tmp_path: Path, name: str) -> None:
    save, match = DOUBTFUL[name]
    save(tmp_path / "data")
    assert_refused(str(tmp_path / "data"), match)
    assert_refused(save_zip(tmp_path / "data", tmp_path / "data.zip"), match)


@pytest.mark.parametrize("stems", ["numbers", "numbers with gaps", "names"])
def test_classes_with_running_numbers_or_other_names_are_classes(tmp_path: Path, stems: str) -> None:
    for seed, name in enumerate(PETS[:2]):
        for number in range(20):
            if stems != "numbers with gaps" or number % 7 != seed:
                stem = f"{name} ({number})" if stems == "names" else f"Image_{number}"
                save_image(tmp_path / name / f"{stem}.png", (40, 40), seed=100 * seed + number)
    assert load_dataset(str(tmp_path)).classes == PETS[:2]


def test_labels_that_a_folder_cannot_have_are_refused(tmp_path: Path) -> None:
    source = str(save_class_folders(tmp_path))
    for labels, match in (
        ("masks", "needs a folder images/ and a folder masks/"),
        ("numbers", "got numbers"),
    ):
        with pytest.raises(Exception, match=match):
            load_dataset(source, DataOptions(labels=labels))  # type: ignore[arg-type]


def test_images_without_sub_folders_of_classes_lead_to_a_table_or_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(10):
            save_image(tmp_path / split / f"{split}{number}.png", seed=number)
    assert_refused(str(tmp_path), "pass --label-from if the names of the files hold the labels")
    rows = [f"train{number},{'ab'[number % 2]}" for number in range(10)]
    for name in ("sample.csv", "train.csv"):
        (tmp_path / name).write_text("\n".join(["id,label", *rows]))
    assert_refused(str(tmp_path), "pass the table of their labels in place of the folder, .*/train.csv")
    assert load_dataset(str(tmp_path / "train.csv")).classes == ("a", "b")


def test_classes_are_equal_whether_accents_are_composed_or_not(tmp_path: Path) -> None:
    composed, apart = "\u00e9t\u00e9", "e\u0301te\u0301"
    for split, name in (("train", composed), ("test", apart)):
        save_class_folders(tmp_path / split, (name, "autumn"), 6)
    save_image(tmp_path / "train" / apart / "more.png", seed=99)
    seasons = load_dataset(str(tmp_path))
    assert seasons.classes == ("autumn", composed)
    assert sum(counts(seasons)) == 25
