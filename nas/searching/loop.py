"""The search loop: propose, submit, collect, promote, report to the engine, log."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.engines import Engine
from nas.errors import EvaluationError, RecordError
from nas.evaluation import Evaluation
from nas.executors import Executor
from nas.searching.evaluated import add_evaluations, add_seed, checkpoint_name
from nas.searching.halving import Halving
from nas.searching.jobs import Jobs
from nas.searching.log import Log, PausingLog
from nas.searching.proposing import Proposer
from nas.searching.screening import Screen, Screened
from nas.searching.status import Status
from nas.searching.trial_training import TrialTraining
from nas.space import Setting
from nas.trials import Trial, pareto_front

__all__ = ["Search"]

CLOSING = 1.25
"""Safety factor on the predicted time to train the front in full, which is reserved at the end."""

MIN_QUEUED_PROPOSALS = 4
"""Trials that can be proposed and measured before the queue is empty, so that no worker waits."""

MAX_WAITING = 3
"""Greatest number of queued jobs per worker: more would be proposed from too few results."""

RECENT = 20
"""Number of latest jobs whose time predicts that of the next."""


class Search:
    """A search from its first or next trial to its end; see `run`."""

    def __init__(
        self,
        screen: Screen,
        engine: Engine,
        executor: Executor,
        halving: Halving,
        log: Log,
        training: TrialTraining,
        status: Status,
        lag: int | None = None,
        view: Callable[[Iterable[Trial]], list[Trial]] = list,
    ) -> None:
        """Set the parts.

        lag: see `Jobs`; view: converts trials to what decides about promotions.
        """
        self._engine, self._halving, self._training = engine, halving, training
        self._log = PausingLog(log, status)
        self._jobs = Jobs(executor, self._log, status, lag)
        self._view = view
        self.status = status
        self._proposer = Proposer(screen, engine, status, self._log.over_limit, training.seed)
        self._to_retry: deque[Trial] = deque()  # that have failed before the search was resumed
        self._parts: dict[int, dict[int, Evaluation]] = {}  # ended parts of running trials
        self._unmeasured: dict[int, Screened] = {}  # running trials whose file is not measured yet
        self._checkpoints: dict[int, list[Path]] = {}
        self._job_seconds: deque[float] = deque(maxlen=RECENT)
        self._unconfirmable: set[int] = set()  # complete trials whose training with another seed failed
        self._proposed = 0
        self._exhausted = False

    def start_from(self, settings: Sequence[Setting]) -> None:
        """Try these settings before any that the engine proposes."""
        self._proposer.start_from(settings)

    def replay(self, trials: Sequence[Trial], retry_failed: bool = False) -> None:
        """Resume from recorded trials: the engine observes them, and nothing is trained twice.

        retry_failed: failed trials are not observed, and trained from the start before any new one.
        """
        for trial in trials:
            if retry_failed and trial.state == "failed" and trial.architecture is not None:
                self._proposer.add(trial.design.key, trial.number)
                self._to_retry.append(trial)
                continue
            for paused in self._halving.at_rungs(trial):
                self._engine.tell(paused)
            self._engine.tell(trial)
            if trial.architecture is None:
                continue
            if trial.state == "over_limit":
                self._proposer.add_rejected(trial.design.key)
            else:
                self._proposer.add(trial.design.key, trial.number)
                self.status.trials[trial.number] = trial

    def run(self, show: Callable[[Status], None]) -> None:
        """Search until the budget is used, the space is exhausted, or Ctrl-C is pressed.

        Every collected trial has been passed to the log when this returns or raises. Jobs that still run, or
        that ended while their file was not measured yet, are lost.
        """
        self._log.show = show
        try:
            while True:
                self._fill()
                if not self._jobs:
                    break
                filled = time.monotonic()
                idle = max(0, self._jobs.workers - self._jobs.unfinished) if self.status.ended_by else 0
                self._measure_one()
                self._collect()
                self.status.add_seconds("end", idle * (time.monotonic() - filled))
                show(self.status)
        except KeyboardInterrupt:
            self.status.ended_by, self.status.interrupted = "stopped by Ctrl-C", True
        finally:
            self.status.running.clear()
        show(self.status)

    def _fill(self) -> None:
        """Submit jobs until each worker has one that runs and enough that wait.

        Jobs that have ended make room for others before they are collected, up to a limit.
        """
        while self._has_room():
            closing = self._closing()
            is_filled = (
                self._retry()
                or self._promote(closing)
                or self._begin()
                or self._promote(last=True)
                or self._confirm()
            )
            if not is_filled:
                return
            if self._jobs.lag is None and self._jobs and not self._jobs.unfinished:
                return  # jobs run as they are submitted: collect each before the next

    def _has_room(self) -> bool:
        """Return whether more jobs are to be submitted."""
        if self._jobs.lag is not None:
            return len(self._jobs) < self._jobs.lag
        enough = (1 + self._waiting) * self._jobs.workers
        return self._jobs.unfinished < enough and len(self._jobs) < 2 * enough

    @property
    def _waiting(self) -> int:
        """Queued jobs per worker: one, or more if proposing a trial takes about as long as training it."""
        if not self._proposed or not self._job_seconds:
            return 1
        spent = self.status.seconds
        proposal = (spent.get("propose", 0.0) + spent.get("measure", 0.0)) / self._proposed
        job = max(1e-9, float(np.mean(self._job_seconds)))
        return min(MAX_WAITING, max(1, math.ceil(MIN_QUEUED_PROPOSALS * proposal / job)))

    def _promotable(self, last: bool) -> list[Trial]:
        trials, busy = self._view(self.status.trials.values()), frozenset(self.status.running)
        return [self.status.trials[number] for number in self._halving.promotable(trials, busy, last)]

    def _closing(self) -> bool:
        """Return whether the remaining time is needed to train the front of each rung in full."""
        left, full = self.status.seconds_left, self._halving.rungs[-1]
        if math.isinf(left):
            return False
        needed = float(np.nansum([trial.seconds_to(full) for trial in self._promotable(last=True)]))
        needed += float(np.nansum([trial.seconds_per_epoch * full for trial in self._unconfirmed()]))
        return left <= CLOSING * needed / self._jobs.workers

    def _promote(self, last: bool = False) -> bool:
        """Submit the first promotable trial that fits into the remaining time; return whether one does."""
        left, next_rung = self.status.seconds_left, self._halving.next_rung
        trials = [
            trial for trial in self._promotable(last) if not trial.seconds_to(next_rung(trial.epochs)) > left
        ]
        if not trials or not left:
            return False
        trial = trials[0]
        try:
            checkpoints = self._checkpoints.pop(trial.number, None) or [
                self._log.checkpoint(trial.number, part) for part in range(self._training.parts)
            ]
        except RecordError as error:
            self.status.notices.append(f"Trial {trial.number} is trained from the start: {error}.")
            trial, checkpoints = replace(trial, epochs=0, curve=()), []
        self._submit(trial, checkpoints)
        return True

    def _unconfirmed(self) -> list[Trial]:
        """Return the front members that have been trained with too few seeds, the best first."""
        criteria, excluded = self._halving.criteria, self._unconfirmable | self.status.running.keys()
        front = pareto_front(self._view(self.status.trials.values()), criteria)
        members = [trial for trial in front if trial.trainings < self._training.front_seeds]
        members = sorted((trial for trial in members if trial.number not in excluded), key=criteria.error)
        return [self.status.trials[trial.number] for trial in members]

    def _confirm(self) -> bool:
        """Train a front member from scratch with one more seed; return whether one needs it and time is left.

        A front collects the networks that were lucky: the validation split tells apart few of them, and the
        best of many noisy values is too high (the winner's curse). The mean over two seeds puts those back
        that were dominated by luck; these are then trained again in turn.
        """
        full, left = self._halving.rungs[-1], self.status.seconds_left
        members = [trial for trial in self._unconfirmed() if not trial.seconds_per_epoch * full > left]
        if not members or not left:
            return False
        self._submit(members[0], [], range(members[0].trainings, members[0].trainings + 1))
        return True

    def _begin(self) -> bool:
        """Submit a new candidate; return whether there is one and the budget allows it."""
        if self.status.ended_by or self._exhausted or self.status.is_budget_used():
            return False
        screened = self._proposer.propose()
        if screened is None:
            self._exhausted = True
            self.status.ended_by = "every network of the space within the limits has been tried"
            return False
        self._proposed += 1
        self._start(screened, self.status.unused_number())
        return True

    def _retry(self) -> bool:
        """Train a failed trial of the record again; return whether there is one and time is left."""
        if not self._to_retry or not self.status.seconds_left:
            return False
        trial = self._to_retry.popleft()
        self._start(self._proposer.screen.screen(trial.setting), trial.number)
        return True

    def _start(self, screened: Screened, number: int) -> None:
        """Submit a candidate, or end it at once if the runtime has refused its file."""
        design = screened.design.compact()
        trial = Trial(
            number=number,
            setting=screened.setting,
            id=design.architecture.id,
            state="failed" if screened.failed else "running",
            values=screened.values,
            reason=screened.reason,
            architecture=design.architecture,
            training=design.training,
        )
        self._proposer.add(design.key, number)
        if screened.failed:
            self._end(trial, {})
        else:
            self._submit(trial, [])
            self._unmeasured[number] = screened

    def _submit(self, trial: Trial, resume: Sequence[Path], parts: range | None = None) -> None:
        """Train a trial up to its next rung, once for each part; by default for each seed and fold."""
        self._parts[trial.number] = {}
        epochs = self._halving.next_rung(trial.epochs), self._halving.rungs[-1]
        for part in range(self._training.parts) if parts is None else parts:
            job = self._training.job(trial, part, epochs, resume[part] if resume else None)
            self._jobs.submit(job, part)
        self.status.running[trial.number] = (replace(trial, state="running"), time.monotonic())

    def _measure_one(self) -> None:
        """Measure the file of a trial that is not measured yet, while it trains: no worker waits for it.

        If results are collected in order, the file is measured when the job of the trial is the next one.
        """
        following = self._unmeasured if self._jobs.lag is None else self._jobs.first_ended()
        number = next(iter(following), None)
        if number is not None and number in self._unmeasured:
            self._measure(number)

    def _measure(self, number: int) -> None:
        """Measure the file of a running trial; the trial fails if the runtime refuses the file."""
        started = time.monotonic()
        measured = self._proposer.screen.measure(self._unmeasured.pop(number))
        self.status.add_seconds("measure", time.monotonic() - started)
        trial, since = self.status.running[number]
        trial = replace(trial, values=measured.values)
        self.status.running[number] = trial, since
        if measured.failed:
            self._end(replace(trial, state="failed", reason=measured.reason), {})

    def _collect(self) -> None:
        """Collect jobs that have ended and are measured; wait a moment if there is nothing else to do."""
        is_changed = False
        for number, part, result in self._jobs.collect(self._unmeasured):
            is_changed = True
            if number not in self.status.running:
                continue  # another part of this trial, or its file, has failed
            trial, _ = self.status.running[number]
            if isinstance(result, EvaluationError):
                self._fail(trial, str(result))
                continue
            self._parts[number][part] = result
            self._job_seconds.append(sum(result.seconds.values()))
            if self.status.starting is None:
                self.status.starting = max(0.0, self.status.elapsed - self._job_seconds[-1])
            before = self.status.trials.get(number)
            if before is not None and before.state == "complete":
                self._end(add_seed(before, result), {})
            elif len(self._parts[number]) == self._training.parts:
                self._end_parts(trial)
        if is_changed:
            self.status.flatness = flatness = self._engine.flatness()
            flat = self.status.budget.flat
            is_flat = flat is not None and flatness is not None and flatness < flat
            self.status.flat_for = self.status.flat_for + 1 if is_flat else 0

    def _end_parts(self, trial: Trial) -> None:
        """End a trial whose parts have all ended, with their means."""
        parts = [part for _, part in sorted(self._parts[trial.number].items())]
        trained = add_evaluations(trial, parts, self._halving.rungs[-1], len(self._training.datasets))
        checkpoints = [part.checkpoint for part in parts]
        if trained.state == "stopped":
            self._checkpoints[trial.number] = checkpoints
        else:
            checkpoints = checkpoints[:1]  # the others serve only to train further
        self._end(trained, {checkpoint_name(n): path for n, path in enumerate(checkpoints)})

    def _fail(self, trial: Trial, reason: str) -> None:
        """End a trial as failed; a complete one stays as it is, with a reason why it has no second seed."""
        before = self.status.trials.get(trial.number)
        if before is not None and before.state == "complete":
            self._unconfirmable.add(trial.number)
            self._end(replace(before, reason=f"training with another seed failed: {reason}"), {})
        else:
            self._end(replace(trial, state="failed", reason=reason), {})

    def _end(self, trial: Trial, files: Mapping[str, Path]) -> None:
        self._log.trial(trial, files)  # before anything shows it
        for trials in (self.status.running, self._unmeasured, self._parts):
            trials.pop(trial.number, None)
        before = self.status.trials.get(trial.number)
        for name, spent in trial.seconds.items():
            earlier = before.seconds.get(name, 0.0) if before else 0.0
            self.status.add_seconds(name, spent - earlier)
        self.status.trials[trial.number] = trial
        if trial.state == "complete":
            self._training.remove_files(trial.number)  # the record has them
        self._engine.tell(trial)
