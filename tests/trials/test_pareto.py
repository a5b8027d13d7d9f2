"""Domination, knee and hypervolume against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.trials import non_dominated
from nas.trials.pareto import hypervolume, knee, scale_to_unit

POINTS = st.integers(1, 3).flatmap(
    lambda objectives: arrays(
        float, st.tuples(st.integers(1, 12), st.just(objectives)), elements=st.integers(0, 5).map(float)
    )
)


@given(POINTS)
def test_points_on_the_front_are_not_dominated(points):
    dominated = [
        any((other <= point).all() and (other < point).any() for other in points) for point in points
    ]
    assert list(non_dominated(points)) == [not is_dominated for is_dominated in dominated]


@given(POINTS)
def test_hypervolume_is_the_number_of_dominated_cells(points):
    reference = np.full(points.shape[1], 6.0)
    cells = np.stack(np.meshgrid(*[np.arange(6.0)] * points.shape[1]), -1).reshape(-1, points.shape[1])
    covered = sum(any((point <= cell).all() for point in points) for cell in cells)
    assert hypervolume(points, reference) == pytest.approx(covered)


def test_empty_sets_of_points():
    assert hypervolume(np.zeros((0, 2)), np.ones(2)) == 0.0
    assert non_dominated(np.zeros((0, 2))).shape == (0,)
    with pytest.raises(ValueError, match="at least one point"):
        knee(np.zeros((0, 2)))


def test_scaled_points_span_zero_to_one():
    scaled = scale_to_unit(np.array([[1.0, 5.0, 7.0], [3.0, 15.0, 7.0], [2.0, 10.0, 7.0]]))
    np.testing.assert_allclose(scaled, [[0, 0, 0], [1, 1, 0], [0.5, 0.5, 0]])


def test_the_knee_does_not_depend_on_units():
    front = np.array([[0.0, 1.0], [0.1, 0.3], [0.5, 0.2], [1.0, 0.0]])
    assert knee(front) == 1
    assert knee(front * [1e6, 1e-3] + [5, 5]) == 1
    assert knee(front[:1]) == 0
