"""Recognize the layout of a folder of images: one sub-folder per class, or images with masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from nas.data.folder_names import Role, loose_split, role_of
from nas.data.image_tree import ImageTree, class_name, name_of
from nas.data.layout_doubts import find_repeated_names, refuse_doubtful_classes
from nas.data.pairing import common_stems
from nas.data.text import one_line
from nas.errors import DataError

__all__ = ["Layout", "find_layout"]


@dataclass(frozen=True)
class Layout:
    """Where the examples of each split are."""

    folders: Mapping[str, str]  # by split: the folder of the images, or of one sub-folder per class
    masks: Mapping[str, str]  # by split: the folder of the masks; empty: there are classes
    notes: tuple[str, ...]  # what was inferred, one sentence each


def find_layout(tree: ImageTree, labels: str) -> Layout:
    """Return the layout of a folder; raises DataError for one that is not known, or is doubtful.

    `labels` is the option for data: 'classes' and 'masks' decide where both are possible.
    """
    if labels not in ("auto", "classes", "masks"):
        raise DataError(
            f"labels of a folder of images must be classes or masks, got {labels}; omit it or add a table of "
            "labels"
        )
    top = _unwrap(tree, "")
    notes = [f"The data set is in the folder {one_line(top)}/."] if top else []
    if labels != "classes":
        folders, masks = _mask_folders(tree, top)
        if masks:
            folders = {split: _holder(tree, folder) for split, folder in folders.items()}
            masks = {split: _holder(tree, folder) for split, folder in masks.items()}
            if labels == "auto":
                _refuse_unpaired(tree, folders["train"], masks["train"])
            notes += [_mask_note(split, folders[split], masks[split]) for split in masks]
            return Layout(folders, masks, tuple(notes))
        if labels == "masks":
            raise DataError(
                f"labels: masks needs a folder images/ and a folder masks/, got {tree.display_path(top)} "
                "without them; rename the folders"
            )
    folders = _class_folders(tree, top)
    if labels == "auto":
        refuse_doubtful_classes(tree, folders["train"])
    if len(folders) > 1:
        listed = ", ".join(f"{one_line(folder)}/ is {split}" for split, folder in folders.items())
        notes.append(f"By the names of folders, {listed}.")
    return Layout(folders, {}, tuple(notes))


def _unwrap(tree: ImageTree, folder: str) -> str:
    """Return the folder below that wraps nothing: the only one with images, while it has sub-folders too."""
    while len(children := tree.children(folder)) == 1 and tree.children(children[0]):
        folder = children[0]
    return folder


def _holder(tree: ImageTree, folder: str) -> str:
    """Return the nested folder that holds the files, such as annotations/trimaps."""
    while not tree.has_own_images(folder) and len(children := tree.children(folder)) == 1:
        folder = children[0]
    return folder


def _roles(tree: ImageTree, folder: str) -> Iterator[tuple[str, Role]]:
    for child in sorted(tree.subfolders[folder]):
        if role := role_of(name_of(child)):
            yield child, role


def _mask_folders(tree: ImageTree, top: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the folders of images and of masks by split; empty unless there are both.

    The kinds may be above the splits (images/train), below them (train/images) or beside (train_images).
    """
    found: dict[Role, list[str]] = {}
    for child, role in _roles(tree, top):
        found.setdefault(role, []).append(child)
        for grandchild, inner in _roles(tree, _unwrap(tree, child)):
            joined = role.joined(inner)
            if joined is not None and joined != role:
                found.setdefault(joined, []).append(grandchild)
    splits = sorted(
        {role.split for role in found if role.kind == "masks" and role.split},
        key=["train"].count,
        reverse=True,
    )
    folders: dict[str, str] = {}
    masks: dict[str, str] = {}
    either: list[str | None] = [*splits] or [None]
    for split in either:
        mask_folders = found.get(Role(split, "masks"), [])
        image_folders = found.get(Role(split, "images")) or [
            folder
            for folder in found.get(Role(split), [])
            if not any(inner.startswith(f"{folder}/") for inner in mask_folders)
        ]
        if not (image_folders and mask_folders):
            continue
        image_folder, mask_folder = _only(tree, image_folders), _only(tree, mask_folders)
        if tree.children(image_folder) and not tree.images_under(mask_folder):
            continue  # labels in another form, beside folders of classes
        name = _resolved(split, splits) if split else "train"
        folders[name], masks[name] = image_folder, mask_folder
    if masks and "train" not in masks:
        raise DataError(
            f"masks must be given for a split train, got {tree.display_path(top)} with {', '.join(masks)} "
            "only; add its images and masks"
        )
    return folders, masks


