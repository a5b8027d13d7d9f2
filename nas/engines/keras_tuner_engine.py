"""Keras Tuner's oracles as an engine: Bayesian optimization and random search."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nas.engines._parameters import Book, Key, Losses, excess, key_of, losses, placed, places
from nas.engines.engine import ENGINES
from nas.errors import InputError, nearest
from nas.space import OpenValue, Setting, mutate, sample
from nas.trials import Limit, Objective, Trial

__all__ = ["KerasTunerEngine"]

_REMEMBERED = (
    100  # told trials the oracle sees: its Gaussian process takes time by their cube, 21 times an ask
)
_MUTATIONS = 50  # tried to get away from a setting that is known


class KerasTunerEngine:
    """Proposes by one of Keras Tuner's oracles, without its Tuner, its files or its terminal.

    An oracle minimizes one scalar, here the augmented Chebyshev distance of ParEGO (Knowles 2006,
    doi:10.1109/TEVC.2005.851274): `max(w z) + 0.05 sum(w z)`, where `z` is quality lost and
    logarithm of each cost, scaled to 0 to 1 over what was told, and the weights `w` are drawn anew,
    evenly from the simplex, for each ask. So each ask looks for another part of the front.

    - complete: that scalar. An objective that is not known counts as the worst seen, z = 1.
    - stopped: the same with the quality at its epochs, a low estimate (see `losses`); told again
      after more training, the later one replaces it.
    - over the limits: 1.05, which no other exceeds, plus log(1 + excess).
    - pending: the oracle itself assumes its prediction plus one deviation.
    - failed: not shown to the oracle; any number of them in a row is no reason to stop.

    The oracle sees the 50 best by the scalar of the ask and the 50 told last, since its Gaussian
    process takes time by the cube of their number. It has as many random trials first as there are
    open values (its own default is thrice that). It gives a maximum it has tried again and again:
    a proposal that is known is mutated until it is new. Where it has none, the setting is random.
    A trial whose setting is not one of the space's teaches nothing.

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
        self._book: Book[Any] = Book()
        self._known: dict[Key, tuple[Losses, float]] = {}  # losses and excess, in the order told

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        self._show()
        response = _populated(self._oracle, str(self._count))
        chosen = response.get("values")
        setting = placed(self._values, chosen) if chosen else sample(self._values, self._rng)
        found = places(self._values, setting) or {}
        for _ in range(_MUTATIONS):
            if not self._book.knows(key_of(found)):
                break
            setting = mutate(self._values, setting, self._rng)
            found = places(self._values, setting) or {}
        self._book.ask(key_of(found), self._trial(found, "RUNNING"))
        return setting

    def flatness(self) -> float | None:
        """Not known to this engine."""
        return None

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that has ended: complete, stopped, over_limit or failed."""
        found = places(self._values, trial.setting)
        if found is None:
            return
        key = key_of(found)
        pending = self._book.tell(key)
        if key not in self._book.told:
            self._book.told[key] = pending[0] if pending else self._trial(found, "COMPLETED")
        self._book.told[key].status = "FAILED" if trial.state == "failed" else "COMPLETED"
        self._known.pop(key, None)
        if trial.state != "failed":
            self._known[key] = (losses(trial, self._objectives), excess(trial, self._limits))

    def _trial(self, found: dict[str, int], status: str) -> Any:
        from keras_tuner.engine.trial import Trial as TunerTrial

        parameters = self._oracle.get_space()
        parameters.values = dict(found)
        self._count += 1
        return TunerTrial(parameters, str(self._count), status)

    def _show(self) -> None:
        """Put before the oracle what is pending and what was told, scored for this ask."""
        keys = list(self._known)
        scores = self._scores()
        best = np.argsort(scores, kind="stable")[: _REMEMBERED // 2].tolist()
        last = range(max(0, len(keys) - _REMEMBERED // 2), len(keys))
        told = []
        for place in sorted({*best, *last}):
            trial = self._book.told[keys[place]]
            trial.score = float(scores[place])
            told.append(trial)
        pending = [trial for trials in self._book.pending.values() for trial in trials]
        self._oracle.ongoing_trials = {trial.trial_id: trial for trial in pending}
        self._oracle.trials = {trial.trial_id: trial for trial in (*told, *pending)}

    def _scores(self) -> np.ndarray:
        weights = self._rng.dirichlet(np.ones(len(self._objectives)))
        if not self._known:
            return np.empty(0)
        known = np.array([found for found, _ in self._known.values()], dtype=float)
        over = np.array([beyond for _, beyond in self._known.values()])
        least = np.min(known, axis=0, initial=np.inf, where=~np.isnan(known))
        most = np.max(known, axis=0, initial=-np.inf, where=~np.isnan(known))
        span = np.where(most > least, most - least, 1.0)
        unseen = most < least
        z = np.where(np.isnan(known) | unseen, 1.0, (known - np.where(unseen, 0.0, least)) / span)
        scalar = (weights * z).max(axis=1) + 0.05 * (weights * z).sum(axis=1)
        return np.asarray(np.where(over > 0, 1.05 + np.log1p(over), scalar))


class _Process:
    """The oracle's Gaussian process, predicting by the same formulas without checking each call.

    An ask predicts one point thousands of times, and scikit-learn's checks are most of that.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self._mean, self._std = 0.0, 1.0

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fit the process to x (trials, parameters), y (trials)."""
        self._process.fit(x, y)
        self._mean, self._std = float(np.mean(y)), float(np.std(y)) or 1.0

    def predict(self, x: np.ndarray, return_std: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and deviation at x (points, parameters); those of the prior before a fit."""
        from scipy.linalg import solve_triangular

        process = self._process
        if not hasattr(process, "alpha_"):
            prior: tuple[np.ndarray, np.ndarray] = process.predict(x, return_std=return_std)
            return prior
        between = process.kernel_(x, process.X_train_)
        known = solve_triangular(process.L_, between.T, lower=True, check_finite=False)
        variance = np.maximum(process.kernel_.diag(x) - (known**2).sum(axis=0), 0.0)
        return between @ process.alpha_ * self._std + self._mean, np.sqrt(variance) * self._std


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the process's stderr shut: TensorFlow's import greets there, whatever its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _oracle(name: str, values: Sequence[OpenValue], seed: int) -> Any:
    with _quiet():
        import keras_tuner

    parameters = keras_tuner.HyperParameters()
    choices = {value.name: value.choices for value in values}
    for value in values:
        numbers = list(range(len(value.choices)))
        if value.when is None:
            parameters.Choice(value.name, numbers, ordered=value.ordered)
            continue
        parent, wanted = value.when
        with parameters.conditional_scope(parent, sorted(choices[parent].index(choice) for choice in wanted)):
            parameters.Choice(value.name, numbers, ordered=value.ordered)
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective("loss", "min"),
        "max_trials": None,
        "hyperparameters": parameters,
        "seed": seed + 1,  # it takes 0 for none
    }
    if name == "random":
        return keras_tuner.oracles.RandomSearchOracle(**options)
    options["num_initial_points"] = max(10, len(values))
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(**options)
    oracle.gpr = _Process(oracle.gpr)
    return oracle


def _populated(oracle: Any, number: str) -> dict[str, Any]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Its Gaussian process is fitted from 21 starts; that some don't converge is no news.
        warnings.simplefilter("ignore", ConvergenceWarning)
        response: dict[str, Any] = oracle.populate_space(number)
    return response
