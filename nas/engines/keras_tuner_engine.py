"""Keras Tuner's oracles as an engine: Bayesian optimization and random search."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.engines._library_trials import Key, LibraryTrials, Losses, decode, encode, excess, key_of, losses
from nas.engines.engine import ENGINES
from nas.errors import InputError, nearest
from nas.space import OpenValue, Setting, mutate, sample
from nas.tensorflow_imports import import_keras
from nas.trials import Limit, Objective, Trial

__all__ = ["KerasTunerEngine"]

_MAX_SHOWN = 100  # trials that the oracle sees: it fits a Gaussian process (cubic time) 21 times per ask
_MAX_MUTATIONS = 50  # of a proposal that is not new


class KerasTunerEngine:
    """Proposes settings by one of Keras Tuner's oracles, without its Tuner, its files or its terminal output.

    An oracle minimizes one scalar. Here it is the augmented Chebyshev distance of ParEGO (Knowles 2006,
    doi:10.1109/TEVC.2005.851274): `max(w z) + 0.05 sum(w z)`, where `z` is the lost quality and the logarithm
    of each cost, scaled to 0 to 1 over the observed trials. The weights `w` are drawn uniformly from the
    simplex for each ask, so that each ask aims at another part of the front.

    - complete: that scalar. An unknown objective counts as the worst observed value, z = 1.
    - stopped: the same with the quality at its epochs, a low estimate (see `losses`). A later report after
      more training replaces it.
    - over the limits: 1.05, which no other trial exceeds, plus log(1 + excess).
    - pending: the oracle itself assumes its prediction plus one standard deviation.
    - failed: not shown to the oracle; any number of consecutive failures is allowed.

    The oracle sees the 50 best trials by the scalar of the ask and the 50 latest, because the time of its
    Gaussian process grows with the cube of their number. The number of random trials at the start is the
    number of open values, at least 10 (the oracle's default is three times that). The oracle may return the
    same optimum repeatedly: a proposal that is not new is mutated until it is. If the oracle returns nothing,
    the setting is random. A trial whose setting is not in the space is ignored.

    Raises InputError for an unknown oracle.
    """

    def __init__(
        self,
        open_values: Sequence[OpenValue],
        objectives: Sequence[Objective],
        limits: Sequence[Limit] = (),
        oracle: str = "bayesian",
        seed: int = 0,
    ) -> None:
        oracles = ENGINES["keras-tuner"]
        if oracle not in oracles:
            raise InputError(f"Keras Tuner has no oracle '{oracle}'; {nearest(oracle, oracles)}")
        self._values = tuple(open_values)
        self._objectives = tuple(objectives)
        self._limits = tuple(limits)
        self._rng = np.random.default_rng(seed)
        self._oracle = _oracle(oracle, self._values, seed)
        self._count = 0
        self._trials: LibraryTrials[Any] = LibraryTrials()
        self._results: dict[Key, tuple[Losses, float]] = {}  # losses and excess, in the order of the reports

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        self._show_trials()
        response = _populate(self._oracle, str(self._count))
        chosen = response.get("values")
        setting = decode(self._values, chosen) if chosen else sample(self._values, self._rng)
        indices = encode(self._values, setting) or {}
        for _ in range(_MAX_MUTATIONS):
            if key_of(indices) not in self._trials:
                break
            setting = mutate(self._values, setting, self._rng)
            indices = encode(self._values, setting) or {}
        self._trials.add_pending(key_of(indices), self._new_trial(indices, "RUNNING"))
        return setting

    def flatness(self) -> float | None:
        """Return None: the oracle does not estimate it."""
        return None

    def tell(self, trial: Trial) -> None:
        """Observe a trial that has ended: complete, stopped, over_limit or failed."""
        indices = encode(self._values, trial.setting)
        if indices is None:
            return
        key = key_of(indices)
        pending = self._trials.take_pending(key)
        if key not in self._trials.observed:
            self._trials.observed[key] = pending[0] if pending else self._new_trial(indices, "COMPLETED")
        self._trials.observed[key].status = "FAILED" if trial.state == "failed" else "COMPLETED"
        self._results.pop(key, None)
        if trial.state != "failed":
            self._results[key] = (losses(trial, self._objectives), excess(trial, self._limits))

    def _new_trial(self, indices: dict[str, int], status: str) -> Any:
        from keras_tuner.engine.trial import Trial as TunerTrial

        parameters = self._oracle.get_space()
        parameters.values = dict(indices)
        self._count += 1
        return TunerTrial(parameters, str(self._count), status)

    def _show_trials(self) -> None:
        """Set the oracle's trials: the pending ones, and the observed ones with scores for this ask."""
        keys = list(self._results)
        scores = self._scores()
        best = np.argsort(scores, kind="stable")[: _MAX_SHOWN // 2].tolist()
        latest = range(max(0, len(keys) - _MAX_SHOWN // 2), len(keys))
        observed = []
        for index in sorted({*best, *latest}):
            trial = self._trials.observed[keys[index]]
            trial.score = float(scores[index])
            observed.append(trial)
        pending = [trial for trials in self._trials.pending.values() for trial in trials]
        self._oracle.ongoing_trials = {trial.trial_id: trial for trial in pending}
        self._oracle.trials = {trial.trial_id: trial for trial in (*observed, *pending)}

    def _scores(self) -> np.ndarray:
        """Return the scalar of each observed trial for newly drawn weights."""
        weights = self._rng.dirichlet(np.ones(len(self._objectives)))
        if not self._results:
            return np.empty(0)
        values = np.array([result for result, _ in self._results.values()], dtype=float)
        over = np.array([excess for _, excess in self._results.values()])
        low = np.min(values, axis=0, initial=np.inf, where=~np.isnan(values))
        high = np.max(values, axis=0, initial=-np.inf, where=~np.isnan(values))
        span = np.where(high > low, high - low, 1.0)
        unknown = high < low
        z = np.where(np.isnan(values) | unknown, 1.0, (values - np.where(unknown, 0.0, low)) / span)
        scalar = (weights * z).max(axis=1) + 0.05 * (weights * z).sum(axis=1)
        return np.asarray(np.where(over > 0, 1.05 + np.log1p(over), scalar))


class _GaussianProcess:
    """The oracle's Gaussian process, with the same predictions but without scikit-learn's input checks.

    An ask predicts one point thousands of times, and the checks take most of that time.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self._mean, self._std = 0.0, 1.0

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fit the process to x (trials, parameters), y (trials)."""
        self._process.fit(x, y)
        self._mean, self._std = float(np.mean(y)), float(np.std(y)) or 1.0

    def predict(self, x: np.ndarray, return_std: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation at x (points, parameters); those of the prior before a fit."""
        from scipy.linalg import solve_triangular

        process = self._process
        if not hasattr(process, "alpha_"):
            prior: tuple[np.ndarray, np.ndarray] = process.predict(x, return_std=return_std)
            return prior
        cross = process.kernel_(x, process.X_train_)
        solved = solve_triangular(process.L_, cross.T, lower=True, check_finite=False)
        variance = np.maximum(process.kernel_.diag(x) - (solved**2).sum(axis=0), 0.0)
        return cross @ process.alpha_ * self._std + self._mean, np.sqrt(variance) * self._std


def _oracle(name: str, values: Sequence[OpenValue], seed: int) -> Any:
    import_keras()  # keras_tuner imports it too, but without the settings and with messages on stderr
    import keras_tuner

    parameters = keras_tuner.HyperParameters()
    choices = {value.name: value.choices for value in values}
    for value in values:
        numbers = list(range(len(value.choices)))
        if value.when is None:
            parameters.Choice(value.name, numbers, ordered=value.ordered)
            continue
        parent, active_choices = value.when
        with parameters.conditional_scope(
            parent, sorted(choices[parent].index(choice) for choice in active_choices)
        ):
            parameters.Choice(value.name, numbers, ordered=value.ordered)
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective("loss", "min"),
        "max_trials": None,
        "hyperparameters": parameters,
        "seed": seed + 1,  # 0 means no seed
    }
    if name == "random":
        return keras_tuner.oracles.RandomSearchOracle(**options)
    options["num_initial_points"] = max(10, len(values))
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(**options)
    oracle.gpr = _GaussianProcess(oracle.gpr)
    return oracle


def _populate(oracle: Any, trial_id: str) -> dict[str, Any]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # The Gaussian process is fitted from 21 starts, of which some don't converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        response: dict[str, Any] = oracle.populate_space(trial_id)
    return response
