"""The scale of numbers, as part of the weights of the last layer."""

from __future__ import annotations

import numpy as np

from nas.backends import TargetScale


def test_a_folded_network_predicts_the_numbers_themselves():
    rng = np.random.default_rng(0)
    scale = TargetScale((2000.0, -3.0), (5.0, 0.01))
    features, kernel, bias = rng.normal(size=(20, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)
    other, *last = scale.fold([np.ones(3), kernel, bias])
    assert np.array_equal(other, np.ones(3))
    expected = scale.numbers(features @ kernel + bias)
    np.testing.assert_allclose(features @ last[0] + last[1], expected, rtol=1e-5)
    _, *back = scale.unfold([other, *last])
    np.testing.assert_allclose(back[0], kernel, rtol=1e-5)
    np.testing.assert_allclose(back[1], bias, atol=1e-4)
