"""A Gaussian process for the error of a network, given its open values, costs, operations and paths.

Input columns form groups, one for each open value, cost and feature. The relevance (inverse squared length
scale) of each group is fitted by marginal likelihood with weak priors. The main effects of values are a term
of their own, so that the effect of a choice is estimated from all networks that have it, however different
they are otherwise (Duvenaud et al., "Additive Gaussian processes", NeurIPS 2011). A short training is an
observation of the same network at another fidelity, given by a lag (0: full length, 1: one epoch), whose
bias, scale and own variance are fitted as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engines._output_transform import OutputTransform

__all__ = ["ErrorModel", "squared_distances"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

JITTER = 1e-6
MAX_FITTED_ROWS = 300  # rows that the marginal likelihood is computed from
LAG_BIAS = 100.0  # variance of the mean's shift with the lag, relative to the errors': nearly unconstrained

# Prior mean and standard deviation of the logarithm of each hyperparameter besides the relevances. The three
# variances add up to that of the errors, 1.
PRIORS = {
    "smooth": (np.log(1 / 3), 1.0),  # variance of the Matern-5/2 term
    "rough": (np.log(1 / 3), 1.0),  # variance of the exponential (Matern-1/2) term
    "additive": (np.log(1 / 3), 1.0),  # variance of the main effects of all values together
    "noise": (np.log(0.01), 2.0),  # variance of an observation
    "lag_scale": (0.0, 0.5),  # scale of the errors after one epoch relative to full length
    "lag_own": (np.log(0.1), 1.5),  # share of the variance that is specific to short trainings
    "lag_noise": (np.log(0.03), 1.5),  # additional noise of an observation after one epoch
}
RELEVANCE_DEVIATION = 1.5
CONFIDENCE = 0.9  # level at which observations must contradict the model's deviations before these are scaled
MAX_PRIOR_DEVIATIONS = 50.0  # distance from the prior that a step of the optimizer may try: beyond, overflow
MIN_DEVIATION = 0.25  # lower bound when a value is standardized: a rare choice must not get a huge weight


class ErrorModel:
    """A Gaussian process of errors: `fit`, then `predict`; `impute` adds running trials.

    The covariance is the sum of a smooth term over some groups, a rough term over all groups, each with its
    own relevances, and a term of the main effects of the groups that are not smooth, the open values.
    """

    def __init__(self, groups: Indices, smooth: Sequence[int], drawn: Array) -> None:
        """Set the group of each input column, the smooth groups, and a random sample of inputs.

        groups: (columns,); drawn: (candidates, columns).
        """
        self._effects = _Effects([np.flatnonzero(groups == g) for g in sorted({*groups} - {*smooth})], drawn)
        self._all, self._smooth = list(range(int(groups.max()) + 1)), list(smooth)
        self._groups = groups
        self._columns = np.flatnonzero(np.isin(groups, self._smooth))
        others = np.array(list(PRIORS.values()))
        terms = [self._all, self._smooth]
        relevances = [np.full(len(term), np.log(1.0 / max(1, len(term)))) for term in terms]
        self._relevance_count = len(self._all) + len(self._smooth)
        self._prior = np.concatenate([*relevances, others[:, 0]])
        self._prior_deviations = np.concatenate(
            [np.full(self._relevance_count, RELEVANCE_DEVIATION), others[:, 1]]
        )
        self._hyperparameters = self._prior
        self._fitted_rows = 0

    def fit(self, inputs: Array, levels: Array, lags: Array, sources: Indices | None = None) -> None:
        """Fit inputs (observations, columns), levels of errors and lags (observations,).

        sources: (observations,) number of the data that each was observed on; None: all on the same. What is
        specific to short trainings or other data is shared only within a source.

        The hyperparameters are fitted again whenever the number of observations has grown by a tenth.
        """
        self._transform = OutputTransform(levels)
        targets = self._transform.transform(levels)
        full = targets[lags == lags.min()]
        self._center = float(np.median(full))
        self._scale = float(max(np.std(full), 0.25 * np.std(targets), 1e-3))
        self._inputs, self._lags = inputs, lags
        sources = np.zeros(len(inputs), dtype=np.intp) if sources is None else sources
        self._same_source = (sources[:, None] == sources).astype(float)
        self._targets = (targets - self._center) / self._scale
        if len(inputs) >= 1.1 * self._fitted_rows or len(inputs) < self._fitted_rows:
            self._fit_hyperparameters()
            self._fitted_rows = len(inputs)
        self._factorize()

    def _fit_hyperparameters(self) -> None:
        """Maximize the posterior density, from the last hyperparameters and from the prior means."""
        from scipy.optimize import minimize

        count = len(self._inputs)
        rows = np.unique(np.linspace(0, count - 1, min(count, MAX_FITTED_ROWS)).astype(np.intp))
        columns = [self._inputs[rows][:, self._groups == group] for group in self._all]
        distances = np.stack([squared_distances(part, part) for part in columns])
        effects = self._effects(self._inputs[rows], self._inputs[rows])
        lag = np.outer(self._lags[rows], self._lags[rows]) * self._same_source[np.ix_(rows, rows)]
        data = distances, effects, self._targets[rows], self._lags[rows], lag
        starts = [self._prior] if self._fitted_rows == 0 else [self._hyperparameters, self._prior]
        results = [
            minimize(self._loss, start, args=data, jac=True, method="L-BFGS-B", options={"maxiter": 40})
            for start in starts
        ]
        self._hyperparameters = min(results, key=lambda result: float(result.fun)).x

    def _loss(
        self, p: Array, distances: Array, effects: Array, targets: Array, lags: Array, lag: Array
    ) -> tuple[float, Array]:
        """Return the negative log posterior density of the hyperparameters p (logarithms), and its gradient.

        distances: squared, (groups, rows, rows); lag: products of the lags within a source, (rows, rows).
        """
        from scipy.linalg import cho_factor, cho_solve

        z = (p - self._prior) / self._prior_deviations
        if np.abs(z).max() > MAX_PRIOR_DEVIATIONS:
            return 1e10, np.zeros_like(p)
        count = len(self._all)
        relevance = np.exp(p[: self._relevance_count])
        smooth, rough, additive, noise, lag_scale, lag_own, lag_noise = np.exp(p[self._relevance_count :])
        smooth_distances = distances[self._smooth]
        decay, decay_slope = _matern12(np.tensordot(relevance[:count], distances, 1))
        matern, matern_slope = _matern52(np.tensordot(relevance[count:], smooth_distances, 1))
        base = smooth * matern + rough * decay + additive * effects
        scale = 1.0 + (lag_scale - 1.0) * lags
        factor = np.outer(scale, scale) + lag_own * lag
        covariance = factor * base + LAG_BIAS * lag
        covariance[np.diag_indices_from(covariance)] += noise + lag_noise * lags + JITTER
        try:
            lower = cho_factor(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(p)
        inverse = cho_solve(lower, np.eye(len(targets)), check_finite=False)
        weights = inverse @ targets
        outer = 0.5 * (inverse - np.outer(weights, weights))
        scaled = outer * factor
        loss = 0.5 * targets @ weights + np.log(np.diag(lower[0])).sum() + 0.5 * z @ z
        gradient = np.concatenate(
            [
                relevance[:count] * np.tensordot(distances, scaled * rough * decay_slope, 2),
                relevance[count:] * np.tensordot(smooth_distances, scaled * smooth * matern_slope, 2),
                [
                    smooth * (scaled * matern).sum(),
                    rough * (scaled * decay).sum(),
                    additive * (scaled * effects).sum(),
                    noise * np.trace(outer),
                    lag_scale * 2.0 * (outer * base * np.outer(lags, scale)).sum(),
                    lag_own * (outer * lag * base).sum(),
                    lag_noise * (np.diag(outer) * lags).sum(),
                ],
            ]
        )
        return float(loss), gradient + z / self._prior_deviations

    def _covariance(self, a: Array, a_lags: Array, b: Array, b_lags: Array) -> Array:
        """Return the prior covariances between rows a and b at their lags: (a, b).

        If both have rows with a lag, they are the fitted rows.
        """
        smooth, rough, additive, _, lag_scale, lag_own, _ = np.exp(
            self._hyperparameters[self._relevance_count :]
        )
        root = np.exp(0.5 * self._hyperparameters[: len(self._all)])[self._groups]
        decay = _matern12(squared_distances(a * root, b * root))[0]
        base: Array = rough * decay + additive * self._effects(a, b)
        order = np.searchsorted(self._smooth, self._groups[self._columns])
        root = np.exp(0.5 * self._hyperparameters[len(self._all) : self._relevance_count])[order]
        squared = squared_distances(a[:, self._columns] * root, b[:, self._columns] * root)
        base = base + smooth * _matern52(squared)[0]
        if not (a_lags.any() and b_lags.any()):
            scaled: Array = (
                base * (1.0 + (lag_scale - 1.0) * a_lags)[:, None] * (1.0 + (lag_scale - 1.0) * b_lags)
            )
            return scaled
        lag = np.outer(a_lags, b_lags) * self._same_source
        scale = np.outer(1.0 + (lag_scale - 1.0) * a_lags, 1.0 + (lag_scale - 1.0) * b_lags)
        covariance: Array = (scale + lag_own * lag) * base + LAG_BIAS * lag
        return covariance

    def _noise_variances(self, lags: Array) -> Array:
        noise, lag_noise = np.exp(
            self._hyperparameters[[self._relevance_count + 3, self._relevance_count + 6]]
        )
        variances: Array = noise + lag_noise * lags + JITTER
        return variances

    def _variance(self, rows: Array) -> Array:
        """Return the prior variances at rows, at full length: (rows,)."""
        smooth, rough, additive = np.exp(
            self._hyperparameters[self._relevance_count : self._relevance_count + 3]
        )
        variance: Array = smooth + rough + additive * self._effects.diagonal(rows)
        return variance

    def _factorize(self) -> None:
        """Solve for the weights, and calibrate the posterior standard deviations."""
        from scipy.linalg import cho_solve, cholesky

        covariance = self._covariance(self._inputs, self._lags, self._inputs, self._lags)
        covariance[np.diag_indices_from(covariance)] += self._noise_variances(self._lags)
        self._lower = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._lower, True), self._targets, check_finite=False)
        self._deviation_factor = self._calibrate()

    def _calibrate(self) -> float:
        """Return the factor for the posterior standard deviations.

        The leave-one-out residuals (Rasmussen & Williams, Gaussian Processes for Machine Learning, 5.4.2),
        standardized by their deviations, have a mean square and a maximum. The factor is the value nearest
        to 1 for which at least one of the two is within its confidence interval.
        """
        from scipy.linalg import solve_triangular
        from scipy.stats import chi2, norm

        inverse = solve_triangular(self._lower, np.eye(len(self._lower)), lower=True, check_finite=False)
        residuals = np.abs(self._weights) / np.sqrt((inverse**2).sum(axis=0))
        tails = np.array([1.0 + CONFIDENCE, 1.0 - CONFIDENCE]) / 2.0
        by_mean = np.sqrt(residuals @ residuals / chi2.ppf(tails, len(residuals)))
        by_maximum = residuals.max() / norm.ppf((1.0 + tails ** (1.0 / len(residuals))) / 2.0)
        low, high = np.minimum(by_mean, by_maximum)[0], np.maximum(by_mean, by_maximum)[1]
        return float(np.clip(1.0, low, high))

    def impute(self, rows: Array) -> None:
        """Add the posterior mean at rows (candidates, columns) as observations.

        The posterior mean stays the same everywhere; the posterior standard deviation shrinks near the rows.
        """
        from scipy.linalg import cholesky, solve_triangular

        if not len(rows):
            return
        lags = np.zeros(len(rows))
        cross = self._covariance(self._inputs, self._lags, rows, lags)
        block = self._covariance(rows, lags, rows, lags)
        block[np.diag_indices_from(block)] += self._noise_variances(lags) + JITTER
        solved = solve_triangular(self._lower, cross, lower=True, check_finite=False)
        size = len(self._lower)
        lower = np.zeros((size + len(rows), size + len(rows)))
        lower[:size, :size], lower[size:, :size] = self._lower, solved.T
        lower[size:, size:] = cholesky(block - solved.T @ solved, lower=True, check_finite=False)
        self._lower = lower
        self._inputs = np.concatenate([self._inputs, rows])
        self._lags = np.concatenate([self._lags, lags])
        self._weights = np.concatenate([self._weights, np.zeros(len(rows))])

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return the posterior mean and standard deviation of levels at rows: (rows,) each.

        They are those at full length, without observation noise.
        """
        from scipy.linalg import solve_triangular

        cross = self._covariance(rows, np.zeros(len(rows)), self._inputs, self._lags)
        mean = self._center + self._scale * (cross @ self._weights)
        solved = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        variance = np.maximum(self._variance(rows) - (solved**2).sum(axis=0), 1e-9)
        deviation = self._deviation_factor * self._scale * np.sqrt(variance)
        high, low = self._transform.inverse(mean + deviation), self._transform.inverse(mean - deviation)
        return (high + low) / 2.0, np.maximum((high - low) / 2.0, 1e-6)

    def sample(self, rows: Array, count: int, rng: np.random.Generator) -> Array:
        """Draw levels at rows together from the posterior, at full length, without noise: (count, rows)."""
        from scipy.linalg import cholesky, solve_triangular

        none = np.zeros(len(rows))
        cross = self._covariance(rows, none, self._inputs, self._lags)
        solved = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        covariance = self._covariance(rows, none, rows, none) - solved.T @ solved
        # Rounding makes it indefinite where rows are nearly equal.
        covariance[np.diag_indices_from(covariance)] += 1e-6 * covariance.diagonal().max() + JITTER
        root = self._deviation_factor * cholesky(covariance, lower=True, check_finite=False)
        drawn = cross @ self._weights + rng.standard_normal((count, len(rows))) @ root.T
        return self._transform.inverse(self._center + self._scale * drawn)


