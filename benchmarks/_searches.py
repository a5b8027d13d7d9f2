"""The contenders of time_to_front.py: each searches until its process is killed, and reports each trial."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _common import Task

__all__ = ["CONTENDERS", "PRICE", "contend"]

PRICE = 0.05
REDUCTION = 3
Report = Callable[[Mapping[str, Any], float, int], None]
"""Called after each trial with its setting, validation accuracy and epochs."""


def fit(task: Task, setting: Mapping[str, Any], report: Report) -> tuple[float, int]:
    """Train a network by `model.fit`; return its accuracy and its number of parameters."""
    import keras

    from nas.backends import build_compiled_model

    keras.backend.clear_session()
    dataset, space = loaded(task)
    design = space.design(setting)
    model = build_compiled_model(design.architecture, design.training)
    history = model.fit(
        dataset.train.x,
        dataset.train.y,
        validation_data=(dataset.validation.x, dataset.validation.y),
        epochs=task.epochs,
        batch_size=design.training.batch_size,
        verbose=0,
    )
    accuracy = history.history["val_accuracy"][-1]
    report(setting, accuracy, task.epochs)
    return accuracy, model.count_params()


_loaded: list[Any] = []


def loaded(task: Task) -> Any:
    """Load the data and the space once."""
    if not _loaded:
        _loaded.extend(task.load())
    return _loaded


def optuna_script(task: Task, report: Report, sampler: Any) -> None:
    """Search with Optuna until the process is killed."""
    import optuna

    from nas.space import is_active

    _, space = loaded(task)

    def objective(trial: optuna.Trial) -> tuple[float, int]:
        setting: dict[str, Any] = {}
        for value in space.open_values:
            if is_active(value, setting):
                setting[value.name] = trial.suggest_categorical(value.name, value.choices)
        return fit(task, setting, report)

    optuna.create_study(sampler=sampler, directions=["maximize", "minimize"]).optimize(objective)


def optuna_tpe(task: Task, report: Report) -> None:
    """Search with Optuna's TPE, multivariate and grouped."""
    import optuna

    optuna_script(task, report, optuna.samplers.TPESampler(multivariate=True, group=True, seed=task.seed))


def optuna_nsga2(task: Task, report: Report) -> None:
    """Search with Optuna's NSGA-II."""
    import optuna

    optuna_script(task, report, optuna.samplers.NSGAIISampler(population_size=20, seed=task.seed))


def keras_tuner(task: Task, report: Report, hyperband: bool) -> None:
    """Search with Keras Tuner for accuracy minus a price of the parameters, until the process is killed."""
    import keras
    import keras_tuner as kt

    from nas.backends import build_compiled_model
    from nas.space import complete_setting, is_active

    dataset, space = loaded(task)

    class Score(keras.callbacks.Callback):
        """Adds the scalar objective of the tuner to each epoch's metrics."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            logs["val_score"] = logs["val_accuracy"] - PRICE * math.log10(max(self.model.count_params(), 1))

    class Networks(kt.HyperModel):
        def setting(self, hp: kt.HyperParameters) -> dict[str, Any]:
            setting: dict[str, Any] = {}
            for value in space.open_values:
                choices = list(value.choices)
                if value.when is None:
                    setting[value.name] = hp.Choice(value.name, choices)
                    continue
                with hp.conditional_scope(value.when[0], sorted(value.when[1])):
                    chosen = hp.Choice(value.name, choices)
                if is_active(value, setting):
                    setting[value.name] = chosen if chosen is not None else choices[0]
            return dict(complete_setting(space.open_values, setting))

        def build(self, hp: kt.HyperParameters) -> Any:
            design = space.design(self.setting(hp))
            return build_compiled_model(design.architecture, design.training)

        def fit(self, hp: kt.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
            callbacks = [Score(), *kwargs.pop("callbacks", [])]
            history = super().fit(hp, model, *args, callbacks=callbacks, **kwargs)
            report(self.setting(hp), history.history["val_accuracy"][-1], kwargs["epochs"])
            return history

    shared: dict[str, Any] = {
        "objective": kt.Objective("val_score", "max"),
        "directory": "tuner",
        "seed": task.seed,
    }
    tuner = (
        kt.Hyperband(
            Networks(), max_epochs=task.epochs, factor=REDUCTION, hyperband_iterations=10**6, **shared
        )
        if hyperband
        else kt.BayesianOptimization(Networks(), max_trials=10**6, **shared)
    )
    tuner.search(
        dataset.train.x,
        dataset.train.y,
        validation_data=(dataset.validation.x, dataset.validation.y),
        epochs=task.epochs,
        batch_size=64,
        verbose=0,
    )


def keras_tuner_bayesian(task: Task, report: Report) -> None:
    """Search with Keras Tuner's Bayesian oracle."""
    keras_tuner(task, report, hyperband=False)


def keras_tuner_hyperband(task: Task, report: Report) -> None:
    """Search with Keras Tuner's Hyperband."""
    keras_tuner(task, report, hyperband=True)


def nas_search(task: Task, report: Report) -> None:
    """Search with nas and its default options."""
    from nas import search
    from nas.searching import Status

    reported: dict[int, int] = {}

    def show(status: Status) -> None:
        for number, trial in status.trials.items():
            if trial.state in ("complete", "stopped") and reported.get(number) != trial.epochs:
                reported[number] = trial.epochs
                report(trial.setting, trial.values["accuracy"], trial.epochs)

    search(
        task.space,
        show=show,
        data=task.data,
        train_limit=task.train_limit,
        objectives=("accuracy", "params"),
        epochs=task.epochs,
        reduction=REDUCTION,
        seconds=60 * task.minutes,
        seed=task.seed,
        **(task.options or {}),
    )


CONTENDERS = {
    "keras_tuner_bayesian": keras_tuner_bayesian,
    "keras_tuner_hyperband": keras_tuner_hyperband,
    "optuna_tpe": optuna_tpe,
    "optuna_nsga2": optuna_nsga2,
    "nas": nas_search,
}


def contend(name: str, task: Task, out: Path) -> None:
    """Run one contender in this process; write a line to `out` for each trial."""
    with out.open("a", encoding="utf-8", buffering=1) as lines:

        def report(setting: Mapping[str, Any], accuracy: float, epochs: int) -> None:
            line = {"setting": setting, "accuracy": float(accuracy), "epochs": epochs, "ended": time.time()}
            lines.write(json.dumps(line) + "\n")

        CONTENDERS[name](task, report)
