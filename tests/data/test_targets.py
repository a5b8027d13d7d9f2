"""What labels are: classes, several classes each, numbers or masks."""

from __future__ import annotations

import numpy as np
import pytest

from nas.data.options import LabelKind
from nas.data.targets import find_targets
from nas.errors import DataError


def targets(y: object, kind: LabelKind = "auto", **names: object) -> object:
    return find_targets({"y_train": np.asarray(y)}, kind, **names)  # type: ignore[arg-type]


def encoded(found: object) -> object:
    return found.labels["y_train"].tolist()  # type: ignore[attr-defined]


def test_a_one_hot_encoding_becomes_classes_and_is_said() -> None:
    found = targets(np.eye(3, dtype=np.float32)[[2, 0, 1, 1]])
    assert (found.task, found.classes, encoded(found)) == ("classification", ("0", "1", "2"), [2, 0, 1, 1])
    assert "one-hot" in found.notes[0]
    masks = targets(np.eye(3, dtype=int)[np.array([[[0, 1], [2, 2]]] * 2)])
    assert masks.task == "segmentation"
    assert encoded(masks) == [[[0, 1], [2, 2]]] * 2


def test_several_classes_each_are_kept() -> None:
    y = [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    found = targets(y, names=("a", "b", "c"))
    assert (found.task, found.classes, encoded(found)) == ("multi_label", ("a", "b", "c"), y)
    one_each = targets(np.eye(3, dtype=int), "multi_label")
    assert (one_each.task, encoded(one_each)) == ("multi_label", np.eye(3).tolist())


@pytest.mark.parametrize(
    ("y", "shape"), [([0.5, 1.25, 3], (3, 1)), ([[0.5, 1], [1, 2.5]], (2, 2)), ([[0.5], [1.5]], (2, 1))]
)
def test_fractions_are_numbers_to_predict(y: object, shape: tuple[int, ...]) -> None:
    found = targets(y)
    labels = found.labels["y_train"]
    assert (found.task, labels.dtype, labels.shape) == ("regression", np.float32, shape)
    np.testing.assert_array_equal(labels, np.reshape(y, shape))
    assert len(found.classes) == shape[1]


def test_the_option_overrules() -> None:
    assert targets([3, 1, 3], "numbers").task == "regression"
    assert targets([3.0, 1.0, 3.0], "classes").classes == ("1", "3")
    assert encoded(targets(["a b", "b", ""], "multi_label")) == [[1, 1], [0, 1], [0, 0]]
    assert targets(["new york", "new jersey"], "classes").classes == ("new jersey", "new york")


def test_text_becomes_classes_in_the_order_of_their_names_or_numbers() -> None:
    assert targets(["dog", "cat", "dog"]).classes == ("cat", "dog")
    found = targets([b"10", b"9", b"1"])
    assert (found.classes, encoded(found)) == (("1", "9", "10"), [2, 1, 0])
    assert targets(["New York", "Los Angeles"]).task == "classification"


@pytest.mark.parametrize("values", [["a;b", "b", "c"], ["a|b", "b", "c"], ["a b", "b", "a b c", "c"]])
def test_several_labels_in_one_text_are_separated(values: list[str]) -> None:
    found = targets(values)
    assert (found.task, found.classes) == ("multi_label", ("a", "b", "c"))
    np.testing.assert_array_equal(found.labels["y_train"][0], [1, 1, 0])


@pytest.mark.parametrize(
    ("y", "kind", "match"),
    [
        ([1.0, 2.0, 3.0], "auto", "got those of y_train; use --labels numbers .*--labels classes"),
        ([[3, 1], [0, 2]], "auto", "integers 0..3.*--labels numbers"),
        ([[0.9, 0.1], [0.2, 0.8]], "auto", "probabilities.*--labels numbers"),
        ([[1, 1], [0, 1]], "classes", "one 1 in each row.*--labels multi_label"),
        ([0.5, 1.5], "classes", "must hold integers, got float64 with fractions.*--labels numbers"),
        ([1.0, np.nan, 2.5], "auto", "must be finite float32, got .nan. for example 1 of y_train"),
        ([1.0, np.inf, 2.0], "classes", "must hold integers"),
        ([0.5, 1e300], "auto", "numbers must be finite float32"),
        ([3, 1], "multi_label", "several labels must be columns of 0 and 1"),
        ([[1.5, 2.0], [1.5, 3.0]], "auto", "must vary, got only 1.5 for '0'"),
        (["big dog", "small dog", "big cat"], "auto", "may be either.*--labels classes or --labels multi"),
        (["a", "", "b"], "auto", "got none for example 1"),
        (["a", "b"], "numbers", "must be numbers, got text such as 'a'"),
        ([0, 1], "masks", "masks must be"),
        (np.zeros((2, 3, 3, 4)), "auto", "one class per pixel"),
        (np.moveaxis(np.eye(3)[np.ones((2, 4, 4), int)], -1, 1), "auto", "moveaxis.y_train, 1, -1"),
        (np.zeros((2, 4, 4, 3), np.uint8), "auto", "number the colours"),
        (np.zeros((2, 3, 3)), "auto", "must hold integers, got masks of float64"),
        (np.zeros((2, 3, 3), int), "numbers", "one or two axes"),
        (np.zeros((2, 3, 3, 3, 3)), "auto", "one label per example"),
        (np.array([0, 1], complex), "auto", "numbers or text, got complex128"),
    ],
)  # fmt: skip
def test_labels_of_doubtful_meaning_are_refused(y: object, kind: LabelKind, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        targets(y, kind)
    assert "argmax" not in str(caught.value)
    assert "; " in str(caught.value)


def test_a_label_that_training_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match="y_test must occur in y_train, got c"):
        find_targets({"y_train": np.array(["a", "b"]), "y_test": np.array(["a", "c"])})
    with pytest.raises(DataError, match="y_test must occur in y_train, got c"):
        find_targets({"y_train": np.array(["a;b", "b"]), "y_test": np.array(["a", "a;c"])})


def test_classes_without_examples_are_told() -> None:
    one_hot = targets(np.eye(3, dtype=int)[[1, 0, 1, 0]])
    assert (one_hot.classes, encoded(one_hot)) == (("0", "1"), [1, 0, 1, 0])
    assert "encoding of 2 classes" in one_hot.notes[0]
    assert one_hot.warnings == ("Classes without an example in y_train are left out: 2.",)
    named = targets([0, 2, 0, 2], names=("a", "b", "c"))
    assert (named.classes, encoded(named)) == (("a", "c"), [0, 1, 0, 1])
    assert named.warnings == ("Classes without an example in y_train are left out: b.",)
    assert not targets([0, 1, 2], names=("a", "b", "c")).warnings


def test_many_different_integers_are_doubtful() -> None:
    assert "20 different integers for 60 examples" in targets(np.arange(60) % 20).warnings[0]
    assert not targets(np.arange(60) % 4).warnings
    assert "--labels numbers" in targets(np.arange(200)).warnings[0]
    assert not targets(np.arange(200), "classes").warnings
