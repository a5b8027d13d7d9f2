"""A Gaussian process for the error of a network, from its values, its costs and its operations.

Inputs come in groups, one for each open value, cost and count; each group has its own relevance, learnt
by marginal likelihood with weak priors. A short training counts as a reading of the same network through
a lag (0: full length, 1: one epoch), whose bias, scale and own deviation are learnt too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.space import OpenValue, Setting, active

__all__ = ["ErrorModel", "encode", "relevance_groups"]

Array = NDArray[np.float64]
Places = NDArray[np.intp]

JITTER = 1e-6
CENTRE = -2.0
SHIFT = 0.005


def relevance_groups(values: Sequence[OpenValue]) -> Places:
    """Give the group of each column that `encode` makes of a setting."""
    return np.array(
        [place for place, value in enumerate(values) for _ in range(_columns(value))], dtype=np.intp
    )


def _columns(value: OpenValue) -> int:
    return (1 if value.ordered else len(value.choices)) + (value.when is not None)


def encode(values: Sequence[OpenValue], setting: Setting) -> list[float]:
    """Write a setting as numbers: categories as one-hot, numbers by rank, and whether it is active.

    Two categories are at distance 1, the first and last of numbers at 1.
    """
    row: list[float] = []
    for value in values:
        present = active(value, setting) and value.name in setting
        at = value.choices.index(setting[value.name]) if present else -1
        if value.ordered:
            row.append(at / max(1, len(value.choices) - 1) if present else 0.5)
        else:
            row.extend(float(place == at) / np.sqrt(2.0) for place in range(len(value.choices)))
        if value.when is not None:
            row.append(float(present))
    return row


@dataclass
class ErrorModel:
    """A Gaussian process of log-errors; `fit`, then `predict`, with `believe` for what still runs."""

    groups: Places  # the group of each input column
    parameters: Array = field(default_factory=lambda: np.empty(0))
    fitted_rows: int = 0

    def fit(self, inputs: Array, targets: Array, lags: Array, *, learn: bool = True) -> None:
        """Learn from inputs (trials, columns), targets and lags (trials,)."""
        targets = self._warp(targets)
        full = targets[lags == lags.min()]
        self._middle = float(np.median(full))
        self._scale = float(max(np.std(full), 0.25 * np.std(targets), 1e-3))
        self._inputs, self._lags = inputs, lags
        self._targets = (targets - self._middle) / self._scale
        if learn or not len(self.parameters):
            self._learn()
        self._covariance = self._kernel(inputs, lags, inputs, lags)
        self._noise = self._noises(lags)
        self._factorize()

    def _start(self) -> tuple[Array, Array]:
        """Give the means and deviations of the priors on the logarithms of the parameters.

        In order: the relevance of each group, the amplitude of the smooth and of the rough part, the
        noise, and of the lag its scale, its own deviation and its additional noise.
        """
        groups = int(self.groups.max()) + 1
        mean = [np.log(1.0 / groups)] * groups + [
            np.log(0.8),
            np.log(0.2),
            np.log(0.01),
            0.0,
            np.log(0.1),
            np.log(0.03),
        ]
        deviation = [self.WSD] * groups + [1.0, 1.0, 2.0, 0.5, 1.5, 1.5]
        return np.array(mean), np.array(deviation)

    def _learn(self) -> None:
        """Maximize the marginal likelihood times the priors, from the last parameters on."""
        from scipy.optimize import minimize

        mean, deviation = self._start()
        chosen = self._subset(300)
        inputs, lags, targets = self._inputs[chosen], self._lags[chosen], self._targets[chosen]
        apart = np.stack(
            [
                _squared(inputs[:, self.groups == g], inputs[:, self.groups == g])
                for g in range(int(self.groups.max()) + 1)
            ]
        )
        start = self.parameters if len(self.parameters) else mean
        found = minimize(
            lambda p: self._loss(p, apart, lags, targets, (mean, deviation)),
            start, jac=True, method="L-BFGS-B", options={"maxiter": 40 if len(self.parameters) == 0 else 12},
        )  # fmt: skip
        if self.RESTART and len(self.parameters):
            again = minimize(lambda p: self._loss(p, apart, lags, targets, (mean, deviation)), mean, jac=True, method="L-BFGS-B", options={"maxiter": 40})
            if again.fun < found.fun: found = again
        self.parameters = found.x
        self.fitted_rows = len(self._inputs)

    def _subset(self, most: int) -> Places:
        """Choose the rows to learn from: the latest, and others evenly."""
        count = len(self._inputs)
        if count <= most:
            return np.arange(count)
        return np.unique(np.linspace(0, count - 1, most).astype(np.intp))

    def _loss(
        self, p: Array, apart: Array, lags: Array, targets: Array, prior: tuple[Array, Array]
    ) -> tuple[float, Array]:
        """Give the negative log posterior of the parameters and its gradient."""
        from scipy.linalg import cho_factor, cho_solve

        groups = len(apart)
        relevance = np.exp(p[:groups])
        smooth, rough, noise, lag_scale, lag_own, lag_noise = np.exp(p[groups:])
        squared = np.tensordot(relevance, apart, 1)
        matern, matern_slope = _matern52(squared)
        expo, expo_slope = _matern12(squared)
        base, slope = smooth * matern + rough * expo, smooth * matern_slope + rough * expo_slope
        lag = np.outer(lags, lags)
        scale = 1.0 + (lag_scale - 1.0) * lags
        factor = np.outer(scale, scale) + lag_own * lag
        cov = factor * base + 100.0 * lag
        noises = noise + lag_noise * lags + JITTER
        cov[np.diag_indices_from(cov)] += noises
        try:
            chol = cho_factor(cov, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(p)
        inverse = cho_solve(chol, np.eye(len(targets)))
        weights = inverse @ targets
        loss = 0.5 * targets @ weights + np.log(np.diag(chol[0])).sum()
        outer = 0.5 * (inverse - np.outer(weights, weights))
        shaped = outer * factor
        gradient = np.empty_like(p)
        gradient[:groups] = relevance * np.tensordot(apart, shaped * slope, 2)
        gradient[groups] = smooth * (shaped * matern).sum()
        gradient[groups + 1] = rough * (shaped * expo).sum()
        gradient[groups + 2] = noise * np.trace(outer)
        gradient[groups + 3] = lag_scale * 2.0 * (outer * base * np.outer(lags, scale)).sum()
        gradient[groups + 4] = lag_own * (outer * lag * base).sum()
        gradient[groups + 5] = lag_noise * (np.diag(outer) * lags).sum()
        off = (p - prior[0]) / prior[1]
        return float(loss + 0.5 * off @ off), gradient + off / prior[1]

    def _kernel(self, a: Array, a_lags: Array, b: Array, b_lags: Array) -> Array:
        groups = int(self.groups.max()) + 1
        root = np.exp(0.5 * self.parameters[:groups])[self.groups]
        smooth, rough, _, lag_scale, lag_own, _ = np.exp(self.parameters[groups:])
        squared = _squared(a * root, b * root)
        base = smooth * _matern52(squared)[0] + rough * _matern12(squared)[0]
        if not (a_lags.any() or b_lags.any()):
            return base
        lag = np.outer(a_lags, b_lags)
        scale = np.outer(1.0 + (lag_scale - 1.0) * a_lags, 1.0 + (lag_scale - 1.0) * b_lags)
        return (scale + lag_own * lag) * base + 100.0 * lag

    def _noises(self, lags: Array) -> Array:
        groups = int(self.groups.max()) + 1
        noise, lag_noise = np.exp(self.parameters[[groups + 2, groups + 5]])
        return noise + lag_noise * lags + JITTER

    def _factorize(self) -> None:
        from scipy.linalg import cho_solve, cholesky

        cov = self._covariance.copy()
        cov[np.diag_indices_from(cov)] += self._noise
        self._lower = cholesky(cov, lower=True)
        self._weights = cho_solve((self._lower, True), self._targets)
        if self.LOO:
            from scipy.linalg import solve_triangular
            inverse = solve_triangular(self._lower, np.eye(len(cov)), lower=True)
            self._surprise = self._weights**2 / (inverse**2).sum(axis=0)
            self._near = len(cov)

    def believe(self, rows: Array) -> None:
        """Take the mean at these inputs (candidates, columns) for read: the mean stays, the doubt shrinks."""
        from scipy.linalg import cholesky, solve_triangular

        lags = np.zeros(len(rows))
        cross = self._kernel(self._inputs, self._lags, rows, lags)
        own = self._kernel(rows, lags, rows, lags)
        own[np.diag_indices_from(own)] += self._noises(lags)
        below = solve_triangular(self._lower, cross, lower=True)
        corner = cholesky(own - below.T @ below + JITTER * np.eye(len(rows)), lower=True)
        size = len(self._lower)
        lower = np.zeros((size + len(rows), size + len(rows)))
        lower[:size, :size], lower[size:, :size], lower[size:, size:] = self._lower, below.T, corner
        self._lower = lower
        self._inputs = np.concatenate([self._inputs, rows])
        self._lags = np.concatenate([self._lags, lags])
        self._weights = np.concatenate([self._weights, np.zeros(len(rows))])

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Give the mean and the deviation of the log-error at full length, noise left out."""
        from scipy.linalg import solve_triangular

        lags = np.zeros(len(rows))
        cross = self._kernel(rows, lags, self._inputs, self._lags)
        mean = self._middle + self._scale * (cross @ self._weights)
        spread = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        groups = int(self.groups.max()) + 1
        prior = float(np.exp(self.parameters[groups : groups + 2]).sum())
        variance = np.maximum(prior - (spread**2).sum(axis=0), 1e-9)
        deviation = self._scale * np.sqrt(variance)
        if self.LOO:
            near = cross[:, : self._near] / prior
            near = near * (self._lags[: self._near] == 0)
            deviation = deviation * np.sqrt((self.LOO + near @ self._surprise) / (self.LOO + near.sum(axis=1)))
        high, low = self._unwarp(mean + deviation), self._unwarp(mean - deviation)
        return (high + low) / 2.0, np.maximum((high - low) / 2.0, 1e-6)

    POWER = 0.0
    RESTART = True
    LOGIT = False
    LOO = False
    WSD = 1.5

    TOP = None
    WORST = 0.0
    LAM = 1.0
    def _table(self, logs):
        m = float(np.median(logs))
        g = np.linspace(min(-5.4, logs.min()), logs.max() if self.WORST else np.log(1 + SHIFT), 4000)
        r = g - m
        z = (r if not self.LAM else -np.expm1(-self.LAM * r) * -1 / self.LAM * -1) - self.TOP * np.log(1 + (self.WORST or 2 * SHIFT) - np.exp(g) / (np.exp(logs.max()) if self.WORST else 1))
        self._g = g, z
        return np.interp(logs, g, z)

    def _warp(self, logs: Array) -> Array:
        if self.TOP is not None:
            return self._table(logs)
        if self.LOGIT:
            return logs - np.log(1.0 + 2 * SHIFT - np.minimum(np.exp(logs), 1.0 + SHIFT))
        return logs if not self.POWER else -np.expm1(-self.POWER * (logs - CENTRE)) / self.POWER

    def _unwarp(self, warped: Array) -> Array:
        if self.TOP is not None:
            return np.interp(warped, self._g[1], self._g[0])
        if self.LOGIT:
            return np.log(1.0 + 2 * SHIFT) - np.logaddexp(0.0, -warped)
        if not self.POWER:
            return warped
        return CENTRE - np.log(np.maximum(1.0 - self.POWER * warped, 1e-6)) / self.POWER


def _squared(a: Array, b: Array) -> Array:
    squared: Array = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.maximum(squared, 0.0)


def _matern52(squared: Array) -> tuple[Array, Array]:
    """Give the Matern-5/2 covariance and its slope in the squared distance."""
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, -(5.0 / 6.0) * (1.0 + root) * decay


def _matern12(squared: Array) -> tuple[Array, Array]:
    """Give the exponential covariance and its slope in the squared distance."""
    root = np.sqrt(squared + 1e-6)
    decay = np.exp(-root)
    return decay, -0.5 * decay / root
