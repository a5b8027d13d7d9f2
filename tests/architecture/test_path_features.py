from __future__ import annotations

from collections.abc import Iterator
from math import log

import numpy as np
import pytest

from nas.architecture import BIASED_KINDS, Architecture, describe_paths


def ways(inputs: list[list[int]], place: int) -> Iterator[list[int]]:
    """Give every way from the first place to this one."""
    if place == 0:
        yield [0]
    for source in inputs[place]:
        for way in ways(inputs, source):
            yield [*way, place]


@pytest.mark.parametrize("seed", range(20))
def test_paths_are_those_that_are_found_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [[source for source in range(place) if rng.random() < 0.3] for place in range(9)]
    lengths = rng.integers(0, 2, 9).tolist()
    every = list(ways(inputs, 8))
    sums = [sum(lengths[place] for place in way) for way in every]
    found = describe_paths(inputs, lengths)
    assert found.features == {
        "paths": log(1 + len(every)),
        "longest_path": max(sums, default=0),
        "shortest_path": min(sums, default=0),
    }
    assert found.used == tuple(any(place in way for way in every) for place in range(9))


def test_a_residual_connection_shortens_the_shortest_path() -> None:
    data = {"input_shape": [16, 16, 3], "classes": 4, "stem": {"width": 8}}
    stage = {"conv": "standard", "width": 8, "convs": 2, "blocks": 3}
    longest, shortest, counts = [], [], []
    for residual in ("none", "identity"):
        architecture = Architecture.from_dict(data | {"stages": [stage | {"residual": residual}]})
        layers = architecture.layers
        found = describe_paths(
            [layer.inputs for layer in layers], [int(layer.kind in BIASED_KINDS) for layer in layers]
        )
        assert all(found.used)
        longest.append(found.features["longest_path"])
        shortest.append(found.features["shortest_path"])
        counts.append(found.features["paths"])
    assert longest == [8, 8]  # the stem, 3 blocks of 2 and the head
    assert shortest == [8, 2]
    assert counts == [log(2), log(9)]


def test_more_paths_than_a_float_can_count() -> None:
    inputs = [[]] + [[place, place] for place in range(1100)]
    assert describe_paths(inputs, [0] * 1101).features["paths"] == pytest.approx(1100 * log(2))
