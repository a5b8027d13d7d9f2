"""Examples before they are split: a `Source` from a folder of images, or from a .zip of one."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nas.data.arrays import Array, Examples, Source, resized_masks
from nas.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["read_folder", "read_zip"]

LOSSLESS = frozenset({".bmp", ".gif", ".pgm", ".png", ".tif", ".tiff"})
SUFFIXES = LOSSLESS | {".jpeg", ".jpg", ".ppm", ".webp"}
"""Files that are read as images; any other is left alone."""

VALIDATION = ("val", "validation", "valid")
GREY = frozenset({"1", "L", "LA"})
DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What Pillow and zipfile raise for a damaged file, Pillow's own (OSError, ValueError) among them."""
TOGETHER = 256  # images decoded before they are joined to the rest


def read_folder(path: Path, side: int | None) -> Source:
    """Read a folder: one sub-folder a class, or images/ and masks/; below train/ and test/ where present."""
    names: list[str] = []

    def refuse(error: OSError) -> None:
        raise DataError(
            f"a data set's folders must be readable, got {error.filename}: {error.strerror}; mend it"
        )

    for folder, folders, files in os.walk(path, onerror=refuse, followlinks=True):
        place = Path(folder).relative_to(path)
        names += [f"{(place / name).as_posix()}/" for name in folders]
        names += [(place / name).as_posix() for name in files]
    return _read(_Tree(str(path), names, lambda name: (path / name).read_bytes()), side)


def read_zip(path: Path, side: int | None) -> Source:
    """Read a .zip of such a folder without unpacking it."""
    try:
        archive = zipfile.ZipFile(path)  # open as long as the source: images are read when they are chosen
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:  # the last: an unknown compression
        raise DataError(
            f"a .zip must be readable, got {path} that is not ({error}); write it again"
        ) from error
    return _read(_Tree(str(path), archive.namelist(), archive.read), side)


@dataclass
class _Tree:
    """The folders and images below a root, by relative path with '/' between."""

    root: str
    names: Sequence[str]  # a folder's ends with '/'
    fetch: Callable[[str], bytes]  # an image's content
    written: dict[str, str] = field(init=False)  # an image's path -> its name among `names`
    images: list[str] = field(init=False)  # in order
    children: dict[str, set[str]] = field(init=False)  # a folder's sub-folders, by path; '' is the root

    def __post_init__(self) -> None:
        self.written, self.children = {}, {"": set()}
        for name in self.names:
            parts = PurePosixPath(name).parts
            if any(part.startswith((".", "__MACOSX")) for part in parts):
                continue
            is_folder = name.endswith("/")
            self._add(parts if is_folder else parts[:-1])
            if not is_folder and PurePosixPath(name).suffix.lower() in SUFFIXES:
                self.written["/".join(parts)] = name
        self.images = sorted(self.written)

    def _add(self, parts: Sequence[str]) -> None:
        path = ""
        for part in parts:
            parent, path = path, _joined(path, part)
            self.children[parent].add(path)
            self.children.setdefault(path, set())

    def has(self, folder: str, name: str) -> bool:
        """Say whether the folder has a sub-folder of this name."""
        return _joined(folder, name) in self.children.get(folder, ())

    def below(self, folder: str) -> list[str]:
        """Give the images below a folder, at any depth, in order."""
        start, end = (bisect_left(self.images, f"{folder}{mark}") for mark in "/0")  # '0' comes after '/'
        return self.images[start:end]

    def content(self, image: str) -> bytes:
        """Read an image's file."""
        return self.fetch(self.written[image])

    def where(self, name: str) -> str:
        """Give a path as the user knows it."""
        return f"{self.root}/{name}" if name else self.root


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _read(tree: _Tree, side: int | None) -> Source:
    top = ""
    only = sorted(tree.children[top])
    if len(only) == 1 and only[0] != "train" and tree.children[only[0]]:
        top = only[0]
    reader = _Reader(tree, side)
    if tree.has(top, "images") and tree.has(top, "masks"):
        splits = _splits(tree, _joined(top, "images"))  # images/train and masks/train, or neither
        images, masks = _joined(top, "images"), _joined(top, "masks")
        return _masked(
            reader, {name: (_joined(images, at), _joined(masks, at)) for name, at in splits.items()}
        )
    splits = {name: _joined(top, at) for name, at in _splits(tree, top).items()}
    if tree.has(splits["train"], "images") and tree.has(splits["train"], "masks"):
        pairs = {name: (_joined(at, "images"), _joined(at, "masks")) for name, at in splits.items()}
        return _masked(reader, pairs)
    return _classified(reader, splits)


