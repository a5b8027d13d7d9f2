"""Examples that a Python program holds are saved, so that a search of them can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import some_labels, some_pixels

from nas.data import DataOptions, load_dataset, save_python_data
from nas.errors import DataError
from nas.tensorflow_imports import import_keras, import_tensorflow

X, Y = some_pixels(20, 6, 7, 3), some_labels(20)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def test_a_pair_is_the_training_examples(tmp_path: Path) -> None:
    for data in ((X, Y), [X, Y], (list(X), Y.tolist()), ((X, Y),)):
        path = save_python_data(data, tmp_path)
        saved = arrays_of(path)
        assert list(saved) == ["x_train", "y_train"]
        np.testing.assert_array_equal(saved["x_train"], X)
        np.testing.assert_array_equal(saved["y_train"], Y)
    assert list(tmp_path.iterdir()) == [path], "equal data is saved once"
    assert load_dataset(str(path), DataOptions()).shape == (6, 7, 3)
    assert save_python_data((X, 1 - Y), tmp_path) != path


def test_two_and_three_pairs_are_splits(tmp_path: Path) -> None:
    pair = (X[:8], Y[:8])
    two = load_dataset(str(save_python_data(((X, Y), pair), tmp_path)))
    three = load_dataset(str(save_python_data([(X, Y), pair, (X[:6], Y[:6])], tmp_path)))
    assert two.test is not None
    assert three.test is not None
    assert (len(two.train) + len(two.validation), len(two.test)) == (20, 8)
    assert (len(three.train), len(three.validation), len(three.test)) == (20, 8, 6)


@pytest.mark.parametrize("batch", [0, 8])
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_a_tensorflow_dataset_is_saved_in_its_order(tmp_path: Path, batch: int, drop_remainder: bool) -> None:
    tf = import_tensorflow()
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    dataset = dataset.batch(batch, drop_remainder=drop_remainder) if batch else dataset
    count = 16 if batch and drop_remainder else 20
    saved = arrays_of(save_python_data(dataset, tmp_path))
    np.testing.assert_array_equal(saved["x_train"], X[:count])
    np.testing.assert_array_equal(saved["y_train"], Y[:count])


def test_a_tensorflow_dataset_may_have_text_and_one_hot_labels(tmp_path: Path) -> None:
    tf = import_tensorflow()
    names = np.array(["dog", "cat"])[Y]
    text = tf.data.Dataset.from_tensor_slices((X, names)).batch(6)
    assert load_dataset(str(save_python_data(text, tmp_path))).classes == ("cat", "dog")
    one_hot = tf.data.Dataset.from_tensor_slices((X, np.eye(2, dtype=np.float32)[Y]))
    assert arrays_of(save_python_data(one_hot, tmp_path))["y_train"].shape == (20, 2)
    one_hot.class_names = ["cat", "dog"]
    assert load_dataset(str(save_python_data((one_hot, one_hot), tmp_path))).classes == ("cat", "dog")


def test_a_keras_dataset_is_saved(tmp_path: Path) -> None:
    keras = import_keras()

    class Batches(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            some = slice(5 * index, 5 * index + 5)
            return X[some], Y[some]

    saved = arrays_of(save_python_data((Batches(), (X[:4], Y[:4])), tmp_path))
    np.testing.assert_array_equal(saved["x_train"], X)
    np.testing.assert_array_equal(saved["x_test"], X[:4])


def endless() -> Any:
    return import_tensorflow().data.Dataset.from_tensor_slices((X, Y)).repeat()


def unlabelled() -> Any:
    return import_tensorflow().data.Dataset.from_tensor_slices(X)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (lambda: (X, Y[:3]), r"one length, got \(20, 6, 7, 3\) and \(3,\)"),
        (lambda: (X, 3), r"a pair of arrays .* got ndarray"),
        (lambda: (X[:0], Y[:0]), "must hold examples"),
        (lambda: 42, "got int; pass one of these"),
        (lambda: {"x": X}, "got dict"),
        (lambda: ((X, Y),) * 4, "1, 2 or 3 pairs .*, got 4"),
        (lambda: (np.array([None] * 20), Y), "numbers of one shape and type"),
        (lambda: (X, np.array([None] * 20)), "numbers or text, got NoneType"),
        (lambda: ([X[0], X[0, :3]], [0, 1]), "arrays of one shape each"),
        (endless, "must end, got one that repeats"),
        (unlabelled, r"elements \(x, y\)"),
    ],
)
def test_unsuitable_data_is_refused_and_nothing_stays(tmp_path: Path, data: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        save_python_data(data(), tmp_path)
    assert not list(tmp_path.iterdir())
