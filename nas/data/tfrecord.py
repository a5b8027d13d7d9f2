"""TFRecord files of examples, read with TensorFlow by a description of their features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import ConfigDict, Field

from nas.architecture import Part, validate_part
from nas.data.arrays import source_from_arrays
from nas.data.labelled_images import source_from_images
from nas.data.options import DataOptions
from nas.data.packed_images import PackedImages
from nas.data.shards import find_shards
from nas.data.source import Array, Source
from nas.errors import DataError
from nas.tensorflow_imports import import_tensorflow

__all__ = ["DESCRIPTION", "TFRECORD_SUFFIXES", "read_tfrecord"]

TFRECORD_SUFFIXES = (".tfrecord", ".tfrecords")
DESCRIPTION = "features.yaml"  # beside the files

Length = Annotated[int, Field(ge=1)]


class Feature(Part):
    """One feature of the records."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)  # YAML has no tuples

    feature: str
    """Its name in the records."""
    type: Literal["image", "uint8", "int64", "float32", "string"]
    """`image`: an encoded image; `uint8`: raw bytes; else a list of numbers, or one string."""
    shape: tuple[Length, ...] = ()
    """Shape of one example, for raw bytes and lists."""


class Description(Part):
    """The features that are read."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)

    x: Feature
    """The example."""
    y: Feature
    """Its label."""
    classes: tuple[str, ...] = ()
    """Names of the classes by their number."""


def read_tfrecord(path: Path, options: DataOptions) -> Source:
    """Read one TFRecord file, or a folder of those of each split, with `features.yaml` beside them.

    Raises DataError.
    """
    splits = find_shards(path, TFRECORD_SUFFIXES)
    description = _read_description(splits["train"][0])
    packed, is_encoded = PackedImages(), description.x.type == "image"
    files: dict[str, list[str]] = {}
    arrays: dict[str, Array] = {}
    for split, shards in splits.items():
        files[split], xs, ys = [], [], []
        for number, (x, y) in enumerate(_records(shards, description)):
            if is_encoded:
                files[split].append(f"{split}/{number:09}.png")
                packed.add(files[split][-1], x)
            else:
                xs.append(_to_array(x, description.x))
            ys.append(_to_array(y, description.y))
        if not ys:
            raise DataError(f"a TFRecord file must hold records, got none in {shards[0]}; remove it")
        arrays |= {f"y_{split}": np.stack(ys), **({} if is_encoded else {f"x_{split}": np.stack(xs)})}
    note = f"Examples are read from feature {description.x.feature}, labels from {description.y.feature}."
    if is_encoded:
        return source_from_images(
            packed.tree(str(path)),
            files,
            {split: arrays[f"y_{split}"] for split in files},
            options,
            class_names=description.classes,
            notes=(note,),
        )
    return source_from_arrays(
        arrays, {split: (f"x_{split}", f"y_{split}") for split in files}, description.classes, options
    )


def _read_description(shard: Path) -> Description:
    """Read the description beside a file; raises DataError, which lists the features if there is none."""
    path = shard.parent / DESCRIPTION
    if not path.is_file():
        raise DataError(
            f"a TFRecord must have a description {path}, got none for records of "
            f"{_list_features(shard) or 'no features'}; write x: {{feature: NAME, type: image}} and "
            "y: {feature: NAME, type: int64}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} must be YAML, got {' '.join(str(error).split())[:200]}; correct it"
        ) from error
    if not isinstance(values, dict):
        raise DataError(f"{path} must have the keys x and y, got {values!r:.60}; write them")
    description = validate_part(Description, values, "")
    for feature in (description.x, description.y):
        if feature.type == "uint8" and not feature.shape:
            raise DataError(f"raw bytes must have a shape, got none for {feature.feature} in {path}; add it")
    if description.y.type in ("image", "uint8"):
        raise DataError(
            f"labels must be int64, float32 or string, got {description.y.type} in {path}; correct it"
        )
    return description


def _list_features(shard: Path) -> str:
    tf = import_tensorflow()
    record = next(_read_raw([shard]), None)
    if record is None:
        return ""
    features = tf.train.Example.FromString(record).features.feature
    return ", ".join(f"{name} ({features[name].WhichOneof('kind')})" for name in sorted(features))


def _read_raw(shards: list[Path]) -> Iterator[bytes]:
    """Yield the records of files; raises DataError for damaged ones."""
    tf = import_tensorflow()
    for shard in shards:
        compression = "GZIP" if shard.suffix == ".gz" else ""
        try:
            yield from tf.data.TFRecordDataset(str(shard), compression).as_numpy_iterator()
        except tf.errors.OpError as error:
            reason = " ".join(str(error.message).split())[:150]
            raise DataError(
                f"a TFRecord must be readable, got {shard}, which is not ({reason}); write it again"
            ) from error


def _records(shards: list[Path], description: Description) -> Iterator[tuple[Any, Any]]:
    """Yield the values of x and y of each record; raises DataError for one without them."""
    tf = import_tensorflow()
    specs = {feature.feature: _spec(tf, feature) for feature in (description.x, description.y)}
    for number, record in enumerate(_read_raw(shards)):
        try:
            values = tf.io.parse_single_example(record, specs)
        except tf.errors.InvalidArgumentError as error:
            reason = " ".join(str(error.message).split())[-150:]
            raise DataError(
                f"every record must have the features of {DESCRIPTION}, got record {number} of "
                f"{shards[0].parent}, which does not fit ({reason}); correct the description"
            ) from error
        yield values[description.x.feature].numpy(), values[description.y.feature].numpy()


def _spec(tf: Any, feature: Feature) -> Any:
    if feature.type in ("image", "uint8", "string"):
        return tf.io.FixedLenFeature([], tf.string)
    return tf.io.FixedLenFeature(list(feature.shape), tf.as_dtype(feature.type))


def _to_array(value: Any, feature: Feature) -> Array:
    if feature.type != "uint8":
        return np.asarray(value)
    if len(value) != math.prod(feature.shape):
        raise DataError(
            f"raw bytes must have the shape of {DESCRIPTION}, got {len(value):,} bytes of "
            f"{feature.feature} for {feature.shape}; correct the shape"
        )
    return np.frombuffer(value, np.uint8).reshape(feature.shape)
