"""Examples from image files whose labels are known, as a table or the names of files give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from nas.data.duplicates import ImageFile, find_duplicates
from nas.data.folder_names import exact_split
from nas.data.image_reader import ImageReader
from nas.data.image_tree import ImageTree
from nas.data.options import DataOptions
from nas.data.source import Array, Examples, Source
from nas.data.targets import find_targets
from nas.data.unreadable import skip_unreadable
from nas.errors import DataError

__all__ = ["read_named_images", "source_from_images"]


def source_from_images(
    tree: ImageTree,
    files: Mapping[str, Sequence[str]],
    labels: Mapping[str, Array],
    options: DataOptions,
    *,
    class_names: Sequence[str] = (),
    columns: Sequence[str] = (),
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Source:
    """Create a source of images and their labels by split, 'train' first; see `find_targets`.

    Raises DataError.
    """
    if options.labels == "masks":
        raise DataError("masks must be images or arrays, got a table of labels; pass --labels auto")
    files, labels, doubts, repeats = _choose_files(tree, files, labels, options)
    named = {f"split '{split}'": y for split, y in labels.items()}
    targets = find_targets(named, options.labels, class_names, columns)
    reader = ImageReader(tree, options)
    shape = reader.inspect([file for some in files.values() for file in some])
    return Source(
        task=targets.task,
        classes=targets.classes,
        splits={
            split: Examples(len(some), y, reader.reader_of([(file, "") for file in some]))
            for (split, some), y in zip(files.items(), targets.labels.values(), strict=True)
        },
        shape=shape,
        dtype=np.dtype(np.uint8),
        feeding=reader.feeding(shape),
        may_be_numbers=targets.may_be_numbers,
        notes=(*tree.notes, *notes, *targets.notes, *repeats, *reader.notes),
        warnings=(*tree.warnings, *warnings, *targets.warnings, *doubts, *reader.warnings),
    )


def _choose_files(
    tree: ImageTree, files: Mapping[str, Sequence[str]], labels: Mapping[str, Array], options: DataOptions
) -> tuple[dict[str, list[str]], dict[str, Array], list[str], list[str]]:
    """Leave out unreadable files, and duplicates if the options say so.

    Returns files and labels by split, warnings and notes. Raises DataError if too many files are unreadable.
    """
    everything = [file for some in files.values() for file in some]
    warnings = skip_unreadable(tree, everything, len(everything), options.strict)
    _, codes = np.unique(np.concatenate(list(labels.values())), axis=0, return_inverse=True)
    code_of = dict(zip(everything, codes.reshape(-1).tolist(), strict=True))
    splits = {
        split: [ImageFile(file, label=code_of[file]) for file in some if file not in tree.unreadable]
        for split, some in files.items()
    }
    splits, notes, doubts = find_duplicates(tree, splits, options.drop_duplicates)
    kept_files, kept_labels = {}, {}
    for split, some in files.items():
        kept = {file.image for file in splits[split]}
        if not kept:
            raise DataError(
                f"every split must have readable images of its own, got none in {split}; add some"
            )
        kept_files[split] = [file for file in some if file in kept]
        kept_labels[split] = labels[split][[file in kept for file in some]]
    return kept_files, kept_labels, [*warnings, *doubts], notes


def read_named_images(tree: ImageTree, options: DataOptions) -> Source:
    """Read images whose label is in their path, found by the regular expression `label_from`.

    Sub-folders train, val and test at the top are splits. Raises DataError.
    """
    try:
        pattern = re.compile(options.label_from)
    except re.error as error:
        raise DataError(
            f"label_from must be a regular expression, got '{options.label_from}' ({error}); for "
            "class_001.jpg "
            'use "(.+)_"'
        ) from error
    if not pattern.groups:
        raise DataError(
            f"label_from must have a group for the label, got '{options.label_from}'; put parentheses "
            "around it"
        )
    group: str | int = "label" if "label" in pattern.groupindex else 1
    files: dict[str, list[str]] = {"train": []}
    labels: dict[str, list[str]] = {"train": []}
    for image in tree.images:
        folder, _, rest = image.partition("/")
        split = exact_split(folder) if rest else None
        match = pattern.search(rest if split else image)
        if match is None or not match[group]:
            raise DataError(
                f"label_from must find a label in each path, got none in {tree.display_path(image)} with "
                f"'{options.label_from}'; correct the expression or remove the file"
            )
        files.setdefault(split or "train", []).append(image)
        labels.setdefault(split or "train", []).append(match[group])
    if not files["train"]:
        raise DataError(f"a folder must hold images for training, got none in {tree.root}; add some")
    example = files["train"][0]
    note = f"Labels are read from paths: '{labels['train'][0]}' from {PurePosixPath(example).name}."
    arrays = {split: np.array(some) for split, some in labels.items()}
    return source_from_images(tree, files, arrays, options, notes=(note,))
