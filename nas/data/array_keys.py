"""The names of the arrays in an `.npz`: which hold examples, which labels, and of which split."""

from __future__ import annotations

from collections.abc import Iterable

from nas.data.folder_names import exact_split
from nas.errors import DataError

__all__ = ["CLASS_NAMES_KEY", "find_keys", "parse_key"]

EXAMPLES = frozenset({"x", "images", "image", "imgs", "data", "features", "inputs"})
LABELS = frozenset({"y", "labels", "label", "target", "targets", "masks", "mask"})
CLASS_NAMES_KEY = "class_names"

Keys = dict[str, tuple[str, str]]
"""The names of the arrays of examples and of labels, by split."""


def parse_key(key: str) -> tuple[str, str] | None:
    """Return ('x' or 'y', split) of a name such as `x_train`, `train_images` or `labels`; else None.

    >>> parse_key("test_labels"), parse_key("X"), parse_key("weights")
    (('y', 'test'), ('x', 'train'), None)
    """
    words = key.lower().split("_")
    axes = ["x" if word in EXAMPLES else "y" for word in words if word in EXAMPLES | LABELS]
    splits = [split for word in words if (split := exact_split(word))]
    if len(axes) != 1 or len(splits) > 1 or len(axes) + len(splits) != len(words):
        return None
    return axes[0], splits[0] if splits else "train"


def find_keys(names: Iterable[str], path: object) -> Keys:
    """Return the names of the arrays of each split; raises DataError if one is missing or there are two."""
    found: dict[tuple[str, str], str] = {}
    names = list(names)
    for name in names:
        place = parse_key(name)
        if place is None:
            continue
        if place in found:
            raise DataError(
                f"an .npz must hold one array for each purpose, got {found[place]} and {name} in {path}; "
                "remove or rename one"
            )
        found[place] = name
    splits = [split for split in ("train", "validation", "test") if {("x", split), ("y", split)} & set(found)]
    shorter = {"train": "train", "validation": "val", "test": "test"}
    missing = [
        f"{axis}_{shorter[split]}"
        for split in dict.fromkeys(["train", *splits])
        for axis in "xy"
        if (axis, split) not in found
    ]
    if missing:
        raise DataError(
            f"an .npz must hold {', '.join(missing)}, got {', '.join(names) or 'nothing'} in {path}; save it "
            "with np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)"
        )
    return {split: (found["x", split], found["y", split]) for split in splits}
