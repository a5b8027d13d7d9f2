"""Find out what labels are - classes, several classes each, numbers or masks - and number the classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.data.folder_names import sorted_names
from nas.data.options import LabelKind
from nas.data.source import Array, Task
from nas.data.text import one_line
from nas.errors import DataError

__all__ = ["Targets", "find_targets", "squeeze_labels"]

MANY_CLASSES = 100  # of integer labels, from which on they may be numbers
SOME_CLASSES, FEW_EXAMPLES = 10, 10  # so many classes of so few examples on average may be numbers too
MAX_WHOLE = 2.0**53  # up to which floating-point numbers are exact integers
MANY_VALUES = 500  # that are compared with each other
SEPARATORS = re.compile(r"[;|]")
ALL_SEPARATORS = re.compile(r"[;|,\s]")

Labels = Mapping[str, Array]
"""Labels by the name of their array or split; the first one is of the training examples."""


@dataclass(frozen=True)
class Targets:
    """Labels as a network is trained with them."""

    task: Task
    classes: tuple[str, ...]  # names of the classes or numbers; empty for masks
    labels: Labels  # (n,) classes, (n, classes) 0 or 1, (n, numbers) float32, or masks as they are
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    may_be_numbers: bool = False  # whether the classes are integers whose meaning was inferred


def find_targets(
    labels: Labels, kind: LabelKind = "auto", names: Sequence[str] = (), columns: Sequence[str] = ()
) -> Targets:
    """Infer the task from labels, or take the one that `kind` says.

    names: of classes by their number; empty: they are named by their labels. columns: names of the columns of
    labels (n,) or (n, columns). Raises DataError for labels of doubtful meaning.
    """
    labels = {key: squeeze_labels(y, key) for key, y in labels.items()}
    key, first = next(iter(labels.items()))
    for other, y in labels.items():
        if y.shape[1:] != first.shape[1:] and not (y.ndim == first.ndim == 3):
            raise DataError(
                f"all labels must be of one kind, got {_name_kind(first)} in {key} and {_name_kind(y)} in "
                f"{other}; convert one"
            )
    if first.ndim >= 3:
        return _mask_targets(labels, kind)
    if kind == "masks":
        raise DataError(f"masks must be (n, height, width), got {first.shape} for {key}; use --labels auto")
    if first.ndim == 2:
        return _column_targets(labels, kind, columns if len(columns) == first.shape[1] else names)
    if first.dtype.kind == "U":
        return _text_targets(labels, kind)
    return _number_targets(labels, kind, names, columns or ("0",))


def squeeze_labels(y: Array, key: str) -> Array:
    """Return labels without axes of length 1, and text as Unicode; raises DataError."""
    y = y.reshape(-1) if y.ndim > 1 and y.shape[1:] == (1,) * (y.ndim - 1) else y
    y = y[..., 0] if y.ndim == 4 and y.shape[-1] == 1 else y
    y = y[:, 0] if y.ndim == 4 and y.shape[1] == 1 else y
    if y.ndim not in (1, 2, 3, 4):
        raise DataError(
            f"{key} must be (n,), (n, classes), or (n, height, width) for masks, got {y.shape}; use one "
            "label per example"
        )
    if len(y) == 0:
        raise DataError(f"{key} must hold examples, got none; add some or omit {key} and its images")
    if y.dtype.kind in "US" and y.ndim == 1:
        try:
            text = np.char.strip(np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y)
            values = np.unique(text).tolist()
        except ValueError as error:
            raise DataError(
                f"the text of {key} must be Unicode, got other characters; number the classes instead"
            ) from error
        if damaged := [value for value in values if one_line(value) != value]:
            raise DataError(
                f"the text of {key} must have no control characters, got '{one_line(damaged[0])[:60]}'; "
                "rename the class"
            )
        return text
    if y.dtype.kind not in "iubf":
        raise DataError(f"{key} must hold numbers or text, got {y.dtype}; use y.astype('int32')")
    return y.astype(np.uint8) if y.dtype.kind == "b" else y


def _name_kind(y: Array) -> str:
    return {1: "classes", 2: f"{y.shape[-1]} columns", 3: "masks"}.get(y.ndim, f"labels {y.shape}")


def _mask_targets(labels: Labels, kind: LabelKind) -> Targets:
    key, first = next(iter(labels.items()))
    if kind not in ("auto", "masks"):
        raise DataError(
            f"labels of kind {kind} must have one or two axes, got {first.shape} for {key}; omit it"
        )
    notes: tuple[str, ...] = ()
    if first.ndim == 4:
        if not all(_is_one_hot(y) for y in labels.values()):
            fix = "save labels (n, height, width)"
            if all(_is_one_hot(np.moveaxis(y, 1, -1)) for y in labels.values()):
                fix = f"move the axis of classes last, with np.moveaxis({key}, 1, -1)"
            elif first.shape[-1] in (3, 4):
                fix = "number the colours, as colours are read from image files only"
            raise DataError(
                f"masks must have one class per pixel, got {first.shape} for {key}, which is not a one-hot "
                f"encoding with the classes last; {fix}"
            )
        notes = (f"{key} {first.shape} is a one-hot encoding of masks; its axis of classes is last.",)
        labels = {key: y.argmax(axis=-1).astype(np.int32) for key, y in labels.items()}
    for key, y in labels.items():
        if y.dtype.kind not in "iu":
            raise DataError(
                f"{key} must hold integers, got masks of {y.dtype}; number the classes, with "
                "y.astype('int32')"
            )
    return Targets("segmentation", (), labels, notes)


def _is_one_hot(y: Array) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=-1) == 1).all())


def _column_targets(labels: Labels, kind: LabelKind, names: Sequence[str]) -> Targets:
    """Read labels (n, columns): a one-hot encoding, several classes each, or numbers."""
    columns = next(iter(labels.values())).shape[1]
    names = tuple(names) if len(names) == columns else tuple(map(str, range(columns)))
    others = [key for key, y in labels.items() if not ((y == 0) | (y == 1)).all()]
    is_binary = not others
    key, first = next((key, y) for key, y in labels.items() if is_binary or key in others)
    is_one_hot = is_binary and all(_is_one_hot(y) for y in labels.values())
    if kind == "auto":
        is_float = any(y.dtype.kind == "f" for y in labels.values())
        is_soft = is_float and all(
            bool((y >= 0).all() and np.allclose(y.sum(axis=1), 1, atol=1e-3)) for y in labels.values()
        )
        if not is_binary and (not is_float or (is_soft and columns > 1)):
            what = "probabilities" if is_soft else f"integers {first.min()}..{first.max()}"
            raise DataError(
                f"labels (n, {columns}) must be 0 or 1 for classes, or numbers with fractions, got {what} "
                f"in {key}; pass --labels numbers if they are to be predicted as numbers, else convert "
                "them to one class each"
            )
        kind = "classes" if is_one_hot else "multi_label" if is_binary else "numbers"
    if kind == "numbers":
        return _regression(labels, names)
    if not is_binary:
        raise DataError(
            f"labels (n, {columns}) of classes must be 0 or 1, got {first.min()}..{first.max()} in {key}; "
            "pass --labels numbers, or convert them"
        )
    if kind == "multi_label":
        note = f"Each example has any of {columns} classes: {key} {first.shape} holds 0 and 1."
        return Targets("multi_label", names, {k: y.astype(np.uint8) for k, y in labels.items()}, (note,))
    if not is_one_hot:
        raise DataError(
            f"labels (n, {columns}) must have one 1 in each row for one class each, got other rows in {key}; "
            "pass --labels multi_label for several classes each"
        )
    classes, numbered = _number_classes({k: y.argmax(axis=1) for k, y in labels.items()}, names)
    note = f"{key} {first.shape} is a one-hot encoding of {len(classes)} classes."
    return Targets("classification", classes, numbered, (note,), _missing_classes(classes, names, key))


def _regression(labels: Labels, names: Sequence[str]) -> Targets:
    numbers = {}
    for key, y in labels.items():
        y = y.reshape(len(y), -1)
        with np.errstate(over="ignore"):
            numbers[key] = y.astype(np.float32)
        finite = np.isfinite(numbers[key]).all(axis=1)
        if not finite.all():
            raise DataError(
                f"numbers must be finite float32, got {y[int(finite.argmin())].tolist()} for example "
                f"{int(finite.argmin())} of {key}; remove such examples"
            )
    first = next(iter(numbers.values()))
    if (first == first[0]).all(axis=0).any():
        column = names[int((first == first[0]).all(axis=0).argmax())]
        raise DataError(f"numbers must vary, got only {first[0].min():g} for '{column}'; omit that column")
    shown = ", ".join(
        f"{name} {first[:, i].min():.4g}..{first[:, i].max():.4g}" for i, name in enumerate(names)
    )
    return Targets("regression", tuple(names), numbers, (f"The labels are numbers to predict: {shown}.",))


def _number_targets(labels: Labels, kind: LabelKind, names: Sequence[str], columns: Sequence[str]) -> Targets:
    """Read labels (n,) of numbers: integers are classes, others are numbers to predict."""
    key, first = next(iter(labels.items()))
    is_float = any(y.dtype.kind == "f" for y in labels.values())
    is_whole = not is_float or all(
        bool(((y == np.rint(y)) & (np.abs(y) <= MAX_WHOLE)).all()) for y in labels.values()
    )
    if kind == "numbers" or (kind == "auto" and is_float and not is_whole):
        return _regression(labels, columns)
    if kind == "auto" and is_float:
        raise DataError(
            f"floating-point labels that are all whole may be classes or numbers, got those of {key}; use "
            "--labels numbers for regression, or --labels classes"
        )
    if kind == "multi_label":
        raise DataError(
            f"several labels must be columns of 0 and 1, or text, got {first.dtype} {first.shape} for {key}; "
            "write 1 where a class applies"
        )
    if not is_whole:
        raise DataError(
            f"{key} must hold integers, got {first.dtype} with fractions; number the classes, or pass "
            "--labels numbers"
        )
    if is_float:
        labels = {key: y.astype(np.int64) for key, y in labels.items()}
    classes, numbered = _number_classes(labels, names)
    warnings = _missing_classes(classes, names, key)
    may_be_numbers = kind == "auto" and not names
    is_thin = len(classes) >= SOME_CLASSES and len(first) < FEW_EXAMPLES * len(classes)
    if may_be_numbers and (len(classes) > MANY_CLASSES or is_thin):
        warnings = (
            f"The labels are {len(classes)} different integers for {len(first):,} examples, which are read "
            "as classes: --labels numbers reads them as numbers.",
        )
    return Targets("classification", classes, numbered, (), warnings, may_be_numbers)


def _missing_classes(classes: Sequence[str], names: Sequence[str], key: str) -> tuple[str, ...]:
    """Return a warning about names of classes that no training example has."""
    missing = [name for name in names if name not in set(classes)]
    if not missing:
        return ()
    listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    return (f"Classes without an example in {key} are left out: {listed}.",)


def _text_targets(labels: Labels, kind: LabelKind) -> Targets:
    """Read labels (n,) of text: classes, or several classes each, separated by `;`, `|` or space."""
    if kind == "numbers":
        raise DataError(
            f"labels of kind numbers must be numbers, got text such as '{next(iter(labels.values()))[0]}'; "
            "correct it, or pass --labels classes"
        )
    values = sorted({value for y in labels.values() for value in np.unique(y).tolist()})
    if kind == "multi_label" or (kind == "auto" and any(SEPARATORS.search(value) for value in values)):
        return _split_targets(labels, ALL_SEPARATORS if kind == "multi_label" else SEPARATORS)
    if kind == "auto" and (separator := _word_separator(values)):
        return _split_targets(labels, separator)
    for key, y in labels.items():
        if (y == "").any():
            raise DataError(
                f"every example must have a label, got none for example {int((y == '').argmax())} of "
                f"{key}; add it or remove the example"
            )
    return Targets("classification", *_number_classes(labels, ()))


def _word_separator(values: Sequence[str]) -> re.Pattern[str] | None:
    """Return the separator if values consist of several labels; raises DataError if that is doubtful.

    Values whose words recur, with one value a part of another, hold several labels; values that share no
    words are names of several words.
    """
    words = [frozenset(re.split(r"[,\s]+", value)) for value in values]
    distinct = frozenset().union(*words)
    if sum(map(len, words)) == len(distinct):  # no word is in two values
        return None
    some = words[:MANY_VALUES]
    if len(distinct) < len(values) and any(part < whole for part in some for whole in some):
        return re.compile(r"[,\s]")
    example = next(value for value, parts in zip(values, words, strict=True) if len(parts) > 1)
    raise DataError(
        f"labels must be names of classes or lists of them, got '{example}', which may be either; pass "
        "--labels classes or --labels multi_label"
    )


def _split_targets(labels: Labels, separator: re.Pattern[str]) -> Targets:
    lists = {
        key: [{word for part in separator.split(value) if (word := part.strip())} for value in y.tolist()]
        for key, y in labels.items()
    }
    first = next(iter(lists))
    classes = tuple(sorted_names({word for words in lists[first] for word in words}))
    index = {name: number for number, name in enumerate(classes)}
    encoded = {}
    for key, rows in lists.items():
        encoded[key] = np.zeros((len(rows), len(classes)), np.uint8)
        for row, words in enumerate(rows):
            if unknown := sorted(words - set(index)):
                raise DataError(_unknown_label(key, unknown[0], first))
            encoded[key][row, [index[word] for word in words]] = 1
    note = f"Each example has any of {len(classes)} classes, whose names are separated in its label."
    return Targets("multi_label", classes, encoded, (note,))


def _number_classes(labels: Labels, names: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    """Return the names of the classes, and the labels of each split numbered from 0."""
    first, y = next(iter(labels.items()))
    values = np.unique(y)
    if values.dtype.kind == "U":
        values = np.array(sorted_names(values.tolist()))
    order = np.argsort(values)
    numbered = {}
    for key, y in labels.items():
        if unknown := sorted(set(np.unique(y).tolist()) - set(values.tolist())):
            raise DataError(_unknown_label(key, unknown[0], first))
        numbered[key] = order[np.searchsorted(values, y, sorter=order)]
    if names and not 0 <= int(values.min()) <= int(values.max()) < len(names):
        raise DataError(
            f"labels with names of classes must be 0..{len(names) - 1}, got {values.min()}..{values.max()} "
            f"in {first}; correct the labels or the names"
        )
    return tuple(names[value] if names else str(value) for value in values.tolist()), numbered


def _unknown_label(key: str, label: object, first: str) -> str:
    return (
        f"every label of {key} must occur in {first}, got {label}; add examples of it to the training "
        "examples or remove it"
    )
