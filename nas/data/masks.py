"""The labels of masks: count them over a data set, decide which are classes, and number these from 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.data.options import LabelKind
from nas.data.source import Array
from nas.errors import DataError

__all__ = ["MaskCounts", "Numbering", "number_labels"]

UNLABELLED = 255  # by convention, the label of pixels to ignore
MAX_LABELS = 4096  # different ones; a photo has more
MAX_COLOURS = 64  # that are taken as classes without a list of colours
SHOWN = 20  # labels in a note
LARGE_IGNORED_SHARE = 0.5  # of the pixels, from which on a warning is given

EDGE_SHARE = 0.02  # greatest share of the pixels of a label that only occurs in edges
EDGE_INNER_SHARE = 0.15  # greatest share of its pixels that continue to the right and below
MIN_EDGE_LABELS = 3  # so many such labels mean interpolation; fewer may be thin objects
MIN_GAP = 8  # between an interpolated label and those around it
MIN_OBJECTS = 10  # so many labels may be the numbers of objects
OBJECT_SHARE = 0.8  # of the labels, from which on those that occur in one mask are numbers of objects


class MaskCounts:
    """Pixels of each label over a data set, counted chunk by chunk."""

    def __init__(self) -> None:
        self.pixels: Counter[int] = Counter()
        self.masks: Counter[int] = Counter()  # those that have the label
        self.lengths: Counter[int] = Counter()  # masks whose labels are 0, 1, ..., by the number of labels
        self.total = 0  # masks
        self.inner: Counter[int] = Counter()  # those whose neighbours to the right and below are equal

    def add(self, masks: Array) -> None:
        """Count the labels of masks (n, height, width); raises DataError if there are far too many."""
        self.total += len(masks)
        for mask in masks:
            pixels = _count(mask)
            self.pixels.update(pixels)
            self.masks.update(pixels.keys())
            labels = pixels.keys() - {UNLABELLED}
            if labels == set(range(len(labels))):
                self.lengths[len(labels)] += 1
        here = masks[:, :-1, :-1]
        inner = (here == masks[:, 1:, :-1]) & (here == masks[:, :-1, 1:])
        self.inner.update(_count(here[inner]))
        if len(self.pixels) > MAX_LABELS:
            raise DataError(
                f"masks must have at most {MAX_LABELS} different labels, got more; save the class of each "
                "pixel, not a photo or the number of an object"
            )

    def edge_labels(self) -> list[int]:
        """Return labels that look interpolated: rare, and nowhere wider than an edge."""
        total = self.pixels.total()
        return [
            label
            for label, count in sorted(self.pixels.items())
            if count <= EDGE_SHARE * total and self.inner[label] <= EDGE_INNER_SHARE * count
        ]

    @property
    def are_objects(self) -> bool:
        """Whether labels look like the numbers of objects, over the data set or within each mask."""
        single = sum(count == 1 for count in self.masks.values())
        if single >= MIN_OBJECTS and single >= OBJECT_SHARE * (len(self.masks) - 1):
            return self.total > 1
        is_numbered = self.lengths.total() == self.total >= MIN_OBJECTS
        return is_numbered and len(self.lengths) > 2 and len(self.masks) > MIN_OBJECTS


def _count(labels: Array) -> dict[int, int]:
    if labels.dtype == np.uint8:  # counting is several times faster than sorting
        counts = np.bincount(labels.ravel(), minlength=256)
        return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


@dataclass(frozen=True)
class Numbering:
    """How labels of masks become classes from 0."""

    numbers: Mapping[int, int]  # by label
    classes: tuple[str, ...]
    ignore_label: int | None  # in the numbered masks
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.int32]:
        """The type of numbered masks."""
        return np.dtype(np.uint8) if max(self.numbers.values()) <= 255 else np.dtype(np.int32)

    def apply(self, masks: Array) -> Array:
        """Return masks with the numbers of their labels, which all occurred in the counts."""
        labels = np.array(sorted(self.numbers))
        numbers = np.array([self.numbers[label] for label in labels.tolist()], self.dtype)
        if masks.dtype != np.uint8:
            return numbers[np.searchsorted(labels, masks)]
        table = np.zeros(256, self.dtype)
        within = (labels >= 0) & (labels <= 255)
        table[labels[within]] = numbers[within]
        return table[masks]


def number_labels(
    counts: MaskCounts,
    ignore_label: int | None,
    colours: bool,
    mask_colors: Sequence[str] = (),
    kind: LabelKind = "auto",
) -> Numbering:
    """Decide which labels are classes, and number these from 0 in ascending order.

    ignore_label: that the user gave; None: 255 is ignored if the other labels are 0, 1, ..., at least two.
    colours: whether labels are colours 0xRRGGBB; greys then are numbers 0..255, others are named #rrggbb.
    mask_colors: names of the labels 0, 1, ... if the user gave a list of colours. kind: of labels, by the
    option; 'masks': labels that look like the numbers of objects are classes too.

    The ignored label keeps its value unless a class has that number; then it becomes 255, or the number of
    classes if there are more. Raises DataError for labels that look interpolated or like the numbers of
    objects, too many colours, fewer than two classes, and negative labels.
    """
    value = {label: label for label in counts.pixels}  # shown to the user, by the label in the arrays
    names: dict[int, str] = {}
    if mask_colors:
        value |= {label: label for label in range(len(mask_colors))}
        names = dict(enumerate(mask_colors))
    elif colours and all(label == (label & 255) * 0x010101 for label in counts.pixels):
        value = {label: label & 255 for label in counts.pixels}
    elif colours:
        names = {label: f"#{label:06x}" for label in counts.pixels}
        if ignore_label is not None:
            raise DataError(
                f"ignore_label must be the position of a colour in mask_colors if masks have colours, got "
                f"{ignore_label} without a list; list the colours with --mask-colors"
            )
    _refuse_interpolated(counts, value, names)
    if counts.are_objects and kind != "masks" and not mask_colors:
        raise DataError(
            f"masks must hold the same classes, got {len(counts.pixels)} labels in {counts.total:,} masks, "
            "which look like the numbers of objects; save the class of each pixel, such as 0 for the "
            "background and 1 for all objects of a kind, or pass --labels masks if the labels are classes"
        )
    if names and not mask_colors and len(names) > MAX_COLOURS:
        raise DataError(
            f"colour masks must have at most {MAX_COLOURS} colours, got {len(names)}; list the colours of "
            "the classes with --mask-colors, or save the masks as PNG without interpolation"
        )
    found = sorted(value.values())
    warnings = [] if names else _interpolation_doubts(counts, value)
    if ignore_label is None and UNLABELLED in found and not names:
        others = [label for label in found if label != UNLABELLED]
        if others == list(range(len(others))) and len(others) >= 2:
            ignore_label = UNLABELLED
        elif len(others) >= 2:
            warnings.append(
                f"Label 255 of the masks is a class, because the other labels are not 0, 1, ...: "
                f"{_listed(others)}; --ignore-label 255 ignores its pixels."
            )
    labels = [label for label in found if label != ignore_label]
    if len(labels) < 2:
        besides = "" if ignore_label is None else f" besides the ignored {ignore_label}"
        raise DataError(
            f"masks must have at least 2 labels{besides}, got "
            f"{_listed([names.get(label, label) for label in labels]) or 'none'}; add masks with other "
            "labels or ignore another label"
        )
    if labels[0] < 0:
        raise DataError(
            f"masks must have labels from 0, got {labels[0]}; renumber it, or ignore it with ignore_label"
        )
    numbers = {label: number for number, label in enumerate(labels)}
    if ignore_label is not None:
        numbers[ignore_label] = max(UNLABELLED, len(labels)) if ignore_label < len(labels) else ignore_label
    note, more = _describe_shares(counts, value, names, ignore_label)
    return Numbering(
        numbers={label: numbers[value[label]] for label in value},
        classes=tuple(names.get(label, str(label)) for label in labels),
        ignore_label=None if ignore_label is None else numbers[ignore_label],
        notes=(note,),
        warnings=(*warnings, *more),
    )


def _refuse_interpolated(counts: MaskCounts, value: Mapping[int, int], names: Mapping[int, str]) -> None:
    edges = counts.edge_labels()
    if len(edges) >= MIN_EDGE_LABELS and 2 * len(edges) >= len(counts.pixels):
        shown = _listed([names.get(label, value[label]) for label in edges[len(edges) // 2 :]], 3)
        raise DataError(
            f"masks must hold one label for each class, got {len(counts.pixels)} labels of which "
            f"{len(edges)} occur only in edges between others, such as {shown}, as in masks that were "
            "resized or saved as JPEG; save them as PNG without interpolation"
        )


def _interpolation_doubts(counts: MaskCounts, value: Mapping[int, int]) -> list[str]:
    """Return sentences about labels between two others that occur only in edges."""
    found, total = sorted(value.values()), counts.pixels.total()
    doubts = []
    for label in counts.edge_labels():
        place = found.index(value[label])
        below, above = found[max(0, place - 1)], found[min(place + 1, len(found) - 1)]
        if min(value[label] - below, above - value[label]) >= MIN_GAP:
            doubts.append(
                f"Label {value[label]} of the masks ({counts.pixels[label] / total:.1%} of the pixels) "
                f"occurs only in edges, and may come from interpolation between {below} and {above}: is "
                "it a class?"
            )
    return doubts


def _describe_shares(
    counts: MaskCounts, value: Mapping[int, int], names: Mapping[int, str], ignore_label: int | None
) -> tuple[str, list[str]]:
    """Return a note with the share of each label, and warnings about it."""
    total = counts.pixels.total()
    shares = {value[label]: counts.pixels[label] / total for label in value}
    largest = sorted(shares, key=lambda label: -shares[label])[:SHOWN]
    parts = [
        f"{names.get(label, label)}{' (ignored)' if label == ignore_label else ''} {shares[label]:.1%}"
        for label in sorted(largest)
    ]
    more = f", and {len(shares) - SHOWN} more" if len(shares) > SHOWN else ""
    warnings = [
        f"Label {names.get(label, label)} occurs in no mask." for label, share in shares.items() if share == 0
    ]
    if ignore_label is not None and (ignored := shares.get(ignore_label, 0)) > LARGE_IGNORED_SHARE:
        warnings.append(
            f"{ignored:.0%} of the pixels have label {names.get(ignore_label, ignore_label)}, which is "
            "ignored: is it the background?"
        )
    return f"Labels of the masks and their shares of the pixels: {', '.join(parts)}{more}.", warnings


def _listed(labels: Sequence[int | str], most: int = 6) -> str:
    return ", ".join(map(str, labels[:most])) + (", ..." if len(labels) > most else "")
