"""Recognize the layout of a folder of images: one sub-folder per class, or images with masks."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from nas.data.image_reader import ImageReader
from nas.data.image_tree import (
    LOSSLESS_SUFFIXES,
    SUFFIXES,
    ImageTree,
    join_path,
    tree_from_folder,
    tree_from_zip,
)
from nas.data.options import DataOptions
from nas.data.source import Examples, Source
from nas.errors import DataError

__all__ = ["read_folder", "read_zip"]

VALIDATION_NAMES = ("val", "validation", "valid")


def read_folder(path: Path, options: DataOptions) -> Source:
    """Read a folder with one sub-folder per class, or with images/ and masks/.

    Either may be split by sub-folders train/, val/ and test/. Raises DataError for any other layout.
    """
    return _source_from_tree(tree_from_folder(path), options)


def read_zip(path: Path, options: DataOptions) -> Source:
    """Read a .zip of such a folder without unpacking it; raises DataError."""
    return _source_from_tree(tree_from_zip(path), options)


def _source_from_tree(tree: ImageTree, options: DataOptions) -> Source:
    top = ""
    subfolders = sorted(tree.subfolders[top])
    if len(subfolders) == 1 and subfolders[0] != "train" and tree.subfolders[subfolders[0]]:
        top = subfolders[0]  # a folder that wraps the data set, as archives often have
    reader = ImageReader(tree, options)
    if _has_masks(tree, top):  # images/train and masks/train, or neither
        images, masks = join_path(top, "images"), join_path(top, "masks")
        splits = _split_folders(tree, images)
        pairs = {split: (join_path(images, name), join_path(masks, name)) for split, name in splits.items()}
        return _segmentation_source(tree, reader, pairs)
    folders = {split: join_path(top, name) for split, name in _split_folders(tree, top).items()}
    if _has_masks(tree, folders["train"]):  # train/images and train/masks
        pairs = {
            split: (join_path(folder, "images"), join_path(folder, "masks"))
            for split, folder in folders.items()
        }
        return _segmentation_source(tree, reader, pairs)
    return _classification_source(tree, reader, folders)


def _has_masks(tree: ImageTree, folder: str) -> bool:
    return tree.has_subfolder(folder, "images") and tree.has_subfolder(folder, "masks")


def _split_folders(tree: ImageTree, folder: str) -> dict[str, str]:
    """Return the sub-folder of each split; {'train': ''} if the folder is not split.

    A sub-folder `train` that holds images but no folders, next to other sub-folders, is a class of that name.
    """
    if not tree.has_subfolder(folder, "train"):
        return {"train": ""}
    train = join_path(folder, "train")
    if not (tree.subfolders[train] or PurePosixPath(folder).name == "images"):
        if any(tree.has_subfolder(folder, name) for name in (*VALIDATION_NAMES, "test")):
            raise DataError(
                f"train/ must hold one sub-folder per class, or images/ and masks/, got "
                f"{tree.display_path(train)} without any; sort the images into sub-folders"
            )
        return {"train": ""}
    found = {"train": "train"}
    for split, names in (("validation", VALIDATION_NAMES), ("test", ("test",))):
        present = [name for name in names if tree.has_subfolder(folder, name)]
        if present:
            found[split] = present[0]
    return found


def _classification_source(tree: ImageTree, reader: ImageReader, folders: dict[str, str]) -> Source:
    """Return a source whose classes are the sub-folders of `folders`, which has one folder per split."""
    class_folders = sorted(tree.subfolders[folders["train"]])
    if not class_folders:
        raise DataError(
            f"a folder of images must hold one sub-folder per class, or images/ and masks/, got "
            f"{tree.display_path(folders['train'])} without any; sort the images into sub-folders"
        )
    classes = {PurePosixPath(folder).name: label for label, folder in enumerate(class_folders)}
    splits: dict[str, tuple[list[str], list[int]]] = {}
    for split, split_folder in folders.items():
        files: list[str] = []
        labels: list[int] = []
        for class_folder in sorted(tree.subfolders[split_folder]):
            name = PurePosixPath(class_folder).name
            if name not in classes:
                raise DataError(
                    f"every class must occur in {tree.display_path(folders['train'])}, got "
                    f"{tree.display_path(class_folder)}; add images of it there or remove it"
                )
            images = tree.images_under(class_folder)
            if not images and split == "train":
                raise DataError(
                    f"every class must have images, got {tree.display_path(class_folder)} with none; add "
                    f"some ({', '.join(sorted(SUFFIXES))}) or remove the folder"
                )
            files += images
            labels += [classes[name]] * len(images)
        if not files:
            raise DataError(
                f"every split must have images in one sub-folder per class, got none in "
                f"{tree.display_path(split_folder)}; add them or remove the folder"
            )
        splits[split] = files, labels
    shape = reader.inspect([file for files, _ in splits.values() for file in files])
    return Source(
        task="classification",
        classes=tuple(classes),
        splits={
            split: Examples(len(files), np.array(labels), reader.reader_of([(file, "") for file in files]))
            for split, (files, labels) in splits.items()
        },
        shape=shape,
        dtype=np.dtype(np.uint8),
        feeding=reader.feeding(shape),
    )


def _segmentation_source(tree: ImageTree, reader: ImageReader, folders: dict[str, tuple[str, str]]) -> Source:
    """Return a source of images and masks; `folders` has one folder of each per split."""
    splits: dict[str, list[tuple[str, str]]] = {}
    for split, (image_folder, mask_folder) in folders.items():
        images, masks = _files_by_stem(tree, image_folder), _files_by_stem(tree, mask_folder)
        if not images:
            raise DataError(
                f"images/ must hold images, got none in {tree.display_path(image_folder)}; add them or "
                "remove it"
            )
        if unpaired := sorted(set(images) ^ set(masks)):
            file = images.get(unpaired[0]) or masks[unpaired[0]]
            raise DataError(
                f"every image must have a mask with its name in masks/, and every mask an image, got only "
                f"{tree.display_path(file)}; add the other file"
            )
        for file in masks.values():
            if PurePosixPath(file).suffix.lower() not in LOSSLESS_SUFFIXES:
                raise DataError(
                    f"masks must be PNG images of integer labels, got {tree.display_path(file)}; save them "
                    "as PNG"
                )
        splits[split] = [(images[stem], masks[stem]) for stem in sorted(images)]
    shape = reader.inspect([image for pairs in splits.values() for image, _ in pairs])
    return Source(
        task="segmentation",
        classes=(),
        splits={
            split: Examples(len(pairs), None, reader.reader_of(pairs)) for split, pairs in splits.items()
        },
        shape=shape,
        dtype=np.dtype(np.uint8),
        feeding=reader.feeding(shape),
    )


def _files_by_stem(tree: ImageTree, folder: str) -> dict[str, str]:
    """Return the images under a folder by their path in it without the suffix."""
    files: dict[str, str] = {}
    for file in tree.images_under(folder):
        stem = str(PurePosixPath(file).relative_to(folder).with_suffix(""))
        if stem in files:
            raise DataError(
                f"images/ and masks/ must hold one file per name, got {tree.display_path(files[stem])} and "
                f"{tree.display_path(file)}; remove one"
            )
        files[stem] = file
    return files
