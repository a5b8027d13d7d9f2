"""Objectives: errors and values, and qualities in the unit of the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.trials import OBJECTIVES, Criteria, Trial, parse_objectives, pick_trial


@pytest.mark.parametrize("name", [name for name, objective in OBJECTIVES.items() if objective.trained])
def test_the_value_of_an_error_is_the_quality(name):
    objective = replace(OBJECTIVES[name], scale=40.0 if OBJECTIVES[name].has_unit else 1.0)
    assert objective.value(objective.error(0.3)) == pytest.approx(0.3)
    assert objective.error(0.4) < objective.error(0.3) if objective.maximize else objective.error(0.4) > 0.0
    assert objective.in_curve.startswith("val_")
    assert not objective.in_curve.startswith("val_val_")


def test_the_unit_of_the_numbers_changes_no_comparison():
    """Errors in metres and in millimetres: the same floor, picks and distances."""
    values = [(0.9, 10), (0.5, 100), (0.1, 1_000), (0.099, 100_000)]
    mae, params = parse_objectives(["mae", "params"])
    points, picks = [], []
    for unit in (1.0, 1000.0, 1e-6):
        criteria = Criteria((replace(mae, scale=unit), params), examples=200, guess=1.0)
        trials = [
            Trial(number, {}, "", "complete", {"mae": unit * error, "params": size}, 3)
            for number, (error, size) in enumerate(values)
        ]
        points.append(criteria.points(trials))
        assert [trial.number for trial in criteria.useful(trials)] == [2, 3]
        picks.append(pick_trial(trials, criteria, "smallest-within 1%").number)
    np.testing.assert_allclose(points[1:], [points[0]] * 2)
    assert picks == [2, 2, 2]
