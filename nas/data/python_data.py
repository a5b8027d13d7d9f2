"""Save data that a Python program holds as a file, so that a search of it can be resumed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.array_keys import CLASS_NAMES_KEY
from nas.data.source import Array
from nas.errors import DataError
from nas.files import output_file

__all__ = ["save_python_data"]

CHUNK = 1024  # examples of an array that are copied at once
SPLITS = {1: ("train",), 2: ("train", "test"), 3: ("train", "val", "test")}

Batches = Iterator[tuple[Array, Array]]


def save_python_data(data: Any, folder: Path) -> Path:
    """Save examples as an .npz named by its content in a folder, and return its path.

    data: a pair of arrays (x, y), a `tf.data.Dataset` or a Keras `PyDataset` of such pairs; or two of these,
    for training and test, or three, for training, validation and test. Batches are written as they come, so
    that they need not fit in memory; data that are saved already are not saved again. Raises DataError.
    """
    parts = _parts(data)
    if len(parts) not in SPLITS:
        raise DataError(
            f"data must be 1, 2 or 3 pairs (x, y), got {len(parts)}; pass training, validation and test "
            "examples"
        )
    digest = hashlib.sha256()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        packed = Path(temporary, "data.npz")
        with zipfile.ZipFile(packed, "w") as archive:
            for split, part in zip(SPLITS[len(parts)], parts, strict=True):
                labels = _write_examples(archive, f"x_{split}", _batches(part), Path(temporary), digest)
                _write_array(archive, f"y_{split}", labels, digest)
            if names := getattr(parts[0], "class_names", None):
                _write_array(archive, CLASS_NAMES_KEY, np.array([str(name) for name in names]), digest)
        target = folder / f"arrays-{digest.hexdigest()[:16]}.npz"
        if not target.exists():
            with output_file(target) as unfinished:
                packed.rename(unfinished)
    return target


def _parts(data: Any) -> Sequence[Any]:
    """Return what is given for each split."""
    if not isinstance(data, tuple | list):
        return [data]
    is_pair = len(data) == 2 and all(hasattr(part, "shape") or isinstance(part, list) for part in data)
    return [data] if is_pair else data


def _batches(part: Any) -> Batches:
    """Yield the examples and labels of one split; raises DataError if it is none of the known kinds."""
    if isinstance(part, tuple | list) and len(part) == 2:
        try:
            x, y = np.asarray(part[0]), np.asarray(part[1])
        except ValueError as error:  # a list of different shapes
            raise DataError(
                f"x and y must be arrays of one shape each, got lists ({error}); resize them"
            ) from error
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            raise DataError(
                f"x and y must be of one length, got {x.shape} and {y.shape}; pass one label per example"
            )
        return ((x[i : i + CHUNK], y[i : i + CHUNK]) for i in range(0, len(x), CHUNK))
    if hasattr(part, "element_spec"):
        return _tensor_batches(part)
    if hasattr(part, "num_batches"):
        return (_pair(part[index]) for index in range(part.num_batches))
    raise DataError(
        f"data must be a name or path, a pair of arrays (x, y), a tf.data.Dataset or a keras PyDataset, got "
        f"{type(part).__name__}; pass one of these, or save arrays with numpy.savez"
    )


def _tensor_batches(dataset: Any) -> Batches:
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and all(hasattr(part, "shape") for part in spec)):
        raise DataError(
            "a tf.data.Dataset must have elements (x, y), got others; use dataset.map(lambda ...: (x, y)), "
            "without sample weights"
        )
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise DataError("a tf.data.Dataset must end, got one that repeats; omit repeat(), or use take(N)")
    x, y = (part.shape for part in spec)
    # image_dataset_from_directory and batch() leave the first length open, drop_remainder makes both equal.
    is_batched = y.rank != 0 and (x.rank is None or x[:1] == y[:1] or x[0] is None)
    for some_x, some_y in dataset.as_numpy_iterator():
        if is_batched and np.ndim(some_y) > 0:
            yield some_x, some_y
        else:
            yield np.asarray(some_x)[np.newaxis], np.asarray(some_y)[np.newaxis]


def _pair(batch: Any) -> tuple[Array, Array]:
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise DataError("a batch of a PyDataset must be a pair (x, y), got another; omit sample weights")
    return np.asarray(batch[0]), np.asarray(batch[1])


def _write_examples(
    archive: zipfile.ZipFile, key: str, batches: Iterable[tuple[Array, Array]], folder: Path, digest: Any
) -> Array:
    """Write the examples of all batches as one array, and return their labels."""
    labels: list[Array] = []
    shape: tuple[int, ...] = ()
    dtype, count = np.dtype(np.uint8), 0
    with tempfile.TemporaryFile(dir=folder) as raw:
        for x, y in batches:
            if not labels:
                shape, dtype = x.shape[1:], x.dtype
            if x.dtype.kind not in "iubf" or x.shape[1:] != shape or x.dtype != dtype or len(x) != len(y):
                raise DataError(
                    "batches must be numbers of one shape and type with a label for each example, got "
                    f"{x.dtype} {x.shape} with {len(y)} labels after {dtype} {shape}; resize or convert them"
                )
            content = np.ascontiguousarray(x)
            raw.write(content.data)
            digest.update(content.data)
            labels.append(_plain(y))
            count += len(x)
        if not count:
            raise DataError(f"data must hold examples, got none for {key}; check the data set")
        raw.seek(0)
        with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(raw, member, 1 << 24)
    digest.update(f"{key} {dtype.str} {(count, *shape)}".encode())
    return np.concatenate(labels)


def _plain(y: Array) -> Array:
    """Return labels without Python objects: TensorFlow yields text as bytes in an object array."""
    if y.dtype.kind != "O":
        return y
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in y.ravel()]
    if not all(isinstance(value, str) for value in values):
        raise DataError(f"labels must be numbers or text, got {type(values[0]).__name__}; convert them")
    return np.array(values).reshape(y.shape)


def _write_array(archive: zipfile.ZipFile, key: str, array: Array, digest: Any) -> None:
    with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
