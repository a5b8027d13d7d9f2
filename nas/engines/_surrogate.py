"""A Gaussian process for the error of a network, from its values, its costs, its operations and its paths.

Inputs come in groups, one for each open value, cost and feature; the relevance of each group is learnt by
marginal likelihood with weak priors. Effects of single values and of pairs of them are terms of their own,
so that what a choice does is learnt from all networks that have it, however unlike they are otherwise
(Duvenaud et al., "Additive Gaussian processes", NeurIPS 2011). A short training counts as a reading of
the same network through a lag (0: full length, 1: one epoch), whose bias, scale and own deviation are
learnt too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engines._warp import SHIFT, Warp

__all__ = ["ErrorModel", "squared_distances"]

Array = NDArray[np.float64]
Places = NDArray[np.intp]

JITTER = 1e-6
LEARNT_FROM = 300  # most rows that the marginal likelihood is taken of
LAG_BIAS = 100.0  # variance of the mean's shift by a lag, in units of the errors' variance: nearly free

# The parameters behind the relevances, by their logarithm: prior mean and deviation. The four variances add
# up to that of the errors, 1.
PRIORS = {
    "smooth": (np.log(0.25), 1.0),  # variance of the Matern-5/2 part
    "rough": (np.log(0.25), 1.0),  # variance of the exponential part
    "single": (np.log(0.25), 1.0),  # variance of the values' own effects, all together
    "pairs": (np.log(0.25), 1.0),  # variance of the effects of two values together
    "noise": (np.log(0.01), 2.0),  # variance of a reading
    "lag_scale": (0.0, 0.5),  # how much more errors differ after one epoch
    "lag_own": (np.log(0.1), 1.5),  # share of the variance that only a short training sees
    "lag_noise": (np.log(0.03), 1.5),  # additional noise of a reading after one epoch
}
RELEVANCE_DEVIATION = 1.5
CONFIDENCE = 0.9  # with which the readings must contradict the model's deviations before these are scaled
FARTHEST = 50.0  # deviations from the priors that a step of the search may try: beyond, numbers overflow
RAREST = 0.25  # deviation of a value that hardly ever differs: no more is made of it than of others


class ErrorModel:
    """A Gaussian process of errors: `fit`, then `predict`, with `believe` for what still runs.

    Its covariance is a smooth part over some groups and a rough one over all, each with its own relevances,
    and an additive part over the groups that are not smooth: the values.
    """

    def __init__(self, groups: Places, smooth: Sequence[int], drawn: Array) -> None:
        """Take the group of each input column, the groups of the smooth part, and inputs drawn by chance."""
        self._effects = _Effects([np.flatnonzero(groups == g) for g in sorted({*groups} - {*smooth})], drawn)
        self._all, self._smooth = list(range(int(groups.max()) + 1)), list(smooth)
        self._groups = groups
        self._columns = np.flatnonzero(np.isin(groups, self._smooth))
        own = np.array(list(PRIORS.values()))
        parts = [self._all, self._smooth]
        relevances = [np.full(len(part), np.log(1.0 / max(1, len(part)))) for part in parts]
        self._count = len(self._all) + len(self._smooth)
        self._prior = np.concatenate([*relevances, own[:, 0]])
        self._prior_deviation = np.concatenate([np.full(self._count, RELEVANCE_DEVIATION), own[:, 1]])
        self._parameters = self._prior
        self._learnt_rows = 0

    def fit(self, inputs: Array, errors: Array, lags: Array) -> None:
        """Learn from inputs (readings, columns), errors and lags (readings,).

        The parameters are learnt anew whenever a tenth more readings have come.
        """
        logs = np.log(np.maximum(errors, 0.0) + SHIFT)
        self._warp = Warp(logs)
        targets = self._warp.forward(logs)
        full = targets[lags == lags.min()]
        self._middle = float(np.median(full))
        self._scale = float(max(np.std(full), 0.25 * np.std(targets), 1e-3))
        self._inputs, self._lags = inputs, lags
        self._targets = (targets - self._middle) / self._scale
        if len(inputs) >= 1.1 * self._learnt_rows or len(inputs) < self._learnt_rows:
            self._learn()
            self._learnt_rows = len(inputs)
        self._factorize()

    def _learn(self) -> None:
        """Maximize the marginal likelihood times the priors, from the last parameters and from the priors."""
        from scipy.optimize import minimize

        count = len(self._inputs)
        chosen = np.unique(np.linspace(0, count - 1, min(count, LEARNT_FROM)).astype(np.intp))
        columns = [self._inputs[chosen][:, self._groups == group] for group in self._all]
        apart = np.stack([squared_distances(rows, rows) for rows in columns])
        effects = self._effects(self._inputs[chosen], self._inputs[chosen])
        data = apart, effects, self._targets[chosen], self._lags[chosen]
        starts = [self._prior] if self._learnt_rows == 0 else [self._parameters, self._prior]
        found = [
            minimize(self._loss, start, args=data, jac=True, method="L-BFGS-B", options={"maxiter": 40})
            for start in starts
        ]
        self._parameters = min(found, key=lambda result: float(result.fun)).x

    def _loss(
        self, p: Array, apart: Array, effects: tuple[Array, Array], targets: Array, lags: Array
    ) -> tuple[float, Array]:
        """Give the negative log posterior of the parameters, and its gradient."""
        from scipy.linalg import cho_factor, cho_solve

        off = (p - self._prior) / self._prior_deviation
        if np.abs(off).max() > FARTHEST:
            return 1e10, np.zeros_like(p)
        every = len(self._all)
        relevance = np.exp(p[: self._count])
        smooth, rough, single, pairs, noise, lag_scale, lag_own, lag_noise = np.exp(p[self._count :])
        some = apart[self._smooth]
        decay, decay_slope = _matern12(np.tensordot(relevance[:every], apart, 1))
        matern, matern_slope = _matern52(np.tensordot(relevance[every:], some, 1))
        base = smooth * matern + rough * decay + single * effects[0] + pairs * effects[1]
        lag = np.outer(lags, lags)
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
        shaped = outer * factor
        loss = 0.5 * targets @ weights + np.log(np.diag(lower[0])).sum() + 0.5 * off @ off
        gradient = np.concatenate(
            [
                relevance[:every] * np.tensordot(apart, shaped * rough * decay_slope, 2),
                relevance[every:] * np.tensordot(some, shaped * smooth * matern_slope, 2),
                [
                    smooth * (shaped * matern).sum(),
                    rough * (shaped * decay).sum(),
                    single * (shaped * effects[0]).sum(),
                    pairs * (shaped * effects[1]).sum(),
                    noise * np.trace(outer),
                    lag_scale * 2.0 * (outer * base * np.outer(lags, scale)).sum(),
                    lag_own * (outer * lag * base).sum(),
                    lag_noise * (np.diag(outer) * lags).sum(),
                ],
            ]
        )
        return float(loss), gradient + off / self._prior_deviation

    def _covariance(self, a: Array, a_lags: Array, b: Array, b_lags: Array) -> Array:
        smooth, rough, single, pairs, _, lag_scale, lag_own, _ = np.exp(self._parameters[self._count :])
        root = np.exp(0.5 * self._parameters[: len(self._all)])[self._groups]
        one, two = self._effects(a, b)
        base: Array = rough * _matern12(squared_distances(a * root, b * root))[0] + single * one + pairs * two
        order = np.searchsorted(self._smooth, self._groups[self._columns])
        root = np.exp(0.5 * self._parameters[len(self._all) : self._count])[order]
        some = squared_distances(a[:, self._columns] * root, b[:, self._columns] * root)
        base = base + smooth * _matern52(some)[0]
        if not (a_lags.any() and b_lags.any()):
            scaled: Array = (
                base * (1.0 + (lag_scale - 1.0) * a_lags)[:, None] * (1.0 + (lag_scale - 1.0) * b_lags)
            )
            return scaled
        lag = np.outer(a_lags, b_lags)
        scale = np.outer(1.0 + (lag_scale - 1.0) * a_lags, 1.0 + (lag_scale - 1.0) * b_lags)
        joined: Array = (scale + lag_own * lag) * base + LAG_BIAS * lag
        return joined

    def _noises(self, lags: Array) -> Array:
        noise, lag_noise = np.exp(self._parameters[[self._count + 4, self._count + 7]])
        noises: Array = noise + lag_noise * lags + JITTER
        return noises

    def _variance(self, rows: Array) -> Array:
        """Give the prior variances at rows, at full length: (rows,)."""
        smooth, rough, single, pairs = np.exp(self._parameters[self._count : self._count + 4])
        one, two = self._effects.of_each(rows)
        variance: Array = smooth + rough + single * one + pairs * two
        return variance

    def _factorize(self) -> None:
        """Solve for the weights, and for a factor of the deviations.

        The errors of foretelling each reading from all others (Rasmussen & Williams, Gaussian Processes for
        Machine Learning, 5.4.2), in their deviations, have a mean square and a greatest. The factor is the
        nearest to 1 with which at least one of the two could be by chance.
        """
        from scipy.linalg import cho_solve, cholesky, solve_triangular
        from scipy.stats import chi2, norm

        covariance = self._covariance(self._inputs, self._lags, self._inputs, self._lags)
        covariance[np.diag_indices_from(covariance)] += self._noises(self._lags)
        self._lower = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._lower, True), self._targets, check_finite=False)
        half = solve_triangular(self._lower, np.eye(len(covariance)), lower=True, check_finite=False)
        residuals = np.abs(self._weights) / np.sqrt((half**2).sum(axis=0))
        tails = np.array([1.0 + CONFIDENCE, 1.0 - CONFIDENCE]) / 2.0
        by_mean = np.sqrt(residuals @ residuals / chi2.ppf(tails, len(residuals)))
        by_greatest = residuals.max() / norm.ppf((1.0 + tails ** (1.0 / len(residuals))) / 2.0)
        least, most = np.minimum(by_mean, by_greatest)[0], np.maximum(by_mean, by_greatest)[1]
        self._factor = float(np.clip(1.0, least, most))

    def believe(self, rows: Array) -> None:
        """Take the mean at rows (candidates, columns) for read: the mean stays, the doubt shrinks."""
        from scipy.linalg import cholesky, solve_triangular

        if not len(rows):
            return
        lags = np.zeros(len(rows))
        cross = self._covariance(self._inputs, self._lags, rows, lags)
        own = self._covariance(rows, lags, rows, lags)
        own[np.diag_indices_from(own)] += self._noises(lags) + JITTER
        below = solve_triangular(self._lower, cross, lower=True, check_finite=False)
        size = len(self._lower)
        lower = np.zeros((size + len(rows), size + len(rows)))
        lower[:size, :size], lower[size:, :size] = self._lower, below.T
        lower[size:, size:] = cholesky(own - below.T @ below, lower=True, check_finite=False)
        self._lower = lower
        self._inputs = np.concatenate([self._inputs, rows])
        self._lags = np.concatenate([self._lags, lags])
        self._weights = np.concatenate([self._weights, np.zeros(len(rows))])

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Give mean and deviation of log(error + SHIFT) at full length, noise left out: (rows,) each."""
        from scipy.linalg import solve_triangular

        cross = self._covariance(rows, np.zeros(len(rows)), self._inputs, self._lags)
        mean = self._middle + self._scale * (cross @ self._weights)
        spread = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        variance = np.maximum(self._variance(rows) - (spread**2).sum(axis=0), 1e-9)
        deviation = self._factor * self._scale * np.sqrt(variance)
        high, low = self._warp.back(mean + deviation), self._warp.back(mean - deviation)
        return (high + low) / 2.0, np.maximum((high - low) / 2.0, 1e-6)


