"""Read the arrays of an `.npz` that may be damaged or made to exhaust the memory."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import psutil

from nas.data.source import Array
from nas.data.text import one_line
from nas.errors import DataError

__all__ = ["read_npz_arrays"]

CHUNK_BYTES = 1 << 24  # read at once
MAX_HEADER = 1 << 14  # bytes of an array's header; numpy writes under 1,000
MAX_RATIO = 500  # bytes of an array of over `LARGE` bytes per compressed byte; images are under 200
LARGE = 1 << 28

READ_ERRORS = (
    OSError, EOFError, ValueError, SyntaxError, KeyError, RuntimeError, OverflowError, RecursionError,
    zipfile.BadZipFile, zlib.error, NotImplementedError,
)  # fmt: skip
"""Errors from reading a damaged archive or header. RuntimeError: encrypted; NotImplementedError: a
compression that zipfile does not support."""


def read_npz_arrays(path: Path, is_used: Callable[[str], bool]) -> tuple[dict[str, Array], list[str]]:
    """Return the arrays whose names are used, and the names of all arrays.

    Arrays of `numpy.savez` are not read but mapped, so they need no memory; those of `savez_compressed` must
    fit in the free memory. Every size that a header claims is compared with the size of the file before
    memory is allocated. Pickled objects are never loaded. Raises DataError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            if damaged := [key for key in members if one_line(key) != key]:
                raise ValueError(f"the name {one_line(damaged[0])} has control characters")
            used = {key: info for key, info in members.items() if is_used(key)}
            _check_memory(path, list(used.values()))
            return {key: _read_member(archive, info, path, key) for key, info in used.items()}, list(members)
    except DataError:
        raise
    except READ_ERRORS as error:
        reason = one_line(" ".join(str(error).split()))[:200] or type(error).__name__
        raise DataError(
            f"an .npz must be readable by numpy.load, got {path}, which is not ({reason}); write it again"
        ) from error


def _check_memory(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataError if compressed arrays would not fit in the memory, or expand as no images do."""
    compressed = [info for info in members if info.compress_type != zipfile.ZIP_STORED]
    for info in compressed:
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise NotImplementedError("its compression is not one of numpy.savez_compressed")
        if info.file_size > LARGE and info.file_size > MAX_RATIO * info.compress_size:
            raise DataError(
                f"the arrays of {path} must expand at most {MAX_RATIO}-fold, got {info.compress_size:,} "
                f"bytes that claim to be {info.file_size:,} ({info.filename}); save it with np.savez, "
                "without compression"
            )
    size, available = sum(info.file_size for info in compressed), psutil.virtual_memory().available
    if size > available:
        raise DataError(
            f"compressed arrays must fit in the free memory of {available / 2**30:.1f} GiB, got "
            f"{size / 2**30:.1f} GiB in {path}; save it with np.savez, whose arrays are not loaded"
        )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> Array:
    with archive.open(info) as stream:
        shape, fortran, dtype, offset = _read_header(stream, path, key)
        size = math.prod(shape) * dtype.itemsize
        if size != info.file_size - offset:
            raise DataError(
                f"the header of an array must claim what the file holds, got {size:,} bytes of {key} in "
                f"{path}, which holds {info.file_size - offset:,}; write it again"
            )
        order: Literal["C", "F"] = "F" if fortran else "C"
        if size == 0:
            return np.empty(shape, dtype)
        if info.compress_type == zipfile.ZIP_STORED:
            return _map_member(info, path, offset, shape, dtype, order)
        content, done = np.empty(size, np.uint8), 0
        while part := stream.read(min(CHUNK_BYTES, size - done)):
            content[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if done < size:
            raise EOFError(f"{key} ends after {done:,} of {size:,} bytes")
        array: Array = content.view(dtype).reshape(shape, order=order)
        return array


def _read_header(stream: IO[bytes], path: Path, key: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, order, type and length of the header of an .npy; raises ValueError, DataError."""
    start = stream.read(8)
    if start[:7] not in (b"\x93NUMPY\x01", b"\x93NUMPY\x02"):
        raise ValueError(f"{key} is not an array of version 1 or 2")
    length_bytes = 2 if start[6] == 1 else 4
    encoded = stream.read(length_bytes)
    length = int.from_bytes(encoded, "little")
    if length > MAX_HEADER:
        raise ValueError(f"the header of {key} claims {length:,} bytes")
    header = io.BytesIO(encoded + stream.read(length))
    read = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(header, max_header_size=MAX_HEADER)
    if dtype.hasobject:
        raise DataError(
            f"the arrays of {path} must hold plain numbers, got pickled Python objects (dtype object) in "
            f"{key}; save them with one shape and a number type, for example x.astype('uint8')"
        )
    if any(length < 0 for length in shape):
        raise ValueError(f"{key} has the shape {shape}")
    return shape, fortran, dtype, 8 + length_bytes + length


def _map_member(
    info: zipfile.ZipInfo,
    path: Path,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    order: Literal["C", "F"],
) -> Array:
    """Map an array that is stored without compression; raises ValueError if it is damaged."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(30)
        names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        start = info.header_offset + 30 + names
        file.seek(start)
        checksum, left = 0, info.file_size
        while part := file.read(min(CHUNK_BYTES, left)):
            checksum, left = zlib.crc32(part, checksum), left - len(part)
    if left or checksum != info.CRC:
        raise ValueError(f"the content of {info.filename} is damaged")
    mapped = np.memmap(path, dtype, "r", start + offset, shape, order)
    return np.asarray(mapped)
