"""Image data sets in Parquet files, as Hugging Face stores them: columns of encoded images and of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.label_table import choose_columns
from nas.data.labelled_images import source_from_images
from nas.data.options import DataOptions
from nas.data.packed_images import PackedImages
from nas.data.shards import find_shards
from nas.data.source import Array, Source
from nas.errors import DataError, InputError

__all__ = ["read_parquet"]

BATCH = 256  # rows that are read at once
MAX_CLASSES = 100_000


def read_parquet(path: Path, options: DataOptions) -> Source:
    """Read one Parquet file, or a folder of those of each split.

    The names of classes are those of the schema's ClassLabel. Raises DataError; InputError if pyarrow is not
    installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("Parquet files need pyarrow, which is not installed; pip install pyarrow") from error
    packed = PackedImages()
    labels: dict[str, Array] = {}
    files: dict[str, list[str]] = {}
    columns: tuple[str, ...] = ()
    features: dict[str, Any] = {}
    for split, shards in find_shards(path, (".parquet",)).items():
        rows: list[Any] = []
        files[split] = []
        for shard in shards:
            try:
                with pq.ParquetFile(shard) as file:
                    schema = file.schema_arrow
                    features = _features(schema.metadata or {})
                    image_column = _image_column(schema, features, shard)
                    others = [name for name in schema.names if name != image_column]
                    columns = choose_columns(
                        others, options.label_column or _class_columns(features), str(shard)
                    )
                    for image, label in _rows(file, image_column, columns):
                        name = f"{shard.name}/{len(rows):09}.png"
                        packed.add(name, _content(image, shard, len(rows)))
                        files[split].append(name)
                        rows.append(label)
            except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
                reason = " ".join(str(error).split())[:200]
                raise DataError(
                    f"a Parquet file must be readable, got {shard}, which is not ({reason}); download it "
                    "again"
                ) from error
        labels[split] = _label_array(rows, features, columns, shards[0])
    names = _class_names(features, columns[0]) if len(columns) == 1 else ()
    note = f"Images and labels ({' and '.join(columns)}) are read from Parquet files."
    return source_from_images(
        packed.tree(str(path)), files, labels, options, class_names=names, columns=columns, notes=(note,)
    )


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """Return the description of the columns that the library `datasets` writes, empty if there is none."""
    if b"huggingface" not in metadata:
        return {}
    described = json.loads(metadata[b"huggingface"])
    features = described.get("info", {}).get("features", {}) if isinstance(described, dict) else {}
    return features if isinstance(features, dict) else {}


def _image_column(schema: Any, features: dict[str, Any], shard: Path) -> str:
    """Return the column of images: an Image feature, else a struct of bytes or binary values."""
    described = [name for name, feature in features.items() if _kind(feature) == "Image"]
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    found = [name for name in described if name in kinds] or [
        name for name, kind in kinds.items() if kind.startswith(("binary", "large_binary", "struct<bytes"))
    ]
    if len(found) != 1:
        shown = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise DataError(
            f"a Parquet file must have one column of encoded images, got {shown} in {shard}; keep one"
        )
    return found[0]


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _class_columns(features: dict[str, Any]) -> tuple[str, ...]:
    """Return the one column of classes that is described, else none."""
    found = tuple(name for name, feature in features.items() if _label_feature(feature))
    return found if len(found) == 1 else ()


def _label_feature(feature: Any) -> dict[str, Any] | None:
    """Return the ClassLabel of a column or of the lists in it."""
    if _kind(feature) in ("Sequence", "List", "LargeList"):
        feature = feature.get("feature")
    elif isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    return feature if _kind(feature) == "ClassLabel" else None


def _class_names(features: dict[str, Any], column: str) -> tuple[str, ...]:
    label = _label_feature(features.get(column))
    return tuple(map(str, label.get("names") or ())) if label else ()


def _rows(file: Any, image_column: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield the image and the label, or the tuple of labels, of each row."""
    for batch in file.iter_batches(BATCH, columns=[image_column, *columns]):
        images = batch.column(image_column).to_pylist()
        labels = [batch.column(column).to_pylist() for column in columns]
        yield from zip(images, labels[0] if len(labels) == 1 else zip(*labels, strict=True), strict=True)


def _content(image: Any, shard: Path, row: int) -> bytes:
    """Return the encoded image of a cell; raises DataError."""
    content = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(content, bytes) and content:
        return content
    path = image.get("path") if isinstance(image, dict) else None
    if isinstance(path, str) and path:
        file, folder = (shard.parent / path).resolve(), shard.parent.resolve()
        if file.is_relative_to(folder) and file.is_file():
            return file.read_bytes()
    raise DataError(
        f"every row must hold an encoded image, or its path below the folder of the file, got "
        f"{path or 'none'} in row {row} of {shard}; embed the images"
    )


def _label_array(rows: list[Any], features: dict[str, Any], columns: tuple[str, ...], shard: Path) -> Array:
    """Return labels (n,), (n, columns), or (n, classes) 0 or 1 for lists of classes; raises DataError."""
    if not rows:
        raise DataError(f"a Parquet file must hold rows, got none in {shard}; remove it")
    if len(columns) == 1 and isinstance(rows[0], list) and (names := _class_names(features, columns[0])):
        encoded = np.zeros((len(rows), len(names)), np.uint8)
        for row, classes in enumerate(rows):
            if not all(isinstance(value, int) and 0 <= value < len(names) for value in classes):
                raise DataError(
                    f"labels must be 0..{len(names) - 1}, got {classes} in row {row} of {shard}; correct it"
                )
            encoded[row, classes] = 1
        return encoded
    missing = [row for row, label in enumerate(rows) if label is None or (label == -1 and features)]
    if missing:
        raise DataError(
            f"every row must have a label, got none in row {missing[0]} of {shard}; remove such rows, or "
            "the file if its split has no labels"
        )
    array = np.array(rows)
    if array.dtype.kind == "O":
        raise DataError(f"labels must be numbers or text, got {rows[0]!r:.60} in {shard}; convert the column")
    return array
