"""Recognize the usual names of splits, and of folders of images and masks; order names by their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

__all__ = ["SPLIT_WORDS", "Role", "exact_split", "loose_split", "role_of", "sorted_names"]

WORDS_OF_SPLITS = {
    "train": "train training trn",
    "validation": "val vali valid validation validate validating dev development vld",
    "test": "test testing tst holdout heldout",
    "evaluation": "eval evaluation",  # validation or test, whichever is not there
    "unlabelled": "pred predict prediction predictions unlabeled unlabelled inference",
}
WORDS_OF_KINDS = {
    "images": "image images img imgs jpegimages input inputs photo photos picture pictures",
    "masks": "mask masks label labels annotation annotations annot annots trimap trimaps segmentationclass "
    "segmentation segmentations segmap segmaps gt gts groundtruth groundtruths target targets lbl lbls "
    "anno annos",
}
OTHER_WORDS = "set sets data dataset datasets split splits seg folder files"  # beside those

SHORT_SPLITS = {"tr": "train", "ts": "test", "va": "validation"}  # only beside a kind: imagesTr, labelsTr

SPLIT_WORDS = {word: split for split, words in WORDS_OF_SPLITS.items() for word in words.split()}
KIND_WORDS = {word: kind for kind, words in WORDS_OF_KINDS.items() for word in words.split()}
VOCABULARY = frozenset({*SPLIT_WORDS, *SHORT_SPLITS, *KIND_WORDS, *OTHER_WORDS.split()})
LONGEST = max(map(len, VOCABULARY))
MAX_LETTERS = 64  # of a name that is divided into words, which bounds the recursion


@dataclass(frozen=True)
class Role:
    """What a folder holds, by its name."""

    split: str | None = None  # 'train', 'validation', 'test', 'evaluation' or 'unlabelled'
    kind: str | None = None  # 'images' or 'masks'

    def joined(self, inner: Role) -> Role | None:
        """Return the role of a folder with the role `inner` in a folder with this role; None: they differ."""
        splits, kinds = ({self.split, inner.split} - {None}, {self.kind, inner.kind} - {None})
        if len(splits) > 1 or len(kinds) > 1:
            return None
        return Role(self.split or inner.split, self.kind or inner.kind)


def role_of(name: str) -> Role | None:
    """Return the role of a folder by its name, in any case; None if a word of the name is not a usual one.

    >>> role_of("seg_train"), role_of("TrainImages2017"), role_of("steam_train")
    (Role(split='train', kind=None), Role(split='train', kind='images'), None)
    """
    letters = re.sub(r"[\W\d_]+", "", name.casefold())
    words = (_words(letters) if len(letters) <= MAX_LETTERS else None) or ()
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    kinds = {KIND_WORDS[word] for word in words if word in KIND_WORDS}
    if kinds:
        splits |= {SHORT_SPLITS[word] for word in words if word in SHORT_SPLITS}
    elif any(word in SHORT_SPLITS for word in words):
        return None
    if len(splits) > 1 or len(kinds) > 1 or not (splits or kinds):
        return None
    return Role(next(iter(splits), None), next(iter(kinds), None))


@cache
def _words(text: str) -> tuple[str, ...] | None:
    """Divide a text into known words; None if that is not possible."""
    if not text:
        return ()
    for length in range(min(LONGEST, len(text)), 1, -1):
        if text[:length] in VOCABULARY and (rest := _words(text[length:])) is not None:
            return (text[:length], *rest)
    return None


def exact_split(word: str) -> str | None:
    """Return 'train', 'validation' or 'test' for a word that means it, in any case, else None."""
    split = SPLIT_WORDS.get(word.casefold())
    return split if split in ("train", "validation", "test") else None


def loose_split(name: str) -> str | None:
    """Return the split that a name contains as a word among others, for example `cats_train`."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).casefold())
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort names of classes; numbers in them count as numbers.

    >>> sorted_names(["10", "9", "-1"]), sorted_names(["b10", "b9", "a"])
    (['-1', '9', '10'], ['a', 'b9', 'b10'])
    """
    names = sorted(names)
    if all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", name) for name in names):
        return sorted(names, key=float)
    return sorted(names, key=_natural_key)


def _natural_key(name: str) -> list[tuple[str, int, str]]:
    """Return each text with the number that follows it, as its number of digits and its digits."""
    parts = re.split("([0-9]+)", name)
    digits = [part.lstrip("0") for part in parts[1::2]]
    return [(text, len(number), number) for text, number in zip(parts[::2], [*digits, ""], strict=True)]
