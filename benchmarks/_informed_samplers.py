"""Samplers that know what the default engine knows: the costs of all rows of a table, and the same features.

Their inputs are those of the default engine: open values one-hot or by rank, standardized logarithms of the
costs, and the features. Errors are compared on the criteria's scale (`Criteria.level`). All start with the
same design: the cheapest row by each cost (ties: by the other costs, then at random), then random rows, as
many as the default engine takes in its space-filling design. After it they score all rows that are not
evaluated or running, where no other number is given. Models are fitted again when the number of observations
has grown by a tenth; the Gaussian processes take up every observation at once.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from nas.engines._candidate_pool import CandidatePool
from nas.engines._expected_improvement import ErrorPosterior, decompose, expected_hypervolume_improvement
from nas.space import Setting
from nas.testing.tabular_benchmark import TabularBenchmark
from nas.trials import Trial, non_dominated

__all__ = ["BoTorch", "BoostedTrees", "GaussianProcess"]

Array = np.ndarray

RANDOM_ROWS = 6  # of the initial design
MARGIN = 0.1  # distance of the reference point beyond the front, as a share of the front's extent
SCORED_BY_BOTORCH = 2000  # rows, drawn at random for each proposal
SCORED_AT_ONCE = 250  # rows; limits the memory of BoTorch
SAMPLES = 32  # of the posterior in BoTorch: its default of 128 takes four times as long
MEMBERS = 10  # of the ensemble of boosted trees, each fitted to a bootstrap sample


class Informed(ABC):
    """The table, the initial design and the observations; a subclass chooses a row after the design."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        self.table, self.rng = table, np.random.default_rng(seed)
        self.inputs, self.costs = _describe(table.path, table.costs)
        self.levels: dict[int, float] = {}  # by observed row
        self.tried: dict[int, None] = {}  # rows proposed or observed, in order
        self._fitted_rows = 0
        order = [
            np.lexsort((self.rng.random(len(self.costs)), self.costs.sum(axis=1), column))
            for column in self.costs.T
        ]
        self._design = [row for row in map(table.row, head) if row is not None]
        self._design += [int(ranked[0]) for ranked in order]
        self._design_size = self.costs.shape[1] + RANDOM_ROWS

    def ask(self) -> Setting:
        row = self._next()
        self.tried[row] = None
        return self.table.setting(row)

    def _next(self) -> int:
        while self._design:
            row = self._design.pop(0)
            if row not in self.tried:
                return row
        free = np.setdiff1d(np.arange(len(self.costs)), list(self.tried))
        if len(self.tried) < self._design_size or not self.levels:
            return int(self.rng.choice(free))
        return self.choose(free)

    def tell(self, trial: Trial) -> None:
        row = self.table.row(trial.setting)
        if row is not None and trial.state == "complete":
            self.tried[row] = None
            self.levels[row] = float(self.table.criteria.level(self.table.criteria.error(trial)))

    def is_due(self) -> bool:
        """Return whether the observations have grown by a tenth since this was last true."""
        due = len(self.levels) >= 1.1 * self._fitted_rows
        if due:
            self._fitted_rows = len(self.levels)
        return due

    def observations(self) -> tuple[Array, Array]:
        """Return the observed rows and their levels: (observations,) each."""
        return np.array(list(self.levels)), np.array(list(self.levels.values()))

    def reference(self, front: Array) -> Array:
        """Return a reference point as the default engine's: beyond the front's levels and all costs.

        front: (points, 1 + costs), levels first.
        """
        best, worst = front.min(axis=0), front.max(axis=0)
        worst[1:] = np.maximum(worst[1:], self.costs.max(axis=0))
        point: Array = worst + MARGIN * np.maximum(worst - best, 1e-3)
        criteria = self.table.criteria
        floor = criteria.level(criteria.floor(float(np.exp(best[0]) - criteria.resolution)))
        point[0] = min(point[0], float(floor))
        return point

    @abstractmethod
    def choose(self, free: Array) -> int:
        """Return one of the free rows."""


