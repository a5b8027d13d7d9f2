"""What a network's graph says of it: how long the ways from input to output are, and what leads nowhere.

How operations are connected decides as much as how many there are; what foretells accuracy from paths
needs fewer trainings (White et al., "A study on encodings for neural architecture search", arXiv:2007.04965).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

__all__ = ["Paths", "describe_paths"]


class Paths(NamedTuple):
    """The paths from a graph's first place to its last.

    Features: log(1 + how many there are), and the longest and shortest in operations, 0 where there is none.
    """

    features: dict[str, float]
    used: tuple[bool, ...]  # for each place whether it lies on one


def describe_paths(inputs: Sequence[Sequence[int]], lengths: Sequence[int]) -> Paths:
    """Follow a network from its first place, the input, to its last, the output.

    inputs: for each place those that it reads, all before it; lengths: how many operations each is.
    """
    counts, longest, shortest = [1], [lengths[0]], [lengths[0]]
    for read, length in zip(inputs[1:], lengths[1:], strict=True):
        reached = [place for place in read if counts[place]]
        counts.append(sum(counts[place] for place in reached))
        longest.append(length + max((longest[place] for place in reached), default=0))
        shortest.append(length + min((shortest[place] for place in reached), default=0))
    some = counts[-1] > 0
    used = [False] * len(counts)
    used[-1] = some
    for place in reversed(range(1, len(counts))):
        for source in inputs[place] if used[place] else ():
            used[source] = counts[source] > 0
    features = {
        "paths": log(1 + counts[-1]),
        "longest_path": float(longest[-1] * some),
        "shortest_path": float(shortest[-1] * some),
    }
    return Paths(features, tuple(used))
