"""Decide whether a data set may be used without its unreadable files."""

from __future__ import annotations

from collections.abc import Iterable

from nas.data.image_tree import ImageTree
from nas.errors import DataError

__all__ = ["skip_unreadable"]

SHARE = 100  # one of so many files may be unreadable
MINIMUM = 30  # files, from which on one may be unreadable
LISTED = 20


def skip_unreadable(tree: ImageTree, paths: Iterable[str], total: int, strict: bool) -> list[str]:
    """Return a warning that lists unreadable files if they may be skipped, and nothing if there are none.

    paths: of the files in use. total: number of examples. Raises DataError if `strict`, or if more than 1 %
    of the examples (and more than one of 30) are unreadable.
    """
    files = {tree.display_path(path): tree.unreadable[path] for path in paths if path in tree.unreadable}
    if not files:
        return []
    path, reason = next(iter(files.items()))
    allowed = 0 if strict else max(total // SHARE, int(total >= MINIMUM))
    if len(files) <= allowed:
        listed = ", ".join(f"{path} ({reason})" for path, reason in list(files.items())[:LISTED])
        more = f" and {len(files) - LISTED:,} more" if len(files) > LISTED else ""
        return [f"{len(files):,} of {total:,} images cannot be read and are skipped: {listed}{more}."]
    if len(files) == 1:
        raise DataError(
            f"images must be readable, got {path}, which is not ({reason}); replace it or remove it"
        )
    raise DataError(
        f"{'all' if strict else '99 % of the'} images must be readable, got {len(files):,} of {total:,} that "
        f"are not, such as {path} ({reason}); replace or remove them"
    )
