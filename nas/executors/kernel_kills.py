"""How many processes the kernel has killed in the control group of this process for want of memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["memory_kills"]

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_kills(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Return the number of processes of this control group that were killed out of memory; 0 if unknown.

    groups: where control groups are mounted; own: the file that names those of this process. Source: the
    kernel's documentation of memory.events (version 2) and memory.oom_control (version 1).
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return 0
    for path in _files(lines, groups):
        try:
            match = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
        except OSError:  # a container does not show the groups outside
            continue
        if match:
            return int(match[1])
    return 0


def _files(lines: list[str], groups: Path) -> Iterator[Path]:
    """Return where the count may be: in the own group, or where a container mounts it."""
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield groups / "memory" / group.lstrip("/") / "memory.oom_control"
            yield groups / "memory" / "memory.oom_control"
        elif not controllers:
            yield groups / group.lstrip("/") / "memory.events"
            yield groups / "memory.events"
