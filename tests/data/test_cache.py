"""The cache of decoded data sets: found again, invalidated, shared between processes, emptied."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, save_class_folders, save_image, save_npz, some_labels, some_pixels

import nas.data.loading
import nas.data.storing
from nas.data import DataOptions, Dataset, Split, clean_cache, load_dataset
from nas.data.cache import content_key
from nas.errors import InputError, RunError
from nas.files import lock_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that were read and not found in the cache."""
    paths: list[Path] = []
    original = nas.data.loading.read_path

    def counted(path: Path, options: DataOptions) -> object:
        paths.append(path)
        return original(path, options)

    monkeypatch.setattr(nas.data.loading, "read_path", counted)
    return paths


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "data").iterdir())


def test_the_second_load_reads_nothing_and_is_memory_mapped(
    tmp_path: Path, cache: Path, reads: list[Path]
) -> None:
    source = str(save_class_folders(tmp_path / "pets"))
    first, second = load_dataset(source), load_dataset(source)
    assert len(reads) == len(entries(cache)) == 1
    assert isinstance(second.train.x, np.memmap)
    assert first.folder == second.folder == entries(cache)[0]
    np.testing.assert_array_equal(first.train.x, second.train.x)
    fields = ("fingerprint", "name", "source", "classes", "notes", "warnings", "feeding", "shape")
    assert [getattr(first, name) for name in fields] == [getattr(second, name) for name in fields]


def test_other_content_or_options_are_read_anew(tmp_path: Path, reads: list[Path]) -> None:
    folder = save_class_folders(tmp_path / "pets")
    source = str(folder)
    load_dataset(source)
    file = folder / "cat" / "0.png"
    times = file.stat()
    size = times.st_size
    content = file.read_bytes()
    file.write_bytes(content[:-20] + bytes(20))  # of one size, with its old time of change
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == size
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    with pytest.raises(InputError, match="must be readable"):
        load_dataset(source)
    file.write_bytes(content)
    load_dataset(source)
    save_image(folder / "dog" / "new.png")
    data = load_dataset(source)
    assert data.test is not None
    assert len(data.train) + len(data.validation) + len(data.test) == 11
    (folder / ".hidden").write_text("not part of the data")
    for options in (DataOptions(), DataOptions(split_seed=1), DataOptions(image_size=9), DataOptions()):
        load_dataset(source, options)
    assert len(reads) == 4 + 2


def test_files_beside_the_data_may_belong_to_it(tmp_path: Path) -> None:
    folder = save_class_folders(tmp_path / "pets")
    table, packed = tmp_path / "labels.csv", folder / "rows.parquet"
    packed.write_text("rows")

    def keys() -> list[str]:
        return [content_key(path, path.name, DataOptions()) for path in (folder, packed, table)]

    table.write_text("file,label")
    before = keys()
    assert len(set(before)) == 3
    table.write_text("file,label,split")
    assert [old == new for old, new in zip(before, keys(), strict=True)] == [False, True, False]
    before = keys()
    save_image(folder / "dog" / "new.png")
    assert not set(before) & set(keys())


def test_the_fingerprint_is_that_of_the_arrays_and_is_kept(tmp_path: Path) -> None:
    loaded = load_dataset(save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30, 3)))
    parts = {name: getattr(loaded, name) for name in ("train", "validation", "test")}
    same = Dataset("x", "y", loaded.task, loaded.shape, loaded.classes, **parts)
    assert same.saved_fingerprint == ""
    assert loaded.saved_fingerprint == same.fingerprint
    other = replace(loaded, train=Split(np.asarray(loaded.train.x)[::-1], loaded.train.y))
    assert other.fingerprint != loaded.fingerprint
    np.testing.assert_array_equal(Dataset.open(other.save(tmp_path / "other")).train.x, other.train.x)