def _splits(tree: _Tree, folder: str) -> dict[str, str]:
    """Give each split's sub-folder; {'train': ''} where the folder itself is the one split.

    A sub-folder `train` that holds images and no folders, beside others, is a class of that name.
    """
    if not tree.has(folder, "train"):
        return {"train": ""}
    others = any(tree.has(folder, name) for name in (*VALIDATION, "test"))
    if not (tree.children[_joined(folder, "train")] or PurePosixPath(folder).name == "images"):
        if others:
            raise DataError(
                f"train/ must hold one sub-folder a class, or images/ and masks/, got "
                f"{tree.where(_joined(folder, 'train'))} without any; sort the images into sub-folders"
            )
        return {"train": ""}
    found = {"train": "train"}
    for split, names in (("validation", VALIDATION), ("test", ("test",))):
        present = [name for name in names if tree.has(folder, name)]
        if present:
            found[split] = present[0]
    return found


def _classified(reader: _Reader, folders: dict[str, str]) -> Source:
    tree = reader.tree
    children = sorted(tree.children[folders["train"]])
    if not children:
        raise DataError(
            f"a folder of images must hold one sub-folder a class, or images/ and masks/, got "
            f"{tree.where(folders['train'])} without any; sort the images into sub-folders"
        )
    classes = {PurePosixPath(child).name: place for place, child in enumerate(children)}
    splits = {}
    for split, folder in folders.items():
        files, labels = [], []
        for child in sorted(tree.children[folder]):
            name = PurePosixPath(child).name
            if name not in classes:
                raise DataError(
                    f"every class must occur in {tree.where(folders['train'])}, got {tree.where(child)}; "
                    "add images of it there or take it out"
                )
            images = tree.below(child)
            if not images and split == "train":
                raise DataError(
                    f"every class must have images, got {tree.where(child)} with none; add some "
                    f"({', '.join(sorted(SUFFIXES))}) or take the folder out"
                )
            files += images
            labels += [classes[name]] * len(images)
        if not files:
            raise DataError(
                f"every split must have images in a sub-folder a class, got none in {tree.where(folder)}; "
                "add them or take the folder out"
            )
        items = [(file, "") for file in files]
        splits[split] = Examples(len(items), np.array(labels), reader.of(items))
    return Source(tuple(classes), splits)


def _masked(reader: _Reader, folders: dict[str, tuple[str, str]]) -> Source:
    tree, splits = reader.tree, {}
    for split, (image_folder, mask_folder) in folders.items():
        images, masks = _by_stem(tree, image_folder), _by_stem(tree, mask_folder)
        if not images:
            raise DataError(
                f"images/ must hold images, got none in {tree.where(image_folder)}; add them or take it out"
            )
        if lonely := sorted(set(images) ^ set(masks)):
            stem = lonely[0]
            file = images.get(stem) or masks[stem]
            raise DataError(
                f"every image must have a mask of its name in masks/, and every mask an image, got only "
                f"{tree.where(file)}; add its partner"
            )
        if lossy := [file for file in masks.values() if PurePosixPath(file).suffix.lower() not in LOSSLESS]:
            raise DataError(
                f"masks must be PNG images of integer labels, got {tree.where(lossy[0])}; save them as PNG"
            )
        items = [(images[stem], masks[stem]) for stem in sorted(images)]
        splits[split] = Examples(len(items), None, reader.of(items))
    return Source((), splits)