class GaussianProcess(Informed):
    """scikit-learn's Gaussian process with the greatest exact expected hypervolume improvement of all rows.

    A Matern-5/2 kernel with one length scale a column, and noise; each fit starts from the same
    hyperparameters. The front is that of the posterior means at the observed rows.
    """

    _kernel: Any = None

    def choose(self, free: Array) -> int:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        rows, levels = self.observations()
        center, scale = levels.mean(), max(levels.std(), 1e-9)
        kernel, optimizer = self._kernel, None
        if self.is_due():
            scales = np.full(self.inputs.shape[1], np.sqrt(self.inputs.shape[1]))
            kernel = ConstantKernel() * Matern(scales, nu=2.5) + WhiteKernel(0.01)
            optimizer = "fmin_l_bfgs_b"
        model = GaussianProcessRegressor(kernel, optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # length scales of irrelevant columns
            model.fit(self.inputs[rows], (levels - center) / scale)
        self._kernel = model.kernel_
        means = center + scale * model.predict(self.inputs[rows])
        points = np.column_stack([means, self.costs[rows]])
        front = points[non_dominated(points)]
        mean, deviation = model.predict(self.inputs[free], return_std=True)
        noise = self._kernel.k2.noise_level
        deviation = np.sqrt(np.maximum(deviation**2 - noise, 1e-12))  # of the level without noise
        posterior = ErrorPosterior(center + scale * mean, scale * deviation)
        boxes = decompose(front, self.reference(front))
        gains = expected_hypervolume_improvement(boxes, [posterior], self.costs[free])
        return int(free[np.argmax(gains)])


class BoTorch(Informed):
    """BoTorch's qLogNoisyExpectedHypervolumeImprovement over SCORED_BY_BOTORCH random rows a proposal.

    The error has a SingleTaskGP with its default kernel and priors, on inputs scaled to 0..1 as these expect;
    each cost is a deterministic model. The expectation is the mean of SAMPLES quasi-random posterior samples.
    """

    _state: Any = None  # hyperparameters

    def choose(self, free: Array) -> int:
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import ModelList, SingleTaskGP
        from botorch.models.deterministic import GenericDeterministicModel
        from botorch.models.transforms.input import FilterFeatures
        from botorch.sampling.get_sampler import get_sampler
        from gpytorch.mlls import ExactMarginalLogLikelihood

        torch.set_num_threads(1)
        torch.manual_seed(int(self.rng.integers(2**31)))
        rows, levels = self.observations()
        count = self.costs.shape[1]
        low = self.inputs.min(axis=0)
        scaled = (self.inputs - low) / np.maximum(np.ptp(self.inputs, axis=0), 1e-9)
        table = torch.tensor(np.column_stack([self.costs, scaled]))  # the costs are no inputs of the process
        features = FilterFeatures(torch.arange(count, table.shape[1]))
        model = SingleTaskGP(table[rows], -torch.tensor(levels)[:, None], input_transform=features)
        if self.is_due():
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            state = model.state_dict()  # without the standardization, which is that of these observations
            self._state = {name: state[name] for name in state if not name.startswith("outcome_transform")}
        else:
            model.load_state_dict(self._state, strict=False, keep_transforms=False)
            model.eval()
        models = [model, *(GenericDeterministicModel(partial(_column, index=k)) for k in range(count))]
        joint = ModelList(*models)
        points = np.column_stack([levels, self.costs[rows]])
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            joint,
            -torch.tensor(self.reference(points[non_dominated(points)])),
            table[rows],
            sampler=get_sampler(joint.posterior(table[rows]), torch.Size([SAMPLES])),
            prune_baseline=True,
            cache_root=False,  # impossible with deterministic models
        )
        scored = self.rng.choice(free, min(SCORED_BY_BOTORCH, len(free)), replace=False)
        with torch.no_grad():
            parts = torch.tensor(scored).split(SCORED_AT_ONCE)
            gains = torch.cat([acquisition(table[part][:, None]) for part in parts])
        return int(scored[int(gains.argmax())])


class BoostedTrees(Informed):
    """Boosted trees with the front of predicted errors and true costs, as in MSuNAS and NPENAS.

    An ensemble of MEMBERS gradient-boosted regressors, each fitted to a bootstrap sample, predicts the mean
    level of every free row. NSGA-II is there to find the rows that are not dominated in predicted level and
    true costs; a table has few enough rows to find them exactly. Of these, the row is chosen that is farthest
    from all members of the observed front and all rows proposed since the last fit, by the costs (on log
    axes, scaled by their range): it fills the greatest gap, as in the subset selection of MSuNAS (Lu et al.,
    arXiv:2007.10396). NPENAS: Wei et al., arXiv:2003.12857.
    """

    _predicted: Array  # levels: (rows,)
    _fitted: int = 0  # rows tried at the last fit

    def choose(self, free: Array) -> int:
        rows, levels = self.observations()
        if self.is_due():
            self._predicted = self._predict(rows, levels)
            self._fitted = len(self.tried)
        predicted = np.column_stack([self._predicted, self.costs])[free]
        candidates = free[non_dominated(predicted)]
        observed = np.column_stack([levels, self.costs[rows]])
        near = [*rows[non_dominated(observed)].tolist(), *list(self.tried)[self._fitted :]]
        scaled = self.costs / np.maximum(np.ptp(self.costs, axis=0), 1e-9)
        distances = ((scaled[candidates][:, None] - scaled[near][None]) ** 2).sum(axis=2).min(axis=1)
        return int(candidates[np.argmax(distances)])

    def _predict(self, rows: Array, levels: Array) -> Array:
        """Fit the ensemble and return the mean level of every row of the table."""
        from sklearn.ensemble import GradientBoostingRegressor

        predicted = np.zeros(len(self.inputs))
        for _ in range(MEMBERS):
            drawn = self.rng.integers(len(rows), size=len(rows))
            member = GradientBoostingRegressor(random_state=int(self.rng.integers(2**31)))
            member.fit(self.inputs[rows[drawn]], levels[drawn])
            predicted += member.predict(self.inputs) / MEMBERS
        return predicted


def _column(points: Any, index: int) -> Any:
    """Return the negative of a column of points, for BoTorch, which maximizes."""
    return -points[..., index : index + 1]


@lru_cache(maxsize=2)
def _describe(path: Path, costs: tuple[str, ...]) -> tuple[Array, Array]:
    """Return the default engine's inputs (rows, columns) and costs (rows, costs) of all rows of a table."""
    table = TabularBenchmark(path, costs)
    pool = CandidatePool(table.open_values, table.criteria.costs, (), table.describe)
    entries = [pool.entry(table.setting(row)) for row in range(len(table.rows))]
    known = [entry for entry in entries if entry is not None]
    pool.standardize(known)
    return pool.drawn, np.stack([entry.costs for entry in known])
