"""TFRecord files with a description of their features."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_refused, some_pixels
from PIL import Image

from nas.data import load_dataset
from nas.tensorflow_imports import import_tensorflow


def feature(value: Any) -> Any:
    tf = import_tensorflow()
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def save(path: Path, records: list[dict[str, Any]], compression: str = "") -> str:
    tf = import_tensorflow()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            features = tf.train.Features(feature={name: feature(value) for name, value in record.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())
    return str(path)


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(some_pixels(5, 6, 3, seed=seed)).save(stream, "PNG")
    return stream.getvalue()


def test_encoded_images_are_read(tmp_path: Path) -> None:
    (tmp_path / "features.yaml").write_text(
        "x: {feature: image/encoded, type: image}\ny: {feature: label, type: int64}\nclasses: [cat, dog]\n"
    )
    for split, count in (("train", 10), ("test", 4)):
        records = [{"image/encoded": png(n), "label": n % 2} for n in range(count)]
        save(tmp_path / f"{split}.tfrecord-00000-of-00001", records)
    data = load_dataset(str(tmp_path))
    assert (data.task, data.classes, data.shape) == ("classification", ("cat", "dog"), (5, 6, 3))
    assert data.test is not None
    np.testing.assert_array_equal(data.test.x[3], some_pixels(5, 6, 3, seed=3))
    np.testing.assert_array_equal(data.test.y, [0, 1, 0, 1])


def test_raw_bytes_and_lists_of_numbers_are_read(tmp_path: Path) -> None:
    (tmp_path / "features.yaml").write_text(
        "x: {feature: raw, type: uint8, shape: [5, 6, 3]}\ny: {feature: name, type: string}\n"
    )
    records = [
        {"raw": some_pixels(5, 6, 3, seed=n).tobytes(), "name": [b"dog", b"cat"][n % 2]} for n in range(12)
    ]
    data = load_dataset(save(tmp_path / "a.tfrecord.gz", records, "GZIP"))
    assert (data.classes, data.shape, data.rescale) == (("cat", "dog"), (5, 6, 3), True)
    (tmp_path / "features.yaml").write_text(
        "x: {feature: signal, type: float32, shape: [40, 2]}\ny: {feature: weight, type: float32}\n"
    )
    signals = np.random.default_rng(0).normal(size=(12, 80)).astype(np.float32)
    records = [{"signal": signals[n].tolist(), "weight": n / 8} for n in range(12)]
    data = load_dataset(save(tmp_path / "b.tfrecord", records))
    assert (data.task, data.shape, data.rescale) == ("regression", (40, 2), False)
    index = round(float(data.train.y[0, 0]) * 8)
    np.testing.assert_array_equal(data.train.x[0].ravel(), signals[index])


@pytest.mark.parametrize(
    ("description", "match"),
    [
        (None, r"must have a description .*features.yaml, got none for records of label \(int64_list\), raw"),
        ("x: [", "must be YAML"),
        ("just text", "must have the keys x and y"),
        (
            "x: {feature: raw, type: uint8, shape: [5, 6]}\ny: {feature: label, type: int64}",
            "got 90 bytes of raw",
        ),
        ("x: {feature: raw, type: uint8}\ny: {feature: label, type: int64}", "raw bytes must have a shape"),
        ("x: {feature: raw, type: image}\ny: {feature: label, type: image}", "labels must be int64"),
        ("x: {feature: image, type: image}\ny: {feature: label, type: int64}", "must have the features"),
        ("x: {feature: raw, type: image}\ny: {feature: label, type: int64}", "images must be readable"),
    ],
)
def test_records_that_do_not_fit_are_refused(tmp_path: Path, description: str | None, match: str) -> None:
    source = save(tmp_path / "a.tfrecord", [{"raw": bytes(90), "label": n % 2} for n in range(6)])
    if description is not None:
        (tmp_path / "features.yaml").write_text(description)
    assert_refused(source, match)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    source = Path(save(tmp_path / "a.tfrecord", [{"raw": bytes(90), "label": 1}] * 6))
    (tmp_path / "features.yaml").write_text(
        "x: {feature: raw, type: image}\ny: {feature: label, type: int64}\n"
    )
    content = bytearray(source.read_bytes())
    content[150] ^= 1
    source.write_bytes(content)
    assert_refused(str(source), "must be readable")
    source.write_bytes(b"")
    assert_refused(str(source), "must hold records")
