from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from toy_engine_space import shared_table

from nas.engines._candidate_pool import CandidatePool
from nas.engines._gaussian_process import ErrorModel, squared_distances


def level(errors: np.ndarray) -> np.ndarray:
    return np.log(errors + 0.005)


def observations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 3))
    return x, np.exp(-2 + 0.6 * np.sin(2 * x[:, 0]) + 0.4 * x[:, 1])


def test_the_gradient_of_the_loss_agrees_with_finite_differences() -> None:
    x, errors = observations(20, 0)
    x = np.column_stack([x[:, :1], x[:, 1:2] > 0, x[:, 1:], x[:, 0] > 0])  # two open values and a cost
    model = ErrorModel(np.array([0, 0, 1, 1, 2]), [1], x)
    lags = np.where(np.arange(20) % 3 == 0, 0.5, 0.0)
    sources = np.arange(20) // 10
    model.fit(x, level(errors), lags, sources)
    distances = np.stack([squared_distances(x[:, c], x[:, c]) for c in ([0, 1], [2, 3], [4])])
    data = (
        distances,
        model._effects(x, x),
        model._targets,
        lags,
        np.outer(lags, lags) * (sources[:, None] == sources),
    )
    for seed in (0, 1):
        p = model._prior + np.random.default_rng(seed).normal(0, 0.5, len(model._prior))
        size = np.abs(model._loss(p, *data)[1]).max()
        difference = check_grad(lambda q: model._loss(q, *data)[0], lambda q: model._loss(q, *data)[1], p)
        assert difference < 1e-4 * size
    with np.errstate(all="raise"):
        assert (
            model._loss(model._prior + 1e3, *data)[0] == 1e10
        )  # far from the prior: rejected without overflow


def categories(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw six values of five choices: their indices (count, 6), and one-hot inputs (count, 30)."""
    indices = rng.integers(5, size=(count, 6))
    return indices, (indices[:, :, None] == np.arange(5)).reshape(count, 30) / np.sqrt(2)


def test_effects_average_over_all_values() -> None:
    rng = np.random.default_rng(5)
    indices, x = categories(rng, 4000)
    model = ErrorModel(np.repeat(np.arange(6), 5), [], x)
    covariances = model._effects(x[:20], x[:30])
    same = indices[:20, None, :] == indices[None, :30, :]
    np.testing.assert_allclose(covariances, ((same - 0.2) / 0.8).mean(axis=2), atol=0.05)
    np.testing.assert_allclose(model._effects.diagonal(x[:20]), np.diag(covariances), atol=1e-9)


def test_main_effects_are_learnt_from_dissimilar_networks() -> None:
    rng = np.random.default_rng(6)
    indices, x = categories(rng, 400)
    effects = rng.normal(0, 0.1, (6, 5))
    errors = np.exp(-2 + effects[np.arange(6), indices].sum(axis=1))
    model = ErrorModel(np.repeat(np.arange(6), 5), [], x)
    model.fit(x[:60], level(errors[:60]), np.zeros(60))
    truth = level(errors[60:])
    residuals = model.predict(x[60:])[0] - truth
    assert np.std(residuals) < 0.25 * np.std(truth)  # 0.5 without the main effects


def test_unseen_errors_are_predicted() -> None:
    x, errors = observations(160, 1)
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:60], level(errors[:60]), np.zeros(60))
    mean, deviation = model.predict(x[60:])
    residuals = level(errors[60:]) - mean
    assert np.abs(residuals).mean() < 0.25 * np.std(np.log(errors))
    assert 0.5 < np.sqrt(np.mean((residuals / deviation) ** 2)) < 3.0


@pytest.mark.parametrize(("noise", "min_rms"), [(0.0, 0.0), (0.02, 0.5)])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_deviations_are_calibrated_with_and_without_noise(seed: int, noise: float, min_rms: float) -> None:
    x, errors = observations(160, seed)
    noisy = errors * np.exp(np.random.default_rng(seed).normal(0, noise, 160))
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:60], level(noisy[:60]), np.zeros(60))
    mean, deviation = model.predict(x[60:])
    residuals = level(errors[60:]) - mean
    assert np.abs(residuals).mean() < 0.25 * np.std(np.log(errors))
    assert min_rms < np.sqrt(np.mean((residuals / deviation) ** 2)) < 1.5


@pytest.mark.parametrize("name", ["nb201", "nbmacro"])
def test_deviations_are_calibrated_on_real_tables(name: str) -> None:
    table = shared_table(name, ("params",))
    chosen = np.random.default_rng(0).choice(len(table.rows), 700, replace=False)
    pool = CandidatePool(table.open_values, table.objectives[1:], (), table.describe)
    entries = [entry for row in chosen if (entry := pool.entry(table.setting(int(row)))) is not None]
    x, errors = pool.inputs(entries), 1.0 - table.column("val_accuracy")[chosen]
    model = ErrorModel(pool.groups, pool.covariate_groups, pool.drawn)
    model.fit(x[:100], level(errors[:100]), np.zeros(100))
    mean, deviation = model.predict(x[100:])
    within = np.abs(level(errors[100:]) - mean) < 2.0 * deviation
    assert 0.8 < within.mean() < 0.995


def test_imputing_keeps_the_mean_and_reduces_the_deviation() -> None:
    x, errors = observations(50, 2)
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    model.fit(x[:30], level(errors[:30]), np.zeros(30))
    mean, deviation = model.predict(x[30:])
    model.impute(x[30:35])
    after_mean, after = model.predict(x[30:])
    np.testing.assert_allclose(after_mean, mean, atol=0.02)
    assert (after <= deviation + 1e-6).all()
    assert (after[:5] < 0.7 * deviation[:5]).all()


def test_short_trainings_improve_predictions() -> None:
    x, errors = observations(200, 3)
    noise = np.exp(np.random.default_rng(4).normal(0, 0.05, 200))
    early = 1.8 * errors**0.9 * noise  # biased, scaled and noisy
    alone, both = ErrorModel(np.arange(3), [0, 1, 2], x), ErrorModel(np.arange(3), [0, 1, 2], x)
    alone.fit(x[:12], level(errors[:12]), np.zeros(12))
    both.fit(
        np.vstack([x[:12], x[:100]]), level(np.concatenate([errors[:12], early[:100]])),
        np.concatenate([np.zeros(12), np.full(100, 0.5)]),
    )  # fmt: skip
    truth = level(errors[100:])
    rmse = [np.sqrt(np.mean((model.predict(x[100:])[0] - truth) ** 2)) for model in (alone, both)]
    assert rmse[1] < 0.6 * rmse[0]


def test_other_data_has_its_own_bias() -> None:
    """Short trainings are worse by one constant, those on other data better by another one."""
    x, errors = observations(60, 1)
    model = ErrorModel(np.arange(3), [0, 1, 2], x)
    lags = np.repeat([0.0, 0.5, 1.0], 20)
    levels = level(errors) + np.repeat([0.0, 0.4, -0.4], 20)
    new, expected = observations(40, 2)

    def mean_error(sources: np.ndarray | None) -> float:
        model.fit(x, levels, lags, sources)
        return float(np.abs(model.predict(new)[0] - level(expected)).mean())

    apart = mean_error(np.repeat([0, 0, 1], 20))
    assert apart < 0.1
    assert apart < 0.8 * mean_error(None)
