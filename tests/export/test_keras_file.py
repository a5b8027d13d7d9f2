"""Exported `.keras` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.backends import build_model
from nas.export.keras_file import export_keras
from tests.exported_designs import GRAMMAR, design, random_inputs, random_weights


@pytest.mark.trains
def test_a_keras_file_can_be_trained_and_contains_the_weights(tmp_path: Path) -> None:
    import keras

    one = design(GRAMMAR["training"])
    fresh = keras.saving.load_model(export_keras(one, None, tmp_path / "fresh.keras"))
    x = random_inputs(one.architecture)
    assert "accuracy" in fresh.evaluate(
        random_inputs(one.architecture), np.zeros(4), verbose=0, return_dict=True
    )
    history = fresh.fit(random_inputs(one.architecture), np.zeros(4), verbose=0).history
    assert np.isfinite(history["loss"][0])
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    kept = keras.saving.load_model(export_keras(one, weights, tmp_path / "kept.keras"))
    np.testing.assert_allclose(kept(x, training=False), model(x, training=False), atol=1e-6)
    headless = keras.saving.load_model(
        export_keras(design(GRAMMAR["no head"]), None, tmp_path / "headless.keras")
    )
    assert not headless.compiled


@pytest.mark.trains
@pytest.mark.parametrize(
    ("task", "metric"), [("multi_label", "binary_accuracy"), ("regression", "mean_absolute_error")]
)
def test_a_keras_file_of_another_task_is_evaluated_and_trained(
    tmp_path: Path, task: str, metric: str
) -> None:
    import keras

    one = design(GRAMMAR[task])
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    kept = keras.saving.load_model(export_keras(one, weights, tmp_path / "kept.keras"))
    x = random_inputs(one.architecture)
    expected = model(x, training=False).numpy()
    rng = np.random.default_rng(0)
    if task == "multi_label":
        y = rng.integers(0, 2, expected.shape)
        value = np.mean((expected > 0.5) == y)
    else:
        y = rng.normal(size=expected.shape)
        value = np.abs(expected - y).mean()
    assert kept.evaluate(x, y, verbose=0, return_dict=True)[metric] == pytest.approx(value, rel=1e-4)
    assert np.isfinite(kept.fit(x, y, verbose=0).history["loss"][0])
