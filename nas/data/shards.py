"""Files that hold many examples each: which of a folder are for training, validation and test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nas.data.folder_names import exact_split
from nas.errors import DataError

__all__ = ["find_shards"]


def find_shards(path: Path, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each split: one file, or those of a folder with one of these suffixes.

    The name of a file in a folder starts with its split, as `train-00000-of-00002.parquet`; it may stand in
    `data/`. A folder without such files has none. Raises DataError if only some names start with a split, and
    if there is none for training.
    """
    if not path.is_dir():
        if not path.is_file():  # a pipe would block
            raise DataError(f"a data set must be a file or a folder, got {path}; copy it to a file")
        return {"train": [path]}
    files = sorted(
        file
        for folder in (path, path / "data")
        if folder.is_dir()
        for file in folder.iterdir()
        if file.is_file() and any(suffix in file.suffixes or _starts(file, suffix) for suffix in suffixes)
    )
    words = {file: re.split(r"[^a-z]", file.name.lower())[0] for file in files}
    if not any(map(exact_split, words.values())):
        return {"train": files} if files else {}
    splits: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for file, word in words.items():
        split = exact_split(word)
        if split is None:
            raise DataError(
                f"the names of files must start with train, val or test, got {file}; rename or remove it"
            )
        splits[split].append(file)
    if not splits["train"]:
        raise DataError(
            f"a folder must hold a file for training, got {files[0]}; name one train{suffixes[0]}"
        )
    return {split: some for split, some in splits.items() if some}


def _starts(file: Path, suffix: str) -> bool:
    return any(part.startswith(f"{suffix}-") for part in file.suffixes)  # .tfrecord-00000-of-00002