def _by_stem(tree: _Tree, folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in tree.below(folder):
        stem = str(PurePosixPath(file).relative_to(folder).with_suffix(""))
        if stem in found:
            raise DataError(
                f"images/ and masks/ must hold one file of a name, got {tree.where(found[stem])} and "
                f"{tree.where(file)}; take one out"
            )
        found[stem] = file
    return found


class _Reader:
    """Decodes the images of one data set, all to one size: the first image's, or `side` squared."""

    def __init__(self, tree: _Tree, side: int | None) -> None:
        self.tree = tree
        self.side = side
        self.first: tuple[str, tuple[int, int]] | None = None  # a file and its (width, height)

    def of(self, items: Sequence[tuple[str, str]]) -> Callable[[Array], tuple[Array, Array | None]]:
        """Give the function that reads the items (image, mask or '') with the given numbers."""
        return lambda numbers: self._read([items[number] for number in numbers.tolist()])

    def _read(self, items: Sequence[tuple[str, str]]) -> tuple[Array, Array | None]:
        x: Array | None = None
        masks: list[Array] = []
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for start in range(0, len(items), TOGETHER):
                some = items[start : start + TOGETHER]
                for place, (image, mask) in enumerate(pool.map(self._decode, some), start):
                    height, width = image.shape[:2]
                    self._check_size(items[place][0], (width, height))
                    if x is None:
                        x = np.empty((len(items), height, width, 1 if image.ndim == 2 else 3), np.uint8)
                    elif image.ndim == 3 and x.shape[-1] == 1:
                        x = np.repeat(x, 3, axis=-1)
                    x[place] = image if image.ndim == 3 else image[..., None]
                    if mask is not None:
                        masks.append(mask)
        assert x is not None
        return x, np.stack(masks) if masks else None

    def _check_size(self, file: str, size: tuple[int, int]) -> None:
        if self.first is None:
            self.first = (file, size)
        other, wanted = self.first
        if size != wanted:
            raise DataError(
                f"images must be of one size, got {wanted[0]}x{wanted[1]} in {self.tree.where(other)} and "
                f"{size[0]}x{size[1]} in {self.tree.where(file)}; resize them all, for example with "
                "--image-size 64"
            )

    def _decode(self, item: tuple[str, str]) -> tuple[Array, Array | None]:
        from PIL import Image

        with self._naming(item[0]):
            image = Image.open(io.BytesIO(self.tree.content(item[0])))
            size = image.size
            pixels = _eight_bit(image)
            if self.side is not None and size != (self.side, self.side):
                pixels = pixels.resize((self.side, self.side), Image.Resampling.BILINEAR)
            return np.asarray(pixels), self._mask(item, size) if item[1] else None

    def _mask(self, item: tuple[str, str], size: tuple[int, int]) -> Array:
        from PIL import Image

        with self._naming(item[1]):
            mask = Image.open(io.BytesIO(self.tree.content(item[1])))
            labels = np.asarray(mask)
        if mask.size != size:
            raise DataError(
                f"masks must have the size of their images, got {size[0]}x{size[1]} in "
                f"{self.tree.where(item[0])} and {mask.size[0]}x{mask.size[1]} in "
                f"{self.tree.where(item[1])}; save the mask anew"
            )
        if labels.ndim != 2 or labels.dtype.kind not in "iub":
            raise DataError(
                f"masks must be images of one channel that holds integer labels, got {mask.mode} in "
                f"{self.tree.where(item[1])}; save it as grey or palette PNG"
            )
        labels = labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.int32)
        resized: Array = resized_masks(labels[None], self.side)[0]
        return resized

    @contextlib.contextmanager
    def _naming(self, file: str) -> Iterator[None]:
        """Turn what a damaged file raises into a DataError that names it."""
        from PIL import Image, UnidentifiedImageError

        try:
            yield
        except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
            reason = "no known format" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(
                f"images must be readable, got {self.tree.where(file)} that is not ({reason}); replace it or "
                "take it out"
            ) from error


def _eight_bit(image: Image) -> Image:
    """Give an image as 8-bit grey, or as RGB where it may have colour."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in GREY else "RGB")
