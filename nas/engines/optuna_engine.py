"""Optuna's samplers as an engine: TPE, NSGA-II and random search, in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Scalar
from nas.engines._library_trials import (
    LibraryTrials,
    Losses,
    build_setting,
    decode,
    encode,
    excess,
    key_of,
    losses,
)
from nas.engines.engine import ENGINES
from nas.errors import InputError, nearest
from nas.space import OpenValue, Setting
from nas.trials import Limit, Objective, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, NSGAIISampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

__all__ = ["OptunaEngine"]

_POPULATION = 20  # of NSGA-II; Optuna's default of 50 is a whole search here, without any selection


class OptunaEngine:
    """Proposes settings by one of Optuna's samplers, which observes each objective separately.

    `tpe` is multivariate, grouped by condition, and counts pending trials as bad ones (constant liar).
    `nsga2` also assigns choices to inactive values, without effect: its crossover ignores parameters that not
    every trial has, and would draw the values of deeper stages at random.

    - complete: quality as it is, costs as logarithms.
    - stopped: the same with the quality at its epochs, a low estimate (see `losses`). A later report after
      more training replaces the values in place.
    - over_limit: the excess over the limits is its constraint. An unknown objective gets the worst value
      seen, which only samplers that ignore constraints use.
    - failed: Optuna's state FAIL, from which no sampler learns.

    A setting that is proposed again after its report is closed as pruned, as Optuna's FAQ advises, and so
    counts against its neighbourhood. A trial whose setting is not in the space is ignored.

    Raises InputError for an unknown sampler.
    """

    def __init__(
        self,
        open_values: Sequence[OpenValue],
        objectives: Sequence[Objective],
        limits: Sequence[Limit] = (),
        sampler: str = "tpe",
        seed: int = 0,
    ) -> None:
        samplers = ENGINES["optuna"]
        if sampler not in samplers:
            raise InputError(f"Optuna has no sampler '{sampler}'; {nearest(sampler, samplers)}")
        self._values = tuple(open_values)
        self._objectives = tuple(objectives)
        self._limits = tuple(limits)
        self._genetic = _genetic(seed) if sampler == "nsga2" else None
        self._learns = sampler != "random"
        self._sampler = self._genetic or _sampler(sampler, seed)
        self._study = _study(self._sampler, len(self._objectives))
        self._distributions = {value.name: _distribution(value) for value in self._values}
        self._generation = 0
        self._rng = np.random.default_rng(seed)
        self._trials: LibraryTrials[int] = LibraryTrials()
        self._worst: list[float | None] = [None] * len(self._objectives)

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        from optuna.trial import TrialState

        if not self._learns:  # a new study for each ask: a single one would keep every trial
            return self._suggest(_study(self._sampler, len(self._objectives)).ask())
        if self._genetic is not None:
            trial = self._study.ask(self._distributions)
            setting = decode(self._values, trial.params)
        else:
            trial = self._study.ask()
            setting = self._suggest(trial)
        key = key_of(encode(self._values, setting) or {})
        if key in self._trials.observed:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._trials.add_pending(key, trial.number)
        return setting

    def _suggest(self, trial: OptunaTrial) -> dict[str, Scalar]:
        """Build a setting from the trial's suggestions, parents first."""
        return build_setting(self._values, lambda value: value.choices[_suggest_index(trial, value)])

    def flatness(self) -> float | None:
        """Return None: the samplers do not estimate it."""
        return None

    def tell(self, trial: Trial) -> None:
        """Observe a trial that has ended: complete, stopped, over_limit or failed."""
        from optuna.trial import TrialState

        indices = encode(self._values, trial.setting) if self._learns else None
        if indices is None:
            return
        values = None if trial.state == "failed" else self._fill(losses(trial, self._objectives))
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        key = key_of(indices)
        pending = self._trials.take_pending(key)
        if key in self._trials.observed:
            # Optuna has no public method for this; the study is in memory and used only here.
            earlier = self._study.get_trials(deepcopy=False)[self._trials.observed[key]]
            earlier.state, earlier.values = state, values
            self._constrain(earlier, trial)
        else:
            number = pending.pop(0) if pending else self._add_trial(indices)
            self._constrain(self._study.get_trials(deepcopy=False)[number], trial)
            self._study.tell(number, values, state)
            self._trials.observed[key] = number
        for number in pending:
            self._study.tell(number, state=TrialState.PRUNED)

    def _constrain(self, frozen: FrozenTrial, trial: Trial) -> None:
        if trial.state != "failed" and not frozen.constraints:
            frozen.set_constraint("excess", excess(trial, self._limits))

    def _fill(self, values: Losses) -> list[float]:
        """Replace unknown values by the worst value seen, or 0.0 if none was seen."""
        for index, loss in enumerate(values):
            worst = self._worst[index]
            if loss is not None and (worst is None or loss > worst):
                self._worst[index] = loss
        return [
            loss if loss is not None else worst if worst is not None else 0.0
            for loss, worst in zip(values, self._worst, strict=True)
        ]

    def _add_trial(self, indices: dict[str, int]) -> int:
        """Add a trial that was never asked for as a running one; return its number."""
        from optuna.trial import TrialState, create_trial

        if self._genetic is not None:
            inactive = {
                value.name: int(self._rng.integers(len(value.choices)))
                for value in self._values
                if value.name not in indices
            }
            indices = {**indices, **inactive}
        distributions = {name: self._distributions[name] for name in indices}
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=dict(indices), distributions=distributions)
        )
        frozen = self._study.get_trials(deepcopy=False)[-1]
        if self._genetic is not None:
            # NSGA-II selects from generations only, and a trial that it did not propose has no generation.
            generation = self._genetic.get_trial_generation(self._study, frozen)
            if generation > self._generation:  # select now: later it would recurse through all of them
                self._genetic.get_parent_population(self._study, generation)
                self._generation = generation
        return frozen.number


def _distribution(value: OpenValue) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(value.choices) - 1
    return IntDistribution(0, last) if value.ordered else CategoricalDistribution(range(last + 1))


def _suggest_index(trial: OptunaTrial, value: OpenValue) -> int:
    last = len(value.choices) - 1
    if value.ordered:
        return trial.suggest_int(value.name, 0, last)
    return int(trial.suggest_categorical(value.name, range(last + 1)))


def _genetic(seed: int) -> NSGAIISampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(population_size=_POPULATION, seed=seed)


def _sampler(name: str, seed: int) -> BaseSampler:
    import optuna

    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # `group` is experimental, but conditional spaces need it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def _study(sampler: BaseSampler, objectives: int) -> Study:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), sampler=sampler, directions=["minimize"] * objectives
        )
    finally:
        optuna.logging.set_verbosity(before)
