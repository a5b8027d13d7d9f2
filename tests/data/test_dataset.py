"""Data sets by name or path, options, and data sets that are saved for other processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, save_npz, some_labels, some_pixels

from nas.data import DataOptions, Dataset, Split, load_dataset
from nas.errors import InputError, RunError

ROOT = Path(__file__).parents[2]


OPEN_AND_LOAD = """
import sys
from pathlib import Path
from nas.data import Dataset, load_dataset
print(Dataset.open(Path(sys.argv[1])).fingerprint, load_dataset(sys.argv[2]).fingerprint)
"""


def test_a_saved_data_set_is_memory_mapped_and_has_one_fingerprint_in_every_process(tmp_path: Path) -> None:
    source = save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30, 3))
    loaded = load_dataset(source)
    folder = loaded.save(tmp_path / "deep" / "saved")
    opened = Dataset.open(folder)
    assert isinstance(opened.train.x, np.memmap)
    assert not opened.train.x.flags.writeable
    assert (opened.name, opened.shape, opened.classes) == ("some", loaded.shape, loaded.classes)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AND_LOAD, str(folder), source],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [loaded.fingerprint] * 2


def test_saving_replaces_a_data_set_but_no_other_content(tmp_path: Path) -> None:
    first = load_dataset(save_npz(tmp_path, x_train=some_pixels(20, 4, 4), y_train=some_labels(20)))
    second = load_dataset(first.source, DataOptions(split_seed=3))
    folder = tmp_path / "saved"
    first.save(folder)
    mapped = Dataset.open(folder)
    second.save(folder)
    assert Dataset.open(folder).fingerprint == second.fingerprint
    assert mapped.fingerprint == first.fingerprint, "a process that opened it keeps its arrays"
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "some.npz"}
    with pytest.raises(RunError, match="folder of its own"):
        first.save(tmp_path)
    assert (tmp_path / "some.npz").exists()


def test_a_full_disk_leaves_the_previous_data_set(tmp_path: Path) -> None:
    small = load_dataset(save_npz(tmp_path, x_train=some_pixels(20, 4, 4), y_train=some_labels(20)))
    split = Split(some_pixels(300, 64, 64, 1), some_labels(300))
    large = Dataset("large", "large", "classification", (64, 64, 1), ("0", "1"), split, split, None)
    small.save(tmp_path / "saved")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        for folder in ("saved", "fresh"):
            with pytest.raises(RunError, match=r"free some space or use another folder"):
                large.save(tmp_path / folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "some.npz"}
    assert Dataset.open(tmp_path / "saved").fingerprint == small.fingerprint


def test_a_damaged_saved_data_set_is_refused(tmp_path: Path) -> None:
    folder = load_dataset("digits", DataOptions(image_size=8)).save(tmp_path / "saved")
    array = folder / "validation_x.npy"
    array.write_bytes(array.read_bytes()[:500])
    with pytest.raises(RunError, match="must be complete"):
        Dataset.open(folder)
    with pytest.raises(RunError, match="must be complete"):
        Dataset.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("", "got ''; known: cifar10"),
        ("{folder}/a/b.npz", "file must exist, got .*; check the path"),
        ("mnsit", "got 'mnsit'; did you mean 'mnist'"),
        ("{folder}/some.npy", r"file must exist, got .*some\.npy; did you mean .*some\.npz"),
        ("{folder}/table.txt", "must be .npz, .zip, .csv, .*got .*table.txt"),
        ("/dev/null", "must be a regular file or a folder, got /dev/null"),
    ],
)
def test_unknown_sources_are_refused_with_one_sentence(tmp_path: Path, source: str, match: str) -> None:
    save_npz(tmp_path, x_train=some_pixels(1, 1, 1), y_train=some_labels(1))
    (tmp_path / "table.txt").write_text("a,b")
    assert_refused(source.format(folder=tmp_path), match)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"validation": 1.0}, "validation must be under 1.0, got 1.0"),
        ({"train_limit": -3}, "train_limit must be at least 1, got -3"),
        ({"train_limit": 9}, "train_limit must allow an example of each class, got 9; use 10 or more"),
        ({"split_seed": -1}, "split_seed must be at least 0, got -1"),
        ({"ignore_label": 3}, "ignore_label must be for masks, got 3"),
    ],
)
def test_impossible_options_are_refused_with_one_sentence(options: dict[str, float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        load_dataset("digits", DataOptions.parse(options))


def test_classes_are_counted_and_compared() -> None:
    def dataset(labels: list[int], task: str = "classification") -> Dataset:
        split = Split(np.zeros((len(labels), 4, 4, 1), np.uint8), np.array(labels))
        return Dataset("d", "d", task, (4, 4, 1), ("a", "b", "c"), split, split, None, 255)

    even, uneven = dataset([0, 0, 0, 1, 2]), dataset([0, 0, 0, 0, 1, 2, 255])
    assert even.count_classes(even.train).tolist() == [3, 1, 1]
    assert uneven.count_classes(uneven.train).tolist() == [4, 1, 1]
    assert (even.is_imbalanced, uneven.is_imbalanced) == (False, True)
    assert not dataset([0, 0, 0, 0, 1, 2], "segmentation").is_imbalanced


def test_the_range_of_values_is_that_of_bytes_of_scaled_floats_or_found(tmp_path: Path) -> None:
    bytes_ = load_dataset(save_npz(tmp_path, x_train=some_pixels(30, 4, 4), y_train=some_labels(30, 3)))
    assert bytes_.value_range == (0.0, 255.0)
    values = some_pixels(30, 4, 4).astype(np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    for low, high, expected in ((0.1, 0.9, (0, 1)), (-0.5, 0.5, (-1, 1)), (-2, 3, (-2, 3))):
        x = low + (high - low) * values
        found = load_dataset(save_npz(tmp_path, x_train=x, y_train=some_labels(30, 3)))
        assert found.value_range == pytest.approx(expected, abs=0.1)
