"""Train a recorded trial again, from its record alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from nas.data import select_fold
from nas.errors import InputError
from nas.evaluation import Evaluation, Evaluator
from nas.files import temporary_folder
from nas.searching.evaluated import add_evaluations, add_seed
from nas.searching.plan import Plan
from nas.searching.planning import create_halving
from nas.searching.recorded_data import recorded_data
from nas.searching.trial_training import TrialTraining
from nas.trials import Trial

__all__ = ["reproduce_trial"]


def reproduce_trial(
    plan: Plan, trial: Trial, progress: Callable[[str], None] | None = None
) -> Mapping[str, float]:
    """Train a trial as its search did, in this process, and return the values that depend on training.

    They equal the recorded ones, to the last bit on the same machine with the same versions of the libraries.
    Raises InputError for a trial that was not trained, DataError if the data has changed.
    """
    if not trial.epochs or trial.architecture is None:
        raise InputError(
            f"only a trial that was trained can be trained again, got trial {trial.number}, {trial.state}"
        )
    dataset = recorded_data(plan, progress)
    evaluator, full = Evaluator(plan.task), create_halving(plan).rungs[-1]
    with temporary_folder() as folder:
        folds = [
            select_fold(dataset, number, plan.folds, plan.split_seed).save(folder / f"data{number}")
            for number in range(plan.folds)
        ]
        training = TrialTraining(folds, folder, plan.seed, plan.repeats, plan.judged_precision)

        def train(part: int) -> Evaluation:
            return evaluator.evaluate(training.job(trial, part, (trial.epochs, full), None))

        parts = [train(part) for part in range(training.parts)]
        trained = add_evaluations(replace(trial, values={}, curve=(), seconds={}), parts, full, plan.folds)
        for part in range(trained.trainings, trial.trainings):
            trained = add_seed(trained, train(part))
    return trained.values
