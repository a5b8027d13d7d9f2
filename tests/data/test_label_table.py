"""Images with a table of labels, and images whose names hold the label."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import (
    assert_refused,
    refusal,
    save_class_folders,
    save_image,
    save_zip,
    shared_data,
    some_pixels,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import DataOptions, Dataset, load_dataset
from nas.errors import DataError

MUTATIONS = int(os.environ.get("NAS_FUZZ", "200"))


def save_images(folder: Path, count: int = 12) -> Path:
    for number in range(count):
        save_image(folder / f"{number:03}.png", seed=number)
    return folder


def save_table(path: Path, header: str, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def labels_of_images(data: Dataset, count: int = 12) -> dict[int, Any]:
    """Return the label of each image by its number, found by its pixels."""
    numbers = {some_pixels(5, 6, seed=number).tobytes(): number for number in range(count)}
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    return {
        numbers[x[..., 0].tobytes()]: y.tolist()
        for split in splits
        for x, y in zip(split.x, split.y, strict=True)
    }


def animals(number: int) -> str:
    return ("dog", "cat")[number % 2]


@pytest.mark.parametrize("place", ["beside", "inside"])
@pytest.mark.parametrize("file", ["images/{:03}.png", "{:03}.png", "{:03}"])
def test_a_table_may_stand_beside_a_folder_or_above_it(tmp_path: Path, place: str, file: str) -> None:
    root = tmp_path / "pets"
    save_images(root / "images")
    rows = [f"{file.format(number)},{animals(number)}" for number in range(12)]
    save_table(root / "labels.csv", "file,label", rows)
    given = root if place == "beside" else root / "images"
    for source in (given, root / "labels.csv"):
        data = load_dataset(str(source))
        assert (data.task, data.classes, data.shape) == ("classification", ("cat", "dog"), (5, 6, 1))
        assert labels_of_images(data) == {number: 1 - number % 2 for number in range(12)}
        assert "label of" in data.notes[0]
        assert not data.warnings
    zipped = load_dataset(save_zip(root, tmp_path / "pets.zip", "pets"))
    assert labels_of_images(zipped) == labels_of_images(data)


def test_the_shared_table_has_classes_and_a_number() -> None:
    source = shared_data("elpv_96")
    cells = load_dataset(source)
    assert (cells.task, cells.classes, cells.shape) == (
        "classification",
        ("defective", "functional"),
        (96, 96, 1),
    )
    splits = [cells.train, cells.validation, cells.test]
    counts = sum(cells.count_classes(split) for split in splits if split is not None)
    assert counts.tolist() == [821, 1803]
    number = load_dataset(f"{source}/labels.csv", DataOptions(label_column=("defect_probability",)))
    assert (number.task, number.classes) == ("regression", ("defect_probability",))
    assert number.train.y.shape == (len(number.train), 1)
    assert 0.2 < number.train.y.mean() < 0.5


def test_a_column_of_splits_is_kept(tmp_path: Path) -> None:
    save_images(tmp_path)
    split = ["train"] * 6 + ["Validation"] * 2 + ["test"] * 4
    rows = [f"{number:03}.png;{animals(number)};{split[number]}" for number in range(12)]
    save_table(tmp_path / "labels.csv", "file;label;split", rows)
    data = load_dataset(str(tmp_path))
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 2, 4)
    np.testing.assert_array_equal(data.test.y, [1, 0, 1, 0])


def test_labels_are_numbers_several_classes_or_columns(tmp_path: Path) -> None:
    save_images(tmp_path)
    rows = [f"{n:03}.png,{n / 8},{('red', 'red|big')[n % 2]},{n % 2},{n % 3 % 2},{n}" for n in range(12)]
    table = str(save_table(tmp_path / "labels.csv", "file,weight,words,a,b,count", rows))

    def loaded(*columns: str, **options: Any) -> Dataset:
        return load_dataset(table, DataOptions(label_column=columns, **options))

    weights = loaded("weight")
    assert (weights.task, weights.classes) == ("regression", ("weight",))
    assert labels_of_images(weights) == {number: [number / 8] for number in range(12)}
    both = loaded("weight", "count")
    assert (both.task, both.classes) == ("regression", ("weight", "count"))
    assert labels_of_images(both)[5] == [5 / 8, 5]
    words = loaded("words")
    assert (words.task, words.classes) == ("multi_label", ("big", "red"))
    assert labels_of_images(words) == {number: [number % 2, 1] for number in range(12)}
    columns = loaded("a", "b")
    assert (columns.task, columns.classes) == ("multi_label", ("a", "b"))
    assert labels_of_images(columns)[7] == [1, 1]
    assert loaded("count", labels="numbers").task == "regression"
    assert loaded("words", labels="classes").classes == ("red", "red|big")
    with pytest.raises(
        DataError, match=r"column of labels must be named label, got weight, .*--label-column weight"
    ):
        load_dataset(table)
    with pytest.raises(DataError, match=r"no column .* is 'wieght'; did you mean 'weight'"):
        loaded("wieght")


CASES: dict[str, tuple[str, str, list[str]]] = {
    "missing file": ("3 of 5 that do not, first '900.png' in row 4.*correct the paths", "file,label", [
        "000.png,a", "001.png,b", "900.png,a", "901.png,b", "902.png,b"]),
    "outside": ("do not, first '../outside.png' in row 3", "file,label", ["000.png,a", "../outside.png,b"]),
    "twice": ("one row, got .*000.png in row 2 of .* and row 4", "file,label", [
        "000.png,a", "001.png,b", "000.png,b"]),
    "no label": ("empty cell for label in row 3", "file,label", ["000.png,a", "001.png,"]),
    "no files": ("column of files, got id, label", "id,label", ["x,a", "y,b"]),
    "ragged": ("3 cells as its header has, got 2 in row 3", "file,label,x", ["000.png,a,1", "001.png,b"]),
    "no rows": ("a header with a name for each column, and rows, got file, label and 0", "file,label", []),
    "twice a name": ("a header", "file,label,label", ["000.png,a,b"]),
    "no header": ("must have a header, got the image '000.png' in row 1 of .*write a row such as file,label",
        "000.png,a", ["001.png,a", "002.png,b"]),
    "no header, no suffix": ("the image '000' in row 1", "000,a", ["001,a", "002,b"]),
    "Windows": ("write only the last part of each path, as '000.png', which names an image", "file,label", [
        r"C:\\data\\000.png,a", r"C:\\data\\001.png,b"]),
    "other root": ("only the last part", "file,label", ["/data/000.png,a", "/data/001.png,b"]),
    "comma": ("a decimal point, got the comma of '0,05' for label in row 3 .*write 0.05, or",
        "file;label", ["000.png;1", "001.png;0,05", "002.png;3,5"]),
    "no split": ("must hold train, val or test, got '3' in row 2", "file,label,split", ["000.png,a,3"]),
    "no training": ("must name training examples", "file,label,split", ["000.png,a,test"]),
    "text in columns": ("several columns .* got 'x' for b", "file,a,b", ["000.png,1,x", "001.png,0,y"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_unsuitable_tables_are_refused_with_one_sentence(tmp_path: Path, name: str) -> None:
    match, header, rows = CASES[name]
    save_images(tmp_path / "pets", 4)
    save_image(tmp_path / "outside.png")
    table = save_table(tmp_path / "pets" / "labels.csv", header, rows)
    if name == "text in columns":
        with pytest.raises(DataError, match=match):
            load_dataset(str(table), DataOptions(label_column=("a", "b")))
    else:
        assert_refused(str(table), match)


def test_commas_may_separate_labels_or_be_part_of_names(tmp_path: Path) -> None:
    save_images(tmp_path)
    rows = [f"{n:03}.png;{('1', '2', '1,2')[n % 3]}" for n in range(12)]
    table = str(save_table(tmp_path / "labels.csv", "file;label", rows))
    assert load_dataset(table, DataOptions(labels="multi_label")).classes == ("1", "2")
    assert load_dataset(table, DataOptions(labels="classes")).classes == ("1", "1,2", "2")
    rows = [f"{n:03}.png;{('red', 'big', 'red, big')[n % 3]}" for n in range(12)]
    assert load_dataset(str(save_table(Path(table), "file;label", rows))).task == "multi_label"


@pytest.mark.parametrize("header", [",file,label", ",picture,label", ",picture,kind"])
def test_an_unnamed_first_column_is_no_label(tmp_path: Path, header: str) -> None:
    save_images(tmp_path)
    rows = [f"{11 - n:03},{n:03}.png,{animals(n)}" for n in range(12)]
    save_table(tmp_path / "labels.csv", header, rows)
    assert labels_of_images(load_dataset(str(tmp_path))) == {number: 1 - number % 2 for number in range(12)}
    rows = [f"{n:03}.png,{animals(n)}" for n in range(12)]
    save_table(tmp_path / "labels.csv", ",label", rows)
    assert labels_of_images(load_dataset(str(tmp_path))) == {number: 1 - number % 2 for number in range(12)}


def test_a_name_of_a_column_may_be_that_of_an_image(tmp_path: Path) -> None:
    save_images(tmp_path)
    (tmp_path / "000.png").rename(tmp_path / "cat.png")
    rows = [f"{'cat' if n == 0 else f'{n:03}'}.png,{n % 2},{n % 3 % 2}" for n in range(12)]
    save_table(tmp_path / "labels.csv", "id,cat,dog", rows)
    data = load_dataset(str(tmp_path), DataOptions(label_column=("cat", "dog")))
    assert data.classes == ("cat", "dog")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    save_images(tmp_path, 2)
    (tmp_path / "labels.csv").write_bytes("file,label\n000.png,a\n001.png,b\n".encode(encoding))
    assert_refused(str(tmp_path), "in UTF-16; save it as UTF-8")


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    save_images(tmp_path, 2)
    (tmp_path / "labels.csv").write_bytes("file,label\n000.png,Bär\n001.png,Uhu\n".encode("cp1252"))
    assert_refused(str(tmp_path), "CSV in UTF-8")


def test_a_table_in_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    root = save_images(tmp_path / "pets")
    save_table(root / "labels.csv", "file,label", [f"{n:03}.png,{animals(n)}" for n in range(12)])
    path = Path(save_zip(root, tmp_path / "pets.zip"))
    content = path.read_bytes().replace(b"003.png,cat", b"003.png,dog")
    assert content != path.read_bytes()
    path.write_bytes(content)
    assert_refused(str(path), "a table must be readable, got .*labels.csv.*CRC")


def test_images_without_a_row_are_counted(tmp_path: Path) -> None:
    save_images(tmp_path)
    save_table(tmp_path / "labels.csv", "file,label", [f"{n:03}.png,{animals(n)}" for n in range(10)])
    assert load_dataset(str(tmp_path)).warnings == (
        f"2 images have no row in {tmp_path}/labels.csv and are left out.",
    )


def test_unreadable_and_equal_images_are_reported_as_in_folders(tmp_path: Path) -> None:
    save_images(tmp_path, 40)
    (tmp_path / "003.png").write_bytes(b"no image")
    (tmp_path / "005.png").write_bytes((tmp_path / "004.png").read_bytes())
    table = save_table(tmp_path / "labels.csv", "file,label", [f"{n:03}.png,{animals(n)}" for n in range(40)])
    data = load_dataset(str(table))
    assert data.test is not None
    assert len(data.train) + len(data.validation) + len(data.test) == 39
    skipped, doubt = data.warnings
    assert re.search(r"1 of 40 images cannot be read and are skipped: .*003.png", skipped)
    assert re.search(r"2 files hold 1 image with different classes.*004.png", doubt)
    with pytest.raises(DataError, match=r"images must be readable, got .*003.png"):
        load_dataset(str(table), DataOptions(strict=True))
    dropped = load_dataset(str(table), DataOptions(drop_duplicates=True))
    assert dropped.test is not None
    assert len(dropped.train) + len(dropped.validation) + len(dropped.test) == 38


def test_labels_are_read_from_the_names_of_files(tmp_path: Path) -> None:
    for number in range(12):
        save_image(tmp_path / "all" / f"{animals(number)}_{number:03}.png", seed=number)
    data = load_dataset(str(tmp_path / "all"), DataOptions(label_from=r"(.+)_\d+"))
    assert data.classes == ("cat", "dog")
    assert labels_of_images(data) == {number: 1 - number % 2 for number in range(12)}
    assert "'cat' from cat_001.png" in data.notes[0]
    zipped = save_zip(tmp_path / "all", tmp_path / "all.zip")
    assert load_dataset(zipped, DataOptions(label_from=r"(?P<label>\w)[a-z]*_")).classes == ("c", "d")
    for pattern, match in (
        ("(", "must be a regular expression"),
        ("cat", "must have a group"),
        ("(cat)", "got none in .*dog_000.png"),
    ):
        with pytest.raises(DataError, match=match):
            load_dataset(zipped, DataOptions(label_from=pattern))


def test_splits_of_named_images_are_folders(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 4)):
        for number in range(count):
            save_image(tmp_path / split / f"{animals(number)}_{number}.png", seed=number)
    data = load_dataset(str(tmp_path), DataOptions(label_from="([a-z]+)_"))
    assert data.test is not None
    np.testing.assert_array_equal(data.test.y, [0, 0, 1, 1])


def test_a_folder_of_classes_is_still_one(tmp_path: Path) -> None:
    save_table(tmp_path / "labels.csv", "file,label", ["x,y"])
    assert load_dataset(str(save_class_folders(tmp_path / "pets"))).classes == ("cat", "dog")


def test_a_table_that_names_no_files_leaves_folders_of_classes_alone(tmp_path: Path) -> None:
    pets = save_class_folders(tmp_path / "pets")
    save_table(pets / "metadata.csv", "author,licence", ["me,free"])
    for source in (str(pets), save_zip(pets, tmp_path / "pets.zip")):
        data = load_dataset(source)
        assert data.classes == ("cat", "dog")
        assert any("metadata.csv has no column of files and is not used" in text for text in data.warnings)
    for header in ("file,label", "author,label"):
        save_table(pets / "metadata.csv", header, ["x.png,a", "cat/0.png,b"])
        assert_refused(str(pets), "every file of a table must exist")


def test_archives_in_a_data_set_are_refused(tmp_path: Path) -> None:
    pets = save_class_folders(tmp_path / "pets")
    inner = tmp_path / "outer" / "inner.zip"
    inner.parent.mkdir()
    save_zip(pets, inner)
    for source in (str(inner.parent), save_zip(inner.parent, tmp_path / "outer.zip")):
        assert_refused(source, "only archives in .*outer.*, such as inner.zip; unpack them")


CONTENT = b"file,label,split\n000.png,cat,train\n001.png,dog,train\n" + b"".join(
    f"{number:03}.png,{animals(number)},train\n".encode() for number in range(2, 8)
)


@settings(max_examples=MUTATIONS, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=4), st.integers(0, 3)), min_size=1, max_size=6)
)
def test_any_damaged_table_is_read_or_refused_with_one_sentence(
    changes: list[tuple[int, bytes, int]],
) -> None:
    damaged = bytearray(CONTENT)
    for place, inserted, removed in changes:
        place %= len(damaged)
        damaged[place : place + removed] = inserted
    with tempfile.TemporaryDirectory() as folder:
        save_images(Path(folder), 8)
        Path(folder, "labels.csv").write_bytes(damaged)
        assert "\n" not in refusal(folder)