def _resolved(split: str, splits: Collection[str]) -> str:
    """Return 'validation' or 'test' for 'evaluation', whichever is not there."""
    if split != "evaluation":
        return split
    return "validation" if "test" in splits else "test"


def _only(tree: ImageTree, folders: list[str]) -> str:
    """Return the only one of some folders that has images; raises DataError for two."""
    folders = [folder for folder in folders if tree.images_under(folder)] or folders[:1]
    if len(folders) > 1:
        raise DataError(
            f"each split and kind must have one folder, got {tree.display_path(folders[0])} and "
            f"{tree.display_path(folders[1])}; rename or move one"
        )
    return folders[0]


def _refuse_unpaired(tree: ImageTree, images: str, masks: str) -> None:
    """Raise DataError if images and masks have no names in common: the folders might be classes."""
    if tree.images_under(images) and not tree.images_under(masks):
        raise DataError(
            f"{tree.display_path(masks)} must hold masks, which are images of labels, got none; add them, or "
            "remove the folder (boxes and points are not supported)"
        )
    if tree.images_under(images) and not common_stems(tree, images, masks):
        raise DataError(
            f"images and masks must have the same names, got {tree.display_path(images)} and "
            f"{tree.display_path(masks)} without a common one; rename the files, or set labels to classes if "
            "the folders are classes"
        )


def _mask_note(split: str, images: str, masks: str) -> str:
    return f"Images of {split} are in {one_line(images)}/, masks of the same names in {one_line(masks)}/."


def _class_folders(tree: ImageTree, top: str) -> dict[str, str]:
    """Return the folder of each split that holds one sub-folder per class; 'train' only if not split."""
    children = tree.children(top)
    roles = {child: role.split for child, role in _roles(tree, top) if child in children and role.split}
    if "train" not in roles.values():
        loose = {child: split for child in children if (split := loose_split(name_of(child)))}
        if "train" not in loose.values() or len(loose) < 2 or not find_repeated_names(tree, top):
            return {"train": top}
        roles = loose
    by_split: dict[str, list[str]] = {}
    for child, split in roles.items():
        by_split.setdefault(_resolved(split, list(roles.values())), []).append(child)
    train = _only(tree, by_split["train"])
    while len(inner := tree.children(train)) == 1 and role_of(name_of(inner[0])) == Role("train"):
        train = inner[0]  # archives often have train/train
    if not tree.children(train):
        if len(by_split) == 1:
            return {"train": top}  # a class of that name
        raise DataError(
            f"a folder {name_of(train)}/ must hold one sub-folder per class, or images/ and masks/, got "
            f"{tree.display_path(train)} without any; sort the images into sub-folders, or "
            f"{_labels_elsewhere(tree, top)}"
        )
    others = [child for child in children if child not in roles]
    for other in others:
        _refuse_unknown_split(tree, train, other, has_held_out=len(by_split) > 1)
    folders = {"train": _unwrap(tree, train)}
    classes = {class_name(child) for child in tree.subfolders[folders["train"]]}
    for split in ("validation", "test"):
        if split in by_split:
            folder = _only(tree, by_split[split])
            while len(inner := tree.children(folder)) == 1 and class_name(inner[0]) not in classes:
                if not tree.children(inner[0]):
                    break
                folder = inner[0]
            folders[split] = folder
    return folders


def _labels_elsewhere(tree: ImageTree, top: str) -> str:
    """Return advice where the labels of images in a folder may be: in a table beside it, or in names."""
    tables = [
        path
        for path in sorted(tree.entries)
        if path.lower().endswith((".csv", ".tsv")) and path.rpartition("/")[0] == top
    ]
    tables.sort(key=lambda path: "train" not in name_of(path).casefold())
    if tables:
        return f"pass the table of their labels in place of the folder, {tree.display_path(tables[0])}"
    return "pass --label-from if the names of the files hold the labels"


def _refuse_unknown_split(tree: ImageTree, train: str, other: str, has_held_out: bool) -> None:
    """Raise DataError if a folder beside train/ might be a split, or a class beside a class named train."""
    names, others = ({class_name(child).casefold() for child in tree.children(f)} for f in (train, other))
    if names & others:
        raise DataError(
            f"a folder beside {tree.display_path(train)} must be named after its split, got "
            f"{tree.display_path(other)} with the same classes; rename it to val or test, or move it away"
        )
    if others and not has_held_out:
        raise DataError(
            f"a folder {name_of(train)}/ must be a split or a class, got {tree.display_path(train)} beside "
            f"{tree.display_path(other)}, both with sub-folders; rename one or move it away"
        )
