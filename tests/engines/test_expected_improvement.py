from __future__ import annotations

import moocore
import numpy as np
import pytest

from nas.engines._expected_improvement import (
    MIN_IMPROVEMENT,
    ErrorPosterior,
    decompose,
    expected_hypervolume_improvement,
)


@pytest.mark.parametrize(("trained", "cheap"), [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)])
def test_expected_improvement_agrees_with_sampling(trained: int, cheap: int) -> None:
    rng = np.random.default_rng(10 * trained + cheap)
    points = rng.uniform(0.1, 0.9, (12, trained + cheap))
    reference = np.ones(trained + cheap)
    boxes = decompose(points, reference)
    assert boxes.volume == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-9)
    costs = rng.uniform(0.0, 0.8, (3, cheap))
    posteriors = [ErrorPosterior(rng.uniform(0.1, 0.8, 3), rng.uniform(0.1, 0.4, 3)) for _ in range(trained)]
    # The samples improve on a front whose first level is lower by the smallest improvement that counts.
    front = points.copy()
    front[:, 0] -= MIN_IMPROVEMENT
    bound = np.array([1 - MIN_IMPROVEMENT, *reference[1:]])
    base = moocore.hypervolume(front, ref=bound)
    for index, exact in enumerate(expected_hypervolume_improvement(boxes, posteriors, costs)):
        draws = 3000
        levels = [rng.normal(p.mean[index], p.deviation[index], draws) for p in posteriors]
        gains = [
            moocore.hypervolume(np.vstack([front, [*level, *costs[index]]]), ref=bound) - base
            for level in zip(*levels, strict=True)
        ]
        assert exact == pytest.approx(np.mean(gains), abs=5 * np.std(gains) / np.sqrt(draws) + 1e-4)


def test_boxes_are_disjoint_and_cover_the_non_dominated_space() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (25, 3))
    boxes = decompose(points, np.ones(3))
    for probe in rng.uniform(0, 1, (400, 3)):
        inside = (probe[0] < boxes.level) & (boxes.low <= probe[1:]).all(1) & (probe[1:] < boxes.high).all(1)
        dominated = (points <= probe).all(axis=1).any()
        assert inside.sum() == (0 if dominated else 1)