class _Effects:
    """Covariances of effects of single values and of pairs, each of variance 1 over the candidates drawn."""

    def __init__(self, columns: Sequence[Places], drawn: Array) -> None:
        """Take the columns of each value, and inputs drawn by chance."""
        self._columns = columns
        self._middles = [drawn[:, places].mean(axis=0) for places in columns]
        off = [drawn[:, places] - middle for places, middle in zip(columns, self._middles, strict=True)]
        self._sizes = [max(float(np.sqrt((part**2).sum(axis=1).mean())), RAREST) for part in off]

    def __call__(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Give those between rows a and b, of singles and of pairs: (a, b) each."""
        (one_a, square_a), (one_b, square_b) = self._features(a), self._features(b)
        return self._together(one_a @ one_b.T, square_a @ square_b.T)

    def of_each(self, rows: Array) -> tuple[Array, Array]:
        """Give those of each row with itself: (rows,) each."""
        one, square = self._features(rows)
        return self._together((one**2).sum(axis=1), (square**2).sum(axis=1))

    def _together(self, total: Array, squares: Array) -> tuple[Array, Array]:
        """Sum over values and over pairs of them: of products, half the square less the squares."""
        count = len(self._columns)
        return total / max(1, count), (total**2 - squares) / max(1, count * (count - 1))

    def _features(self, rows: Array) -> tuple[Array, Array]:
        """Give what the sum over the values of their covariances is a product of, and the sum of squares."""
        parts = [
            (rows[:, places] - middle) / size
            for places, middle, size in zip(self._columns, self._middles, self._sizes, strict=True)
        ]
        squares = [(part[:, :, None] * part[:, None, :]).reshape(len(rows), -1) for part in parts]
        none = np.zeros((len(rows), 0))
        return np.concatenate([none, *parts], axis=1), np.concatenate([none, *squares], axis=1)


def squared_distances(a: Array, b: Array) -> Array:
    """Give the squared distances of rows a (n, columns) and b (m, columns): (n, m)."""
    squared: Array = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.maximum(squared, 0.0)


def _matern52(squared: Array) -> tuple[Array, Array]:
    """Give the Matern-5/2 correlation and its slope in the squared distance."""
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, -(5.0 / 6.0) * (1.0 + root) * decay


def _matern12(squared: Array) -> tuple[Array, Array]:
    """Give the exponential correlation and its slope in the squared distance."""
    root = np.sqrt(squared + 1e-6)
    decay = np.exp(-root)
    return decay, -0.5 * decay / root
