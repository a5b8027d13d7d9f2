"""The samplers that search_quality.py compares, each used through its public interface.

All have `ask` and `tell`. `ask` may return None: no proposal before the running trials are reported.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from _informed_samplers import BoostedTrees, BoTorch, GaussianProcess

from nas.space import Setting, sample
from nas.testing.tabular_benchmark import TabularBenchmark
from nas.trials import Trial
from nas.trials.trial import minimization_points

__all__ = ["SAMPLERS", "Sampler", "missing", "start"]


class Sampler(Protocol):
    """The interface of all samplers."""

    def ask(self) -> Setting | None: ...

    def tell(self, trial: Trial) -> None: ...


def losses(table: TabularBenchmark, trial: Trial) -> list[float]:
    """Return the error and the logarithm of each cost."""
    row = minimization_points([trial], table.objectives)[0]
    return [1.0 + float(row[0]), *(float(np.log(cost)) for cost in row[1:])]


class RandomSearch:
    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        self._table, self._rng, self._head = table, np.random.default_rng(seed), deque(head)

    def ask(self) -> Setting:
        return self._head.popleft() if self._head else sample(self._table.open_values, self._rng)

    def tell(self, trial: Trial) -> None:
        pass


class Optuna:
    """A study in memory; the head start uses `enqueue_trial`."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting], kind: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        samplers = optuna.samplers
        make: dict[str, Callable[[], Any]] = {
            "nsga2-20": lambda: samplers.NSGAIISampler(population_size=20, seed=seed),
            "nsga2-50": lambda: samplers.NSGAIISampler(population_size=50, seed=seed),
            "nsga3": lambda: samplers.NSGAIIISampler(population_size=50, seed=seed),
            "tpe": lambda: samplers.TPESampler(seed=seed),
            "tpe-multivariate": lambda: samplers.TPESampler(multivariate=True, group=True, seed=seed),
            "gp": lambda: samplers.GPSampler(seed=seed),
        }
        self._table = table
        self._study = optuna.create_study(
            directions=["minimize"] * len(table.objectives), sampler=make[kind]()
        )
        self._running: dict[tuple[object, ...], list[Any]] = {}
        for setting in head:
            self._study.enqueue_trial(dict(setting))

    def ask(self) -> Setting:
        trial = self._study.ask()
        values = self._table.open_values
        setting = {value.name: trial.suggest_categorical(value.name, value.choices) for value in values}
        self._running.setdefault(tuple(setting.values()), []).append(trial)
        return setting

    def tell(self, trial: Trial) -> None:
        import optuna

        running = self._running[tuple(trial.setting.values())].pop()
        if trial.state == "complete":
            self._study.tell(running, losses(self._table, trial))
        else:
            self._study.tell(running, state=optuna.trial.TrialState.FAIL)


class KerasTuner:
    """The Bayesian oracle, used through this project's engine, which draws a scalarization for each ask."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        from nas.engines.keras_tuner_engine import KerasTunerEngine

        self._engine = KerasTunerEngine(table.open_values, table.objectives, (), "bayesian", seed)
        self._head = deque(head)

    def ask(self) -> Setting:
        return self._head.popleft() if self._head else self._engine.ask()

    def tell(self, trial: Trial) -> None:
        self._engine.tell(trial)


class Default:
    """This project's default engine, which finds the cheapest candidates without a head start."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        from nas.engines.cheap_aware import CheapAware

        self.engine = CheapAware(table.open_values, table.criteria, table.describe, (), seed)
        self._head = deque(head)

    def ask(self) -> Setting:
        return self._head.popleft() if self._head else self.engine.ask()

    def tell(self, trial: Trial) -> None:
        self.engine.tell(trial)


