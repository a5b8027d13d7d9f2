"""Parquet files as the library `datasets` writes them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_refused, save_image, some_pixels
from PIL import Image

from nas.data import DataOptions, load_dataset
from nas.errors import DataError, InputError

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")


def encoded(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(some_pixels(5, 6, 3, seed=seed)).save(stream, "PNG")
    return stream.getvalue()


def save(path: Path, labels: list[Any], features: dict[str, Any] | None = None, **columns: list[Any]) -> str:
    """Save a file as `datasets` does: a struct of bytes and path, and a description in the metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(seed), "path": f"{seed}.png"} for seed in range(len(labels))]
    table = pa.table({"image": images, "label": labels} | columns)
    if features is not None:
        described = {"info": {"features": {"image": {"_type": "Image"}} | features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    pq.write_table(table, path)
    return str(path)


CLASS_LABEL = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}


def test_images_and_names_of_classes_are_read(tmp_path: Path) -> None:
    source = save(tmp_path / "a.parquet", [n % 2 for n in range(12)], CLASS_LABEL, id=list(range(12)))
    data = load_dataset(source)
    assert (data.task, data.classes, data.shape) == ("classification", ("cat", "dog"), (5, 6, 3))
    numbers = {some_pixels(5, 6, 3, seed=n).tobytes(): n for n in range(12)}
    for x, y in zip(data.train.x, data.train.y, strict=True):
        assert numbers[x.tobytes()] % 2 == y


@pytest.mark.parametrize("folder", ["", "data"])
def test_the_names_of_files_are_those_of_splits(tmp_path: Path, folder: str) -> None:
    for name, count in (
        ("train-00000-of-00002", 8),
        ("train-00001-of-00002", 4),
        ("validation-00000-of-00001", 4),
    ):
        save(tmp_path / folder / f"{name}.parquet", [n % 2 for n in range(count)], CLASS_LABEL)
    data = load_dataset(str(tmp_path))
    assert data.test is not None
    assert (len(data.train) + len(data.test), len(data.validation)) == (12, 4)
    np.testing.assert_array_equal(data.validation.x[3], some_pixels(5, 6, 3, seed=3))


def test_other_labels_are_read_as_in_a_table(tmp_path: Path) -> None:
    source = save(tmp_path / "a.parquet", ["a b", "b", "c"] * 4, weight=[n / 8 for n in range(12)])
    assert load_dataset(source, DataOptions(labels="multi_label")).task == "multi_label"
    assert load_dataset(source, DataOptions(label_column=("weight",))).task == "regression"
    lists = {"label": {"_type": "Sequence", "feature": CLASS_LABEL["label"]}}
    data = load_dataset(save(tmp_path / "b.parquet", [[0], [0, 1], []] * 4, lists))
    assert (data.task, data.classes) == ("multi_label", ("cat", "dog"))
    assert sorted(map(tuple, data.train.y.tolist()))[0] == (0, 0)


def test_images_may_stand_beside_the_file_but_not_outside(tmp_path: Path) -> None:
    for n in range(12):
        save_image(tmp_path / "set" / f"{n}.png", seed=n)
    save_image(tmp_path / "secret.png")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def write(paths: list[str]) -> str:
        column = pa.array([{"bytes": None, "path": path} for path in paths], image)
        table = pa.table({"image": column, "label": [n % 2 for n in range(12)]})
        pq.write_table(table, tmp_path / "set" / "a.parquet")
        return str(tmp_path / "set" / "a.parquet")

    assert load_dataset(write([f"{n}.png" for n in range(12)])).shape == (5, 6, 1)
    assert_refused(write(["../secret.png"] * 12), "below the folder of the file, got ../secret.png in row 0")


def test_unsuitable_files_are_refused_with_one_sentence(tmp_path: Path) -> None:
    source = Path(save(tmp_path / "a.parquet", [-1, 0, 1] * 4, CLASS_LABEL))
    assert_refused(str(source), "must have a label, got none in row 0")
    assert_refused(save(source, [0, 5] * 6, CLASS_LABEL), r"must be 0..1, got 0..5")
    assert_refused(save(source, [{"a": 1}] * 6), "labels must be numbers or text")
    pq.write_table(pa.table({"label": [1, 2]}), source)
    assert_refused(str(source), "one column of encoded images, got label")
    pq.write_table(pa.table({"image": [b"no image"] * 6, "label": [0, 1] * 3}), source)
    assert_refused(str(source), "images must be readable")
    source.write_bytes(source.read_bytes()[:-30])
    assert_refused(str(source), "must be readable")
    save(tmp_path / "set" / "train.parquet", [0, 1] * 6)
    save(tmp_path / "set" / "other.parquet", [0, 1] * 6)
    with pytest.raises(DataError, match=r"start with train, val or test, got .*other.parquet"):
        load_dataset(str(tmp_path / "set"))


def test_pyarrow_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "a.parquet", [0, 1] * 6)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="need pyarrow, which is not installed; pip install pyarrow"):
        load_dataset(source)