class _Effects:
    """Covariances of the main effects of values, with an average variance of 1 over a random sample."""

    def __init__(self, columns: Sequence[Indices], drawn: Array) -> None:
        """Set the columns of each value; fit centers and scales to a random sample of inputs."""
        self._columns = columns
        self._centers = [drawn[:, indices].mean(axis=0) for indices in columns]
        centered = [
            drawn[:, indices] - center for indices, center in zip(columns, self._centers, strict=True)
        ]
        self._scales = [max(float(np.sqrt((part**2).sum(axis=1).mean())), MIN_DEVIATION) for part in centered]

    def __call__(self, a: Array, b: Array) -> Array:
        """Return the covariances between rows a and b: (a, b)."""
        covariances: Array = self._features(a) @ self._features(b).T
        return covariances

    def diagonal(self, rows: Array) -> Array:
        """Return the variance of each row: (rows,)."""
        variances: Array = (self._features(rows) ** 2).sum(axis=1)
        return variances

    def _features(self, rows: Array) -> Array:
        """Return features whose inner products are the covariances, averaged over the values."""
        parts = [
            (rows[:, indices] - center) / scale
            for indices, center, scale in zip(self._columns, self._centers, self._scales, strict=True)
        ]
        empty = np.zeros((len(rows), 0))
        features: Array = np.concatenate([empty, *parts], axis=1) / np.sqrt(max(1, len(parts)))
        return features


def squared_distances(a: Array, b: Array) -> Array:
    """Return the squared distances between rows a (n, columns) and b (m, columns): (n, m)."""
    squared: Array = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.maximum(squared, 0.0)


def _matern52(squared: Array) -> tuple[Array, Array]:
    """Return the Matern-5/2 correlation and its derivative by the squared distance."""
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, -(5.0 / 6.0) * (1.0 + root) * decay


def _matern12(squared: Array) -> tuple[Array, Array]:
    """Return the exponential correlation and its derivative by the squared distance."""
    root = np.sqrt(squared + 1e-6)
    decay = np.exp(-root)
    return decay, -0.5 * decay / root