class Pymoo:
    """NSGA-II on the indices of the choices, population 20, by its ask-and-tell interface."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling

        self._table = table
        highest = np.array([len(value.choices) - 1 for value in table.open_values])
        problem = Problem(n_var=len(highest), n_obj=len(table.objectives), xl=0, xu=highest, vtype=int)
        first = np.asarray(
            IntegerRandomSampling().do(problem, 20, random_state=np.random.default_rng(seed)).get("X")
        )
        for index, setting in enumerate(head):
            first[index] = self._indices(setting)
        self._algorithm = NSGA2(
            20, sampling=first, eliminate_duplicates=True,
            crossover=SBX(vtype=float, repair=RoundingRepair()),
            mutation=PM(vtype=float, repair=RoundingRepair()),
        )  # fmt: skip
        self._algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
        self._generation: Any = None
        self._waiting: deque[int] = deque()
        self._results: dict[int, list[float]] = {}

    def _indices(self, setting: Setting) -> list[int]:
        return [value.choices.index(setting[value.name]) for value in self._table.open_values]

    def ask(self) -> Setting | None:
        if self._generation is None:
            self._generation = self._algorithm.ask()
            self._results, self._waiting = {}, deque(range(len(self._generation)))
        if not self._waiting:
            return None
        indices = np.rint(self._generation[self._waiting.popleft()].X).astype(int)
        values = self._table.open_values
        return {value.name: value.choices[index] for value, index in zip(values, indices, strict=True)}

    def tell(self, trial: Trial) -> None:
        reported = self._indices(trial.setting)
        if trial.state == "complete":
            result = losses(self._table, trial)
        else:
            result = [1e3] * len(self._table.objectives)
        for index, individual in enumerate(self._generation):
            if index not in self._results and list(np.rint(individual.X).astype(int)) == reported:
                self._results[index] = result
                break
        if len(self._results) == len(self._generation):
            found = [self._results[index] for index in range(len(self._generation))]
            self._generation.set("F", np.array(found))
            self._algorithm.tell(infills=self._generation)
            self._generation = None


class SyneTune:
    """Multi-objective regularized evolution with default options, called as by its scheduler."""

    def __init__(self, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> None:
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution

        self._table = table
        self._searcher = MultiObjectiveRegularizedEvolution(
            {value.name: choice(list(value.choices)) for value in table.open_values},
            points_to_evaluate=[dict(setting) for setting in head],
            population_size=20,
            random_seed=seed,
        )

    def ask(self) -> Setting | None:
        config: dict[str, Any] | None = self._searcher.suggest()
        return config

    def tell(self, trial: Trial) -> None:
        if trial.state == "complete":
            found = losses(self._table, trial)
            self._searcher.on_trial_complete(trial.number, dict(trial.setting), metrics=found)


@dataclass(frozen=True)
class SamplerType:
    """How a sampler is created, the modules it needs besides the project's, and whether it knows the costs.

    A sampler that knows the costs of untrained candidates finds the cheapest without a head start.
    """

    make: Callable[[TabularBenchmark, int, Sequence[Setting]], Sampler]
    needs: tuple[str, ...] = ()
    knows_costs: bool = False


def _optuna(kind: str) -> Callable[[TabularBenchmark, int, Sequence[Setting]], Sampler]:
    return lambda table, seed, head: Optuna(table, seed, head, kind)


SAMPLERS = {
    "default": SamplerType(Default, knows_costs=True),
    "sklearn-gp-ehvi": SamplerType(GaussianProcess, knows_costs=True),
    "botorch-qlognehvi": SamplerType(BoTorch, ("botorch",), knows_costs=True),
    "gbt-nsga2": SamplerType(BoostedTrees, knows_costs=True),
    "random": SamplerType(RandomSearch),
    "optuna-nsga2-20": SamplerType(_optuna("nsga2-20")),
    "optuna-nsga2-50": SamplerType(_optuna("nsga2-50")),
    "optuna-nsga3": SamplerType(_optuna("nsga3")),
    "optuna-tpe": SamplerType(_optuna("tpe")),
    "optuna-tpe-multivariate": SamplerType(_optuna("tpe-multivariate")),
    "optuna-gp": SamplerType(_optuna("gp"), ("torch",)),
    "keras-tuner-bayesian": SamplerType(KerasTuner),
    "pymoo-nsga2": SamplerType(Pymoo, ("pymoo",)),
    "syne-tune-morea": SamplerType(SyneTune, ("syne_tune",)),
}


def missing(name: str) -> list[str]:
    """Return the modules that a sampler needs and that are not installed."""
    return [module for module in SAMPLERS[name].needs if importlib.util.find_spec(module) is None]


def start(name: str, table: TabularBenchmark, seed: int, head: Sequence[Setting]) -> Sampler:
    """Create a sampler; head: the settings to try first."""
    return SAMPLERS[name].make(table, seed, head)
