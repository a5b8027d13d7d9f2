"""Features of the paths of a network's graph: their number, the longest and the shortest.

The connections of a network's operations influence its accuracy as much as their number. A model that
predicts accuracy from features of paths needs fewer trained networks (White et al., "A study on encodings
for neural architecture search", arXiv:2007.04965).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

__all__ = ["Paths", "describe_paths"]


class Paths(NamedTuple):
    """The paths from the first node of a graph to its last."""

    features: dict[str, float]
    """`paths`: log(1 + number of paths). `longest_path`, `shortest_path`: number of operations; 0 if there is
    no path."""
    used: tuple[bool, ...]
    """For each node, whether it lies on a path."""


def describe_paths(inputs: Sequence[Sequence[int]], lengths: Sequence[int]) -> Paths:
    """Describe the paths from the first node of a graph, the input, to its last, the output.

    `inputs` holds for each node the indices of the nodes that it reads, all of them before the node;
    `lengths` holds for each node its number of operations.
    """
    counts, longest, shortest = [1], [lengths[0]], [lengths[0]]
    for sources, length in zip(inputs[1:], lengths[1:], strict=True):
        reachable = [source for source in sources if counts[source]]
        counts.append(sum(counts[source] for source in reachable))
        longest.append(length + max((longest[source] for source in reachable), default=0))
        shortest.append(length + min((shortest[source] for source in reachable), default=0))
    connected = counts[-1] > 0
    used = [False] * len(counts)
    used[-1] = connected
    for node in reversed(range(1, len(counts))):
        for source in inputs[node] if used[node] else ():
            used[source] = counts[source] > 0
    features = {
        "paths": log(1 + counts[-1]),
        "longest_path": float(longest[-1] * connected),
        "shortest_path": float(shortest[-1] * connected),
    }
    return Paths(features, tuple(used))
