"""Confirm front members: train them again with new seeds, and judge each training once on the test split."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data import Dataset, select_fold
from nas.errors import DataError, EvaluationError, InputError
from nas.evaluation import Evaluation, Job
from nas.executors import Executor, exit_if_imported_by_worker
from nas.record import SearchRecord
from nas.report import page_html
from nas.searching.confirmed import (
    RESULT_FILE,
    Confirmation,
    confirm_members,
    confirmed_values,
    metric_name,
)
from nas.searching.confirmed_trainings import (
    TRAININGS_FILE,
    ConfirmedTraining,
    read_trainings,
    trainings_text,
)
from nas.searching.health import scratch_folder
from nas.searching.plan import Plan
from nas.searching.planning import changed_versions, create_executor, create_halving
from nas.searching.recorded_data import recorded_data
from nas.searching.recorded_report import RecordedReport
from nas.trials import Trial, meeting, pareto_front

__all__ = ["ConfirmationSession", "ConfirmedStep", "prepare_confirmation"]

FIRST_SEED = 1_000_000
"""What is added to the seed of the search for the first training: no training of a search has such a seed."""

WAIT_SECONDS = 0.5
"""Time after which messages of the workers are shown, if no training ends before."""


class ConfirmedStep(NamedTuple):
    """A training that has ended, for whatever displays the progress."""

    training: ConfirmedTraining
    done: int
    total: int
    seconds_left: float  # predicted; nan if unknown


def prepare_confirmation(
    name: str | None,
    *,
    seeds: int = 5,
    top: int = 10,
    where: str = "",
    seconds: float | None = None,
    workers: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> ConfirmationSession:
    """Prepare to confirm the front of a search, the latest by default, from its record alone.

    seeds: trainings of each member; where: conditions on the members; top: so many of those, the best.
    seconds: no training begins that would end later. progress: receives sentences for the user.

    What was trained before is not trained again. Raises InputError for an unknown name, a search that runs
    and a front without such members, DataError if the data has changed or has no test split.
    """
    exit_if_imported_by_worker()
    for option, value, least in (("--seeds", seeds, 2), ("--top", top, 1)):
        if value < least:
            raise InputError(f"{option} must be at least {least}, got {value}; use the default or more")
    record = SearchRecord.resume(name, progress, is_search=False)
    executor: Executor | None = None
    try:
        plan, trials = Plan.parse(record.config), record.trials()
        front = meeting(pareto_front(trials, plan.criteria), where)
        if not front:
            raise InputError(
                f"a confirmation needs a member of the front, but that of '{record.name}' has none"
                f"{f' that meets {where!r}' if where else ''}; list it with nas front {record.name}"
            )
        kept = read_trainings(record.text(TRAININGS_FILE))
        asked = [(trial.number, seed) for seed in range(seeds) for trial in front[:top]]
        if not _missing(asked, kept, trials):
            workers = 0  # nothing is to be trained: start no process
        executor = create_executor(plan, plan.task, workers)
        dataset = recorded_data(plan, progress)
        if dataset.test is None:
            raise DataError(
                f"a confirmation needs a test split, but '{plan.data}' has none; add x_test and y_test, or a "
                "folder test/"
            )
        executor.check()
        return ConfirmationSession(record, plan, dataset, executor, trials, kept, asked, len(front), seconds)
    except BaseException:
        if executor is not None:
            executor.close()
        record.close()
        raise


def _missing(
    asked: Sequence[tuple[int, int]], kept: Sequence[ConfirmedTraining], trials: Sequence[Trial]
) -> list[tuple[int, int]]:
    """Return what is asked for and not trained yet; what has failed is tried again."""
    ids = {trial.number: trial.id for trial in trials}
    known = {(one.trial, one.seed) for one in kept if not one.failed and ids.get(one.trial) == one.id}
    return [pair for pair in asked if pair not in known]


@dataclass
class ConfirmationSession:
    """A confirmation that is ready to run. Its record is open for writing until `run` ends."""

    record: SearchRecord
    plan: Plan
    dataset: Dataset
    executor: Executor
    trials: Sequence[Trial]  # all of the search
    kept: list[ConfirmedTraining]  # trained by an earlier call, then also by this one
    asked: Sequence[tuple[int, int]]  # (trial, seed) in the order of training
    on_front: int  # members of the front that meet the conditions, of which the best are confirmed
    seconds: float | None
    interrupted: bool = False  # by Ctrl-C
    delivery_problem: str = ""  # why MLflow does not have the results yet
    _started: float = field(default_factory=time.monotonic)

    def introduction(self) -> str:
        """Return a few lines that describe what will run."""
        members, seeds = (len(set(part)) for part in zip(*self.asked, strict=True))
        missing = _missing(self.asked, self.kept, self.trials)
        lines = [
            f"Confirmation of {self.record.name}: {members} of {self.on_front} front members, "
            f"{seeds} seeds of {self._epochs} epochs",
            f"  data        {self.dataset.name}, {len(self._test):,} test examples",
            f"  trainings   {_count(len(missing), self.executor.workers)}",
        ]
        if done := len(self.asked) - len(missing):
            lines.append(f"  resumed     with {done} trainings in the record")
        if changed := changed_versions(self.plan):
            lines.append(f"  Versions have changed, and with them figures may change: {changed}.")
        return "\n".join(lines)

    @property
    def _epochs(self) -> int:
        return create_halving(self.plan).rungs[-1]

    @property
    def _test(self) -> np.ndarray:
        assert self.dataset.test is not None
        return np.asarray(self.dataset.test.y)

    def run(
        self, show: Callable[[ConfirmedStep], None], notify: Callable[[str], None] = lambda _: None
    ) -> Confirmation:
        """Train until all is trained, the time is used or Ctrl-C is pressed; then close what is open.

        notify: receives sentences about workers and trainings that failed.

        Each training is kept when it ends. Raises WorkerError if no worker can train, StorageError if
        `mlruns` cannot be written, RecordError if another process writes the record.
        """
        scratch = scratch_folder(self.record.name)
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            self._train(scratch, show, notify)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.executor.close()
            try:
                found = self._results()
                self._write_results(found)
            finally:
                self.record.flush()
                self.delivery_problem = self.record.delivery_problem
                self.record.close()
                shutil.rmtree(scratch, ignore_errors=True)
        return found

    def _train(
        self, scratch: Path, show: Callable[[ConfirmedStep], None], notify: Callable[[str], None]
    ) -> None:
        waiting, folds = _missing(self.asked, self.kept, self.trials), self.plan.folds
        total, done = len(waiting), 0
        running: dict[Future[Evaluation], tuple[int, int]] = {}
        data: dict[int, Path] = {}
        while True:
            while len(running) < self.executor.workers:
                chosen = next((pair for pair in waiting if self._fits(pair[0])), None)
                if chosen is None:
                    break
                waiting.remove(chosen)
                fold = chosen[1] % folds
                if fold not in data:
                    selected = select_fold(self.dataset, fold, folds, self.plan.split_seed)
                    data[fold] = selected.save(scratch / f"data{fold}")
                running[self.executor.submit(self._job(*chosen, data[fold], scratch))] = chosen
            if not running:
                return
            ended, _ = wait(running, WAIT_SECONDS, FIRST_COMPLETED)
            self.record.raise_if_lost()
            for line in self.executor.take_notices():
                notify(line)
            for future in ended:
                training = self._collect(*running.pop(future), future)
                self._keep(training)
                done += 1
                left = [*waiting, *running.values()]
                seconds = sum(self._predicted(number) for number, _ in left) / max(1, self.executor.workers)
                show(ConfirmedStep(training, done, total, seconds))

    def _job(self, number: int, seed: int, data: Path, scratch: Path) -> Job:
        return Job(
            design=self._trial(number).design,
            dataset=data,
            epochs=self._epochs,
            full_epochs=self._epochs,
            folder=scratch / f"confirm{number}-{seed}",
            seed=self.plan.seed + FIRST_SEED + 1000 * seed,
            number=number,
            is_last=True,
            precision=self.plan.judged_precision,
            judged_by=metric_name(self.plan.criteria.qualities[0]),
        )

    def _trial(self, number: int) -> Trial:
        return next(trial for trial in self.trials if trial.number == number)

    def _collect(self, number: int, seed: int, future: Future[Evaluation]) -> ConfirmedTraining:
        """Return the result of a training; raises WorkerError and StorageError."""
        nothing = np.empty(0)
        ended = ConfirmedTraining(number, self._trial(number).id, seed, {}, {}, nothing, nothing)
        try:
            result = future.result()
        except EvaluationError as error:
            return replace(ended, failed=str(error))
        judgement = result.judgement
        if judgement is None:
            raise AssertionError("the job asks for a judgement")
        shutil.rmtree(result.checkpoint.parent, ignore_errors=True)
        return replace(
            ended,
            validation={metric_name(one): result.values[one.name] for one in self.plan.criteria.qualities},
            test={name.removeprefix("test_"): value for name, value in judgement.values.items()},
            validation_examples=judgement.validation,
            test_examples=judgement.test,
            seconds=sum(result.seconds.values()),
        )

    def _keep(self, training: ConfirmedTraining) -> None:
        """Write a training and what follows from all of them; both survive this process."""
        replaced = (training.trial, training.seed)
        self.kept = [one for one in self.kept if (one.trial, one.seed) != replaced] + [training]
        self.record.attach({TRAININGS_FILE: trainings_text(self.kept)})
        self.record.attach({RESULT_FILE: json.dumps(self._results().as_data())})

    def _results(self) -> Confirmation:
        return confirm_members(self.record.name, self.plan, self.trials, self.kept, self.asked)

    def _write_results(self, found: Confirmation) -> None:
        """Write what changed: the means to the runs of the trials, and the report anew."""
        changed = False
        for member in found.members:
            values = {**member.trial.values, **confirmed_values(member, self.plan.criteria.qualities)}
            if values != member.trial.values:
                self.record.log(replace(member.trial, values=values))
                changed = True
        if changed:
            self.record.attach({RESULT_FILE: json.dumps(found.as_data())})
            self.record.flush()  # the report links to the pages of the trials
            self.record.attach({"report.html": page_html(RecordedReport(self.record.name).data())})

    def _predicted(self, number: int) -> float:
        """Return the seconds that a training of a member takes, from its earlier ones; nan if unknown."""
        known = [one.seconds for one in self.kept if one.trial == number and not one.failed]
        if known:
            return float(np.mean(known))
        trial = self._trial(number)
        return trial.seconds_per_epoch * self._epochs + trial.seconds_once

    def _fits(self, number: int) -> bool:
        """Return whether the time that is left suffices for a training of a member."""
        left = math.inf if self.seconds is None else self.seconds - (time.monotonic() - self._started)
        return left > 0 and not self._predicted(number) > left


def _count(trainings: int, workers: int) -> str:
    by = f", by {workers} {'process' if workers == 1 else 'processes'}" if trainings else ""
    return f"{trainings}{by}"
