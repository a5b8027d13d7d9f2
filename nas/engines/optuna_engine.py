"""Optuna's samplers as an engine: TPE, NSGA-II and random search, in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Scalar
from nas.engines._parameters import Book, Losses, draw, excess, key_of, losses, placed, places
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

_POPULATION = 20  # of NSGA-II; its own 50 is a whole search here, with nothing left to select


class OptunaEngine:
    """Proposes by one of Optuna's samplers and tells it every objective by itself.

    `tpe` is multivariate, grouped by condition, and counts pending trials as bad ones (constant
    liar). `nsga2` carries a choice for inactive values too, which stays silent: its crossover
    leaves out what not every trial has, and would draw the values of deeper stages at random.

    - complete: quality as it is, costs as logarithms.
    - stopped: the same with the quality at its epochs, a low estimate (see `losses`). When it is
      told again after more training, that replaces the earlier values in place.
    - over_limit: the excess over the limits is its constraint; an objective that is not known
      takes the worst value seen, which only samplers that ignore constraints would look at.
    - failed: Optuna's FAIL, from which no sampler learns.

    A setting proposed again after it was told is closed as pruned, as Optuna's FAQ advises, and so
    counts against its neighbourhood. A trial whose setting is not one of the space's teaches nothing.

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
        self._book: Book[int] = Book()
        self._worst: list[float | None] = [None] * len(self._objectives)

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        from optuna.trial import TrialState

        if not self._learns:  # each from a study of its own: one for all would keep every trial
            return self._drawn(_study(self._sampler, len(self._objectives)).ask())
        if self._genetic is not None:
            trial = self._study.ask(self._distributions)
            setting = placed(self._values, trial.params)
        else:
            trial = self._study.ask()
            setting = self._drawn(trial)
        key = key_of(places(self._values, setting) or {})
        if key in self._book.told:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._book.ask(key, trial.number)
        return setting

    def _drawn(self, trial: OptunaTrial) -> dict[str, Scalar]:
        """Make a setting of the trial's suggestions, parents first."""
        return draw(self._values, lambda value: value.choices[_suggested(trial, value)])

    def flatness(self) -> float | None:
        """Not known to this engine."""
        return None

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that has ended: complete, stopped, over_limit or failed."""
        from optuna.trial import TrialState

        found = places(self._values, trial.setting) if self._learns else None
        if found is None:
            return
        values = None if trial.state == "failed" else self._filled(losses(trial, self._objectives))
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        key = key_of(found)
        pending = self._book.tell(key)
        if key in self._book.told:
            # Optuna has no call for this; the study is in memory and nobody else's.
            earlier = self._study.get_trials(deepcopy=False)[self._book.told[key]]
            earlier.state, earlier.values = state, values
            self._constrain(earlier, trial)
        else:
            number = pending.pop(0) if pending else self._adopted(found)
            self._constrain(self._study.get_trials(deepcopy=False)[number], trial)
            self._study.tell(number, values, state)
            self._book.told[key] = number
        for number in pending:
            self._study.tell(number, state=TrialState.PRUNED)

    def _constrain(self, frozen: FrozenTrial, trial: Trial) -> None:
        if trial.state != "failed" and not frozen.constraints:
            frozen.set_constraint("excess", excess(trial, self._limits))

    def _filled(self, known: Losses) -> list[float]:
        """Put the worst value seen where none is known, or 0.0 where none was ever seen."""
        for place, loss in enumerate(known):
            worst = self._worst[place]
            if loss is not None and (worst is None or loss > worst):
                self._worst[place] = loss
        return [
            loss if loss is not None else worst if worst is not None else 0.0
            for loss, worst in zip(known, self._worst, strict=True)
        ]

    def _adopted(self, found: dict[str, int]) -> int:
        """Enter a trial that was never asked for, as one that runs; gives its number."""
        from optuna.trial import TrialState, create_trial

        if self._genetic is not None:
            silent = {
                value.name: int(self._rng.integers(len(value.choices)))
                for value in self._values
                if value.name not in found
            }
            found = {**found, **silent}
        distributions = {name: self._distributions[name] for name in found}
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=dict(found), distributions=distributions)
        )
        frozen = self._study.get_trials(deepcopy=False)[-1]
        if self._genetic is not None:
            # NSGA-II selects from generations only, and a trial that it did not propose has none.
            generation = self._genetic.get_trial_generation(self._study, frozen)
            if generation > self._generation:  # select now: later it would recurse through them all
                self._genetic.get_parent_population(self._study, generation)
                self._generation = generation
        return frozen.number


def _distribution(value: OpenValue) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(value.choices) - 1
    return IntDistribution(0, last) if value.ordered else CategoricalDistribution(range(last + 1))


def _suggested(trial: OptunaTrial, value: OpenValue) -> int:
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
        # `group` is marked experimental; it is what conditional spaces need.
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
