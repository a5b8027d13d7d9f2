"""Features of paths, compared with an enumeration of all paths."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import numpy as np
import pytest

from nas.architecture import BIASED_KINDS, Architecture, describe_paths


def paths_to(inputs: list[list[int]], node: int) -> Iterator[list[int]]:
    """Yield every path from the first node to this one."""
    if node == 0:
        yield [0]
    for source in inputs[node]:
        for path in paths_to(inputs, source):
            yield [*path, node]


@pytest.mark.parametrize("seed", range(20))
def test_features_equal_those_of_the_enumerated_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [[source for source in range(node) if rng.random() < 0.3] for node in range(9)]
    lengths = rng.integers(0, 2, 9).tolist()
    paths = list(paths_to(inputs, 8))
    sums = [sum(lengths[node] for node in path) for path in paths]
    described = describe_paths(inputs, lengths)
    assert described.features == {
        "paths": log(1 + len(paths)),
        "longest_path": max(sums, default=0),
        "shortest_path": min(sums, default=0),
    }
    assert described.used == tuple(any(node in path for path in paths) for node in range(9))


def test_a_residual_connection_shortens_the_shortest_path() -> None:
    data = {"input_shape": [16, 16, 3], "classes": 4, "stem": {"width": 8}}
    stage = {"conv": "standard", "width": 8, "convs": 2, "blocks": 3}
    longest, shortest, counts = [], [], []
    for residual in ("none", "identity"):
        architecture = Architecture.from_dict(data | {"stages": [stage | {"residual": residual}]})
        layers = architecture.layers
        described = describe_paths(
            [layer.inputs for layer in layers], [int(layer.kind in BIASED_KINDS) for layer in layers]
        )
        assert all(described.used)
        longest.append(described.features["longest_path"])
        shortest.append(described.features["shortest_path"])
        counts.append(described.features["paths"])
    assert longest == [8, 8]  # the stem, 3 blocks of 2 convolutions, and the head
    assert shortest == [8, 2]
    assert counts == [log(2), log(9)]


def test_more_paths_than_a_float_can_represent() -> None:
    inputs = [[]] + [[node, node] for node in range(1100)]
    assert describe_paths(inputs, [0] * 1101).features["paths"] == pytest.approx(1100 * log(2))
