"""Read a folder of images: one sub-folder per class, or images with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nas.data.duplicates import ImageFile, find_duplicates
from nas.data.folder_names import sorted_names
from nas.data.image_archive import tree_from_zip
from nas.data.image_reader import ImageReader
from nas.data.image_tree import ImageTree, class_name, name_of, tree_from_folder
from nas.data.layout import find_layout
from nas.data.options import DataOptions
from nas.data.pairing import pair_files
from nas.data.source import Examples, Source
from nas.data.unreadable import skip_unreadable
from nas.errors import DataError

__all__ = ["read_folder", "read_zip"]


def read_folder(path: Path, options: DataOptions) -> Source:
    """Read a folder with one sub-folder per class, or with folders of images and of masks.

    Either may be split; see `find_layout`. Raises DataError for any other layout.
    """
    return _source_from_tree(tree_from_folder(path), options)


def read_zip(path: Path, options: DataOptions) -> Source:
    """Read a .zip of such a folder without unpacking it; raises DataError."""
    return _source_from_tree(tree_from_zip(path), options)


def _source_from_tree(tree: ImageTree, options: DataOptions) -> Source:
    layout = find_layout(tree, options.labels)
    notes, warnings = [*tree.notes, *layout.notes], list(tree.warnings)
    classes: tuple[str, ...] = ()
    if layout.masks:
        splits = {
            split: [ImageFile(image, mask) for image, mask in pair_files(tree, layout.folders[split], masks)]
            for split, masks in layout.masks.items()
        }
    else:
        classes, splits = _class_files(tree, layout.folders)
        notes += _order_note(classes)
        warnings += _class_warnings(tree, layout.folders, classes, splits)
    warnings += _unused_images(tree, splits)
    splits, skipped = _readable_files(tree, splits, options.strict)
    splits, repeats, doubts = find_duplicates(tree, splits, options.drop_duplicates)
    for split, files in splits.items():
        if not files:
            raise DataError(
                f"every split must have images of its own, got none in {split} but unreadable ones and "
                "duplicates; add some"
            )
    reader = ImageReader(tree, options)
    everything = [file for files in splits.values() for file in files]
    shape = reader.inspect([file.image for file in everything], [file.mask for file in everything])
    return Source(
        task="segmentation" if layout.masks else "classification",
        classes=classes,
        splits={
            split: Examples(
                len(files),
                None if layout.masks else np.array([file.label for file in files]),
                reader.reader_of([(file.image, file.mask) for file in files]),
            )
            for split, files in splits.items()
        },
        shape=shape,
        dtype=np.dtype(np.uint8),
        feeding=reader.feeding(shape),
        colour_masks=reader.colour_masks,
        notes=(*notes, *repeats, *reader.notes),
        warnings=(*warnings, *skipped, *doubts, *reader.warnings),
    )


def _class_files(
    tree: ImageTree, folders: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, list[ImageFile]]]:
    """Return the classes, which are the sub-folders of the training split, and the images of each split."""
    train = folders["train"]
    classes = tuple(sorted_names(_by_class(tree, train)))
    if not classes:
        raise DataError(
            f"a folder of images must hold one sub-folder per class, or images/ and masks/, got "
            f"{tree.display_path(train)} without any; sort the images into sub-folders"
        )
    for folder in tree.subfolders[train]:
        _check_class_name(tree, folder)
    splits: dict[str, list[ImageFile]] = {}
    for split, folder in folders.items():
        inner = _by_class(tree, folder)
        files: list[ImageFile] = []
        for class_folder in (path for name in sorted_names(inner) for path in inner[name]):
            name = class_name(class_folder)
            if name not in classes:
                raise DataError(
                    f"every class must occur in {tree.display_path(train)}, got "
                    f"{tree.display_path(class_folder)}; add images of it there or remove it"
                )
            images = tree.images_under(class_folder)
            if not images and split == "train":
                raise DataError(
                    f"every class must have images, got {tree.display_path(class_folder)} with none; add "
                    "some or remove the folder"
                )
            files += [ImageFile(image, label=classes.index(name)) for image in images]
        if not files:
            raise DataError(
                f"every split must have images in one sub-folder per class, got none in "
                f"{tree.display_path(folder)}; add them or remove the folder"
            )
        splits[split] = files
    return classes, splits


def _by_class(tree: ImageTree, folder: str) -> dict[str, list[str]]:
    """Return the sub-folders of a folder by the class that they are named after."""
    folders: dict[str, list[str]] = {}
    for child in sorted(tree.subfolders[folder]):
        folders.setdefault(class_name(child), []).append(child)
    return folders


def _check_class_name(tree: ImageTree, folder: str) -> None:
    if name_of(tree.display_path(folder)) != name_of(folder):
        raise DataError(
            f"the name of a class must be text without control characters, got {tree.display_path(folder)}; "
            "rename the folder"
        )


def _order_note(classes: Sequence[str]) -> list[str]:
    if list(classes) == sorted(classes):
        return []
    shown = classes if len(classes) <= 8 else (*classes[:6], "...", classes[-1])
    return [f"Classes are in the order of the numbers in their names: {', '.join(shown)}."]


def _class_warnings(
    tree: ImageTree,
    folders: Mapping[str, str],
    classes: Sequence[str],
    splits: Mapping[str, Sequence[ImageFile]],
) -> list[str]:
    """Return sentences about classes without images in a split, and about folders in those of classes."""
    warnings = []
    for split, files in splits.items():
        present = {file.label for file in files}
        if missing := [name for label, name in enumerate(classes) if label not in present]:
            listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            warnings.append(
                f"{len(missing):,} of {len(classes):,} classes have no images in {split}: {listed}."
            )
    nested = [child for child in sorted(tree.subfolders[folders["train"]]) if len(tree.children(child)) > 1]
    if nested:
        inner = tree.children(nested[0])
        warnings.append(
            f"Classes are the folders in {tree.display_path(folders['train'])}; folders in them, such as "
            f"{tree.display_path(inner[0])}, are not classes of their own."
        )
    return warnings


def _unused_images(tree: ImageTree, splits: Mapping[str, Sequence[ImageFile]]) -> list[str]:
    """Return a sentence about images that belong to no example."""
    used = {path for files in splits.values() for file in files for path in (file.image, file.mask)}
    if unused := [image for image in tree.images if image not in used]:
        return [
            f"{len(unused):,} images are outside the folders of classes, images or masks and are left out, "
            f"such as {tree.display_path(unused[0])}."
        ]
    return []


def _readable_files(
    tree: ImageTree, splits: Mapping[str, list[ImageFile]], strict: bool
) -> tuple[dict[str, list[ImageFile]], list[str]]:
    """Return the splits without examples whose image or mask is unreadable, and a warning about these."""
    everything = [file for files in splits.values() for file in files]
    paths = (path for file in everything for path in (file.image, file.mask))
    warnings = skip_unreadable(tree, paths, len(everything), strict)
    return {
        split: [file for file in files if not {file.image, file.mask} & tree.unreadable.keys()]
        for split, files in splits.items()
    }, warnings