def test_a_copy_for_workers_is_linked_and_survives_the_cache(tmp_path: Path, cache: Path) -> None:
    loaded = load_dataset(save_npz(tmp_path, x_train=some_pixels(30, 40, 40), y_train=some_labels(30)))
    copy = loaded.save(tmp_path / "scratch")
    assert (copy / "train_x.npy").stat().st_ino == (entries(cache)[0] / "train_x.npy").stat().st_ino
    cleaned = clean_cache()
    assert (cleaned.data_sets, cleaned.busy, cleaned.folder) == (1, 0, cache)
    assert cleaned.freed_bytes < 5000, "the arrays are linked, so only the record is freed"
    assert entries(cache) == []
    assert Dataset.open(copy).fingerprint == loaded.fingerprint
    assert len(loaded.train.y) == loaded.count_classes(loaded.train).sum() > 15, "it is still mapped"
    again = loaded.save(tmp_path / "again")  # from the arrays that it has open
    np.testing.assert_array_equal(Dataset.open(again).train.x, Dataset.open(copy).train.x)
    load_dataset(loaded.source)
    assert clean_cache().freed_bytes > 30 * 1600


def test_cleaning_keeps_what_is_being_written(tmp_path: Path, cache: Path) -> None:
    load_dataset(save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30)))
    lock = lock_file(cache / "locks" / entries(cache)[0].name)
    assert (clean_cache().data_sets, clean_cache().busy) == (0, 1)
    lock.release()
    assert (clean_cache().data_sets, clean_cache().busy) == (1, 0)
    shutil.rmtree(cache)
    assert clean_cache().data_sets == 0


def test_a_damaged_entry_and_the_rest_of_a_killed_process_are_replaced(tmp_path: Path, cache: Path) -> None:
    source = save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30))
    fingerprint = load_dataset(source).fingerprint
    (entry,) = entries(cache)
    (entry / "validation_x.npy").write_bytes(b"damaged")
    (cache / "data" / f".unfinished-{entry.name}").mkdir()
    (cache / "data" / f".unfinished-{entry.name}" / "train_x.npy").write_bytes(b"half")
    assert load_dataset(source).fingerprint == fingerprint
    assert entries(cache) == [entry]


def test_two_processes_read_the_same_data_once(tmp_path: Path, cache: Path) -> None:
    source = str(save_class_folders(tmp_path / "pets", count=200))
    program = (
        "import sys, nas.data.loading as loading\n"
        "original = loading.read_path\n"
        "loading.read_path = lambda *arguments: (print('read'), original(*arguments))[1]\n"
        "print(loading.load_dataset(sys.argv[1]).fingerprint)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, source], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    words = sorted(word for process in running for word in process.communicate()[0].split())
    assert [process.returncode for process in running] == [0, 0]
    assert words.count("read") == 1
    assert len(set(words)) == 2, "one fingerprint"
    assert len(entries(cache)) == 1


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    source = save_npz(tmp_path, x_train=some_pixels(300, 64, 64), y_train=some_labels(300))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"in the cache .*/cache, got 'the disk is full'; free some"):
            load_dataset(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    source = save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30))
    with pytest.raises(InputError, match=r"cache folder must be writable, got .*/file: .*; set NAS_CACHE"):
        load_dataset(source)


def test_a_cache_among_the_data_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_class_folders(tmp_path / "pets")
    for place in (folder / "some" / "cache", folder):
        monkeypatch.setenv("NAS_CACHE", str(place))
        with pytest.raises(InputError, match=r"must be outside the data, got .*; set NAS_CACHE to another"):
            load_dataset(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["cat", "dog"]
    monkeypatch.setenv("NAS_CACHE", str(folder / ".cache"))  # hidden folders are not read
    assert len(load_dataset(str(folder)).classes) == 2


def test_the_cache_is_in_the_folder_for_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert clean_cache().folder == tmp_path / "xdg" / "nas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clean_cache().folder == tmp_path / ".cache" / "nas"


def test_data_that_change_while_they_are_read_are_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_class_folders(tmp_path / "pets")
    original = nas.data.loading.read_path

    def slow(path: Path, options: DataOptions) -> object:
        source = original(path, options)
        save_image(folder / "cat" / "new.png", seed=9)
        return source

    monkeypatch.setattr(nas.data.loading, "read_path", slow)
    assert_refused(str(folder), "must not change while they are read, but files of .*pets have; try again")
    assert entries(cache) == []


def test_progress_is_told_in_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas.data.storing, "PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    load_dataset(str(save_class_folders(tmp_path / "pets")), progress=lines.append)
    assert len(lines) == 3, "a chunk of each split"
    assert lines[-1].startswith("Reading pets: 10 of 10 examples, ")
    assert lines[-1].endswith(" a second, 0 s left")
