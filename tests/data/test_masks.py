"""Labels of masks: which are classes, which are ignored, and which are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, save_image, save_npz, some_pixels
from PIL import Image

from nas.data import DataOptions, Dataset, load_dataset
from nas.errors import DataError, InputError

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "ignore_label", "expected", "classes", "ignored"),
    [
        ([0, 1, 2], None, [0, 1, 2], ("0", "1", "2"), None),
        ([0, 1, 2], 2, [0, 1, 2], ("0", "1"), 2),
        ([0, 1, 255], None, [0, 1, 255], ("0", "1"), 255),
        ([0, 1, 2], 0, [255, 0, 1], ("1", "2"), 255),
        ([0, 255], None, [0, 1], ("0", "255"), None),
        ([0, 128, 255], None, [0, 1, 2], ("0", "128", "255"), None),
        ([0, 2, 255], None, [0, 1, 2], ("0", "2", "255"), None),
        ([0, 2, 255], 255, [0, 1, 255], ("0", "2"), 255),
        ([0, 10, 20], None, [0, 1, 2], ("0", "10", "20"), None),
        ([-1, 0, 1], -1, [255, 0, 1], ("0", "1"), 255),
        ([0, 5, 1000], 1000, [0, 1, 1000], ("0", "5"), 1000),
    ],
)
def test_labels_of_masks_are_numbered_without_the_ignored_one(
    tmp_path: Path,
    values: list[int],
    ignore_label: int | None,
    expected: list[int],
    classes: tuple[str, ...],
    ignored: int | None,
) -> None:
    indices = some_pixels(6, 5, 4) % len(values)
    y = np.array(values, np.int32)[indices]
    x = some_pixels(6, 5, 4)
    some = load_dataset(
        save_npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y), DataOptions(ignore_label=ignore_label)
    )
    assert some.task == "segmentation"
    assert some.shape == (5, 4, 1)
    assert some.classes == classes
    assert some.ignore_label == ignored
    assert some.test is not None
    assert some.test.y.dtype == (np.int32 if max(expected) > 255 else np.uint8)
    np.testing.assert_array_equal(some.test.y, np.array(expected)[indices])


def blocks(labels: list[int], seed: int = 0, side: int = 4, count: int = 6) -> np.ndarray:
    """Return labels (4 side, 4 side) in squares of `side` pixels."""
    choice = np.random.default_rng(seed).integers(0, len(labels), (count, 4, 4))
    return np.array(labels)[choice].repeat(side, 1).repeat(side, 2)


def load_masks(folder: Path, masks: np.ndarray, options: DataOptions | None = None) -> Dataset:
    x, x_test = (some_pixels(*masks.shape, seed=seed) for seed in (1, 2))
    source = save_npz(folder, x_train=x, y_train=masks, x_test=x_test, y_test=masks)
    return load_dataset(source, options or DataOptions())


def save_masks(folder: Path, masks: list[Image.Image]) -> str:
    """Save these masks with images of their size, and return the folder."""
    (folder / "masks").mkdir(parents=True)
    for index, mask in enumerate(masks):
        save_image(folder / "images" / f"{index}.png", mask.size, "RGB", seed=index)
        mask.save(folder / "masks" / f"{index}.png")
    return str(folder)


def palette_mask(indices: np.ndarray, *palette: tuple[int, int, int]) -> Image.Image:
    mask = Image.fromarray(indices.astype(np.uint8)).convert("L")
    mask = Image.frombytes("P", mask.size, mask.tobytes())
    mask.putpalette([value for colour in palette for value in colour])
    return mask


def all_masks(data: Dataset) -> np.ndarray:
    assert data.test is not None
    return np.concatenate([split.y for split in (data.train, data.validation, data.test)])


def test_labels_are_described_with_their_shares_of_the_pixels(tmp_path: Path) -> None:
    masks = np.zeros((10, 10, 10), np.uint8)
    masks[:, :2] = 1
    masks[:, 2] = 255
    assert load_masks(tmp_path, masks).notes[-1] == (
        "Labels of the masks and their shares of the pixels: 0 70.0%, 1 20.0%, 255 (ignored) 10.0%."
    )


def test_255_beside_labels_with_gaps_is_a_class_and_a_large_ignored_share_is_doubtful(tmp_path: Path) -> None:
    (warning,) = load_masks(tmp_path, blocks([0, 128, 255])).warnings
    assert "255 of the masks is a class, because the other labels are not 0, 1, ...: 0, 128;" in warning
    masks = blocks([0, 1, 255, 255, 255, 255], count=30)
    share = (masks == 255).mean()
    (warning,) = load_masks(tmp_path, masks).warnings
    assert warning.startswith(f"{share:.0%} of the pixels have label 255, which is ignored")
    assert not load_masks(tmp_path, blocks([0, 1, 2, 255])).warnings


@pytest.mark.parametrize("how", ["antialiased", "jpeg", "every value"])
def test_labels_from_interpolation_are_refused(tmp_path: Path, how: str) -> None:
    masks = []
    for mask in blocks([0, 255], side=12):
        image = Image.fromarray(mask.astype(np.uint8))
        if how == "jpeg":
            image.save(tmp_path / "mask.jpg", quality=80)
            image = Image.open(tmp_path / "mask.jpg")
        else:
            size = image.width * (2 if how == "antialiased" else 3) - 5
            image = image.resize((size, size), Image.Resampling.BICUBIC)
        masks.append(np.asarray(image))
    with pytest.raises(DataError, match=r"got \d+ labels of which \d+ occur only in edges.*; save"):
        load_masks(tmp_path, np.stack(masks))


def test_rare_classes_and_thin_objects_are_no_interpolation(tmp_path: Path) -> None:
    masks = blocks([0, 100, 200], side=8, count=20)
    for label in range(20, 26):  # rare, but objects
        masks[label - 20, 3:6, 3:6] = label
    masks[:, 10, :4] = 55  # one thin object
    data = load_masks(tmp_path, masks)
    assert data.classes == ("0", "20", "21", "22", "23", "24", "25", "55", "100", "200")


def test_palettes_of_their_own_are_compared_by_colour(tmp_path: Path) -> None:
    indices = blocks([0, 1], side=2, count=10)
    masks = [
        palette_mask(index if number % 2 else 1 - index, *((BLACK, RED) if number % 2 else (RED, BLACK)))
        for number, index in enumerate(indices)
    ]
    data = load_dataset(save_masks(tmp_path / "own", masks))
    assert data.classes == ("#000000", "#ff0000")
    assert sorted(mask.tobytes() for mask in all_masks(data)) == sorted(
        index.astype(np.uint8).tobytes() for index in indices
    )
    assert "Masks have palettes of their own, so their labels are the colours." in data.notes
    shared = [
        palette_mask(index, BLACK, RED, *[GREEN] * (number % 2)) for number, index in enumerate(indices)
    ]
    assert load_dataset(save_masks(tmp_path / "shared", shared)).classes == ("0", "1"), "one begins the other"


def colour_masks(*colours: tuple[int, int, int]) -> list[Image.Image]:
    table = np.array(colours, np.uint8)
    return [Image.fromarray(table[mask]) for mask in blocks(list(range(len(colours))), count=8)]


def test_colour_masks_are_read_with_a_list_of_colours_in_its_order(tmp_path: Path) -> None:
    source = save_masks(tmp_path, colour_masks(BLACK, RED, GREEN))
    indices = blocks([0, 1, 2], count=8)
    data = load_dataset(source, DataOptions(mask_colors=("lime", "#ff0000", "black", "blue")))
    assert data.classes == ("lime", "#ff0000", "black", "blue")
    assert data.warnings == ("Label blue occurs in no mask.",)
    assert sorted(mask.tobytes() for mask in all_masks(data)) == sorted(
        mask.tobytes() for mask in np.uint8([2, 1, 0])[indices]
    )
    ignoring = load_dataset(source, DataOptions(mask_colors=("lime", "red", "black"), ignore_label=2))
    assert (ignoring.classes, ignoring.ignore_label) == (("lime", "red"), 2)
    with pytest.raises(DataError, match=r"the colours of mask_colors, got #00ff00 in .*masks/\d.png; add it"):
        load_dataset(source, DataOptions(mask_colors=("black", "red")))


def test_few_colours_without_a_list_are_the_classes(tmp_path: Path) -> None:
    source = save_masks(tmp_path, colour_masks(BLACK, RED, GREEN))
    data = load_dataset(source)
    assert data.classes == ("#000000", "#00ff00", "#ff0000")
    with pytest.raises(DataError, match=r"ignore_label must be the position .* got 1 without a list"):
        load_dataset(source, DataOptions(ignore_label=1))
    many = [tuple(int(value) for value in colour) for colour in some_pixels(80, 3)]
    assert_refused(save_masks(tmp_path / "many", colour_masks(*many)), "at most 64 colours, got 67; list the")


def test_grey_masks_that_are_stored_as_colours_are_numbers(tmp_path: Path) -> None:
    masks = colour_masks((0, 0, 0), (1, 1, 1), (255, 255, 255))
    data = load_dataset(save_masks(tmp_path, [masks[0].convert("L"), *masks[1:]]))
    assert (data.classes, data.ignore_label) == (("0", "1"), 255)


def test_colours_and_more_than_8_bits_are_refused_together(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((16, 16), 700, np.uint16))
    source = save_masks(tmp_path, [*colour_masks(BLACK, RED), deep])
    assert_refused(source, "all of colours or all of numbers, got both")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mask_colors": ["nocolour"]}, "must be colours as #rrggbb or names, got 'nocolour'; write"),
        ({"mask_colors": ["red", "#ff0000"]}, "must be different colours, got '#ff0000' twice"),
        ({"background": "#12"}, "must be colours as #rrggbb or names, got '#12'"),
    ],
)
def test_wrong_colours_are_refused_with_one_sentence(options: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        DataOptions.parse(options)


def squares(numbers: list[list[int]]) -> np.ndarray:
    """Return masks (n, 24, 24) with a square of 5 pixels for each number."""
    masks = np.zeros((len(numbers), 24, 24), np.uint16)
    for mask, labels in zip(masks, numbers, strict=True):
        for place, label in enumerate(labels):
            row, column = 6 * (place // 4), 6 * (place % 4)
            mask[row : row + 5, column : column + 5] = label
    return masks


def load_squares(folder: Path, y: np.ndarray, labels: str = "auto") -> Dataset:
    x = some_pixels(len(y), 24, 24)
    return load_dataset(save_npz(folder, x=x, y=y), DataOptions(labels=labels))


@pytest.mark.parametrize(
    "numbers",
    [
        [[number + 1] for number in range(40)],
        [[number + 1, 100 + number, 255] for number in range(40)],
        [list(range(1, 2 + number % 12)) for number in range(40)],
        [[*range(1, 2 + number % 12), 255] for number in range(40)],
    ],
    ids=["over all masks", "several and void", "within each mask", "within each and void"],
)
def test_numbers_of_objects_are_refused(tmp_path: Path, numbers: list[list[int]]) -> None:
    y = squares(numbers)
    with pytest.raises(DataError, match=r"labels in 40 masks, which look like the numbers of objects"):
        load_squares(tmp_path, y)
    assert len(load_squares(tmp_path, y, "masks").classes) >= 13


def test_many_classes_are_no_numbers_of_objects(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    some = squares([rng.choice(np.arange(1, 30), 3, replace=False).tolist() for _ in range(40)])
    assert len(load_squares(tmp_path, some).classes) == 30
    all_in_each = squares([list(range(1, 14 + number % 2)) for number in range(40)])
    assert len(load_squares(tmp_path, all_in_each).classes) == 15


@pytest.mark.parametrize(("labels", "doubts"), [((0, 128, 255), 1), ((0, 1, 2), 0), ((0, 255, 128), 0)])
def test_one_label_between_two_others_in_edges_alone_is_a_doubt(
    tmp_path: Path, labels: tuple[int, int, int], doubts: int
) -> None:
    """The second label is the upper edge of the third one's square."""
    y = squares([[labels[2]]] * 20)
    y[:, 0, :5] = labels[1]
    y = np.where(y == 0, labels[0], y).astype(np.uint8)
    found = [text for text in load_squares(tmp_path, y).warnings if "only in edges" in text]
    assert len(found) == doubts
    if found:
        assert found[0].startswith("Label 128 of the masks (0.9% of the pixels) occurs only in edges")
