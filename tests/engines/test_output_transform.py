from __future__ import annotations

import numpy as np

from nas.engines._output_transform import OutputTransform


def test_the_inverse_undoes_an_increasing_transform() -> None:
    log_errors = np.log(np.linspace(0.01, 1.0, 50))
    fitted = OutputTransform(log_errors)
    np.testing.assert_allclose(fitted.inverse(fitted.transform(log_errors)), log_errors, atol=1e-9)
    assert (np.diff(fitted.transform(log_errors)) > 0).all()


def test_the_inverse_is_at_most_log_2() -> None:
    fitted = OutputTransform(np.log(np.linspace(0.01, 1.0, 50)))
    np.testing.assert_allclose(fitted.inverse(np.array([1.0, 5.0])), np.log(2.0))
