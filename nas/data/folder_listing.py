"""List the files and folders of a data set on disk, each real folder once."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["TABLE_NAMES", "FolderListing", "is_ignored", "join_path", "list_folder"]

IGNORED_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "lost+found", "$recycle.bin"}
    | {"system volume information", "__macosx", "__pycache__"}
)
TABLE_NAMES = ("labels.csv", "metadata.csv", "labels.tsv")
"""Tables of labels that are looked for beside images, in this order."""


@dataclass
class FolderListing:
    """What is below a folder, by relative paths with `/`."""

    files: dict[str, os.stat_result | None] = field(default_factory=dict)  # None: it cannot be opened
    folders: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)  # links to folders that are listed, or must not be
    outside: list[str] = field(default_factory=list)  # links to folders that are not below the root; listed
    special: list[str] = field(default_factory=list)  # pipes, devices and sockets
    unreadable: list[OSError] = field(default_factory=list)  # of folders


def list_folder(path: Path) -> FolderListing:
    """List a folder without hidden and ignored names.

    Each folder is visited once: a link to a folder that has been listed, or to one above `path`, is left out.
    """
    found = FolderListing()
    links: list[str] = []
    real_root = os.path.realpath(path)
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending or links:  # links come last, so that a folder keeps its own name
        is_link = not pending
        folder = links.pop(0) if is_link else pending.pop()
        location = os.path.join(path, folder)
        target = os.path.realpath(location) if is_link else ""
        try:
            if is_link and (
                os.path.commonpath([target, real_root]) == target or target.startswith(("/proc", "/sys"))
            ):
                found.repeated.append(folder)
                continue
            status = os.stat(location)
            if (status.st_dev, status.st_ino) in seen:
                found.repeated.append(folder)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(location) as listing:
                members = sorted(listing, key=lambda member: member.name)
        except OSError as error:
            found.unreadable.append(error)
            continue
        if is_link and os.path.commonpath([target, real_root]) != real_root:
            found.outside.append(folder)
        found.folders += [folder] if folder else []
        for member in members:
            if is_ignored(member.name):
                continue
            child = join_path(folder, member.name)
            try:
                status = member.stat()
            except OSError:  # a link to nothing or to itself, or no permission
                found.files[child] = None
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if member.is_symlink() else pending).append(child)
            elif stat.S_ISREG(status.st_mode):
                found.files[child] = status
            else:
                found.special.append(child)
    return found


def is_ignored(name: str) -> bool:
    """Check whether a file or folder is hidden, or is one that operating systems add."""
    return name.startswith(".") or name.casefold() in IGNORED_NAMES


def join_path(*parts: str) -> str:
    """Join relative paths, without those that are empty."""
    return "/".join(part for part in parts if part)
