from __future__ import annotations

import numpy as np

from nas.engines.keras_tuner_engine import _GaussianProcess


def test_the_process_predicts_as_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    rng = np.random.default_rng(0)
    x = rng.random((30, 4))
    y = 5 + np.sin(3 * x[:, 0]) + (x[:, 1:] ** 2).sum(axis=1)
    plain = GaussianProcessRegressor(Matern(nu=2.5), normalize_y=True, alpha=1e-4, random_state=0)
    fast = _GaussianProcess(plain)
    unfitted = fast.predict(x, return_std=True)
    np.testing.assert_array_equal(unfitted, (np.zeros(30), np.ones(30)))
    fast.fit(x, y)
    points = rng.random((50, 4))
    for ours, theirs in zip(fast.predict(points), plain.predict(points, return_std=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
