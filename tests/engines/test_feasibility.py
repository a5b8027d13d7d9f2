from __future__ import annotations

import numpy as np

from nas.engines._feasibility import FeasibilityModel


def test_a_sharp_boundary_is_predicted() -> None:
    inputs = np.random.default_rng(0).uniform(-1, 1, (80, 3))
    model = FeasibilityModel(inputs[:60], inputs[:60, 0] > 0)
    assert np.mean((model.predict(inputs[60:]) > 0.5) == (inputs[60:, 0] > 0)) > 0.9
    assert FeasibilityModel(inputs, np.ones(80, dtype=bool)).predict(inputs).min() == 1.0
