from __future__ import annotations

import numpy as np

from nas.engines._feasibility import FeasibilityModel, at_chance_level


def test_only_a_shared_worst_error_is_at_chance_level() -> None:
    assert at_chance_level(np.array([0.9, 0.9, 0.9, 0.3, 0.5])).tolist() == [True, True, True, False, False]
    assert not at_chance_level(np.array([0.9, 0.7, 0.6, 0.3])).any()


def test_a_sharp_boundary_is_predicted() -> None:
    inputs = np.random.default_rng(0).uniform(-1, 1, (80, 3))
    model = FeasibilityModel(inputs[:60], inputs[:60, 0] > 0)
    assert np.mean((model.predict(inputs[60:]) > 0.5) == (inputs[60:, 0] > 0)) > 0.9
    assert FeasibilityModel(inputs, np.ones(80, dtype=bool)).predict(inputs).min() == 1.0
