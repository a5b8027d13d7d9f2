"""Archives of arrays that are damaged, or made to exhaust the memory."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, refusal, save_npz, shared_case, some_labels, some_pixels
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import load_dataset
from nas.errors import DataError

MUTATIONS = int(os.environ.get("NAS_FUZZ", "200"))
"""Number of damaged files that are read."""


def header(shape: object, dtype: str = "|u1") -> bytes:
    """Return the header of an .npy that claims a shape."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def save_raw(path: Path, x_train: bytes, compression: int = zipfile.ZIP_STORED) -> str:
    """Save an .npz whose x_train has any content."""
    labels = io.BytesIO()
    np.save(labels, some_labels(20))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x_train.npy", x_train)
        archive.writestr("y_train.npy", labels.getvalue())
    return str(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(20, 10**6, 10**6), (10**18, 8, 8), (20, 8, 9), (20, 8, 7)])
def test_a_header_that_claims_other_than_the_file_holds_is_refused_at_once(
    tmp_path: Path, shape: tuple[int, ...], compression: int
) -> None:
    source = save_raw(tmp_path / "a.npz", header(shape) + bytes(20 * 64), compression)
    tracemalloc.start()
    assert_refused(source, "must claim what the file holds")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_an_array_that_expands_as_no_images_do_is_refused_before_it_is_read(tmp_path: Path) -> None:
    shape = (20, 4096, 4096)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w") as member:
            member.write(header(shape))
            for _ in range(20):
                member.write(bytes(4096 * 4096))
        with archive.open("y_train.npy", "w") as member:
            np.lib.format.write_array(member, some_labels(20))
    assert (tmp_path / "a.npz").stat().st_size < 10**6
    tracemalloc.start()
    assert_refused(str(tmp_path / "a.npz"), "expand at most 500-fold")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_compressed_arrays_must_fit_in_the_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=some_pixels(20, 8, 8), y_train=some_labels(20))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    assert_refused(str(path), "fit in the free memory")
    load_dataset(save_npz(tmp_path, x_train=some_pixels(20, 8, 8), y_train=some_labels(20)))


def test_arrays_without_compression_are_not_read_into_memory(tmp_path: Path) -> None:
    x = np.zeros((64, 512, 512, 3), np.uint8)
    x[:, ::2] = 255
    source = save_npz(tmp_path, x_train=x, y_train=some_labels(64))
    from nas.data.npz_file import read_npz_arrays

    tracemalloc.start()
    arrays, _ = read_npz_arrays(Path(source), lambda key: True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes
    np.testing.assert_array_equal(arrays["x_train"], x)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "readable by numpy.load"),
        (b"not an array", "readable by numpy.load"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "readable by numpy.load.*claims 4,294,967,295"),
        (header((20, -1)), "readable by numpy.load"),
        (header("twenty"), "readable by numpy.load"),
        (header((20, 2), "|O") + bytes(320), "pickled Python objects"),
        (header((20, 2), [("a", "u1")]) + bytes(40), "numbers"),
        (header((20, 2), "no type"), "readable by numpy.load"),
    ],
)
def test_a_damaged_header_is_refused_with_one_sentence(tmp_path: Path, content: bytes, match: str) -> None:
    assert_refused(save_raw(tmp_path / "a.npz", content), match)


def test_a_byte_that_changed_in_an_uncompressed_array_is_noticed(tmp_path: Path) -> None:
    path = Path(save_npz(tmp_path, x_train=some_pixels(20, 40, 40), y_train=some_labels(20)))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert_refused(str(path), "readable by numpy.load.*x_train.npy is damaged")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    for name in ("a.npz", "a.csv", "a.zip", "a.parquet", "a.tfrecord"):
        os.mkfifo(tmp_path / name)
        assert_refused(str(tmp_path / name), "must be a regular file or a folder")


def saved(compressed: bool) -> bytes:
    stream = io.BytesIO()
    arrays = {"x_train": some_pixels(12, 4, 5, 3), "y_train": some_labels(12)}
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


VALID = [saved(False), saved(True)]


@settings(max_examples=MUTATIONS, deadline=None, database=None)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6),
    st.integers(0, 2000),
)
def test_any_damaged_archive_is_read_or_refused_with_one_sentence(
    content: bytes, changes: list[tuple[int, bytes]], cut: int
) -> None:
    damaged = bytearray(content)
    for place, replacement in changes:
        place %= len(damaged)
        damaged[place : place + len(replacement)] = replacement
    if cut < len(damaged) // 4:
        del damaged[-cut - 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        path.write_bytes(damaged)
        assert "\n" not in refusal(str(path))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("x_train", "y_train"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("test_images", "test_labels")),
        (("images", "labels"), None),
        (("x", "y"), None),
        (("X", "Y"), None),
        (("data", "target"), None),
        (("X_train", "y_training"), ("testing_data", "target_test")),
    ],
)
def test_the_usual_names_of_arrays_are_known(
    tmp_path: Path, train: tuple[str, str], test: tuple[str, str] | None
) -> None:
    x, y = some_pixels(20, 8, 8), np.array(["dog", "cat"])[some_labels(20)][:, None]
    arrays = {train[0]: x, train[1]: y} | ({} if test is None else {test[0]: x[:6], test[1]: y[:6]})
    data = load_dataset(save_npz(tmp_path, notes=np.arange(3), **arrays))
    assert data.classes == ("cat", "dog")
    assert data.test is not None
    assert len(data.test) == (4 if test is None else 6)
    assert any("not used: notes" in note for note in data.notes)


def test_the_names_of_medmnist_are_known() -> None:
    data = load_dataset(shared_case("npz_medmnist_keys"))
    assert (data.shape, len(data.classes)) == ((24, 24, 1), 4)
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (400, 40, 40)


def test_two_arrays_for_one_purpose_are_refused(tmp_path: Path) -> None:
    x, y = some_pixels(20, 8, 8), some_labels(20)
    with pytest.raises(DataError, match="one array for each purpose, got x and x_train"):
        load_dataset(save_npz(tmp_path, x=x, x_train=x, y_train=y))


def test_names_of_classes_may_be_in_the_file(tmp_path: Path) -> None:
    arrays = {"x": some_pixels(20, 8, 8), "y": some_labels(20)}
    data = load_dataset(save_npz(tmp_path, class_names=np.array(["cat", "dog"]), **arrays))
    assert data.classes == ("cat", "dog")
    with pytest.raises(DataError, match=r"must be 0..0, got 0..1"):
        load_dataset(save_npz(tmp_path, class_names=np.array(["cat"]), **arrays))


def test_control_characters_do_not_reach_messages_or_names_of_classes(tmp_path: Path) -> None:
    x = some_pixels(20, 8, 8)
    assert_refused(
        save_npz(tmp_path, x=x, y=np.array(["a\nb", "c"])[some_labels(20)]), "control characters, got 'a.b'"
    )
    assert_refused(save_npz(tmp_path, **{"x": x, "y\n": some_labels(20)}), "readable.*control characters")
