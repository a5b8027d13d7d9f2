"""The one loop: ask, screen, deduplicate, submit, promote, tell, log."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from nas.engines import Engine
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Job
from nas.executors import Executor
from nas.searching.halving import Halving
from nas.searching.screening import Screen, Screened
from nas.searching.status import Status
from nas.space import Setting, sample
from nas.trials import Trial

__all__ = ["Log", "Search", "TrialTraining"]

ATTEMPTS = 300
"""Proposals of an engine that may be known or over a limit before settings are drawn at random."""

RANDOM_ATTEMPTS = 3000
"""Random settings that may be known or over a limit before the space counts as exhausted."""

FLAT_FOR = 5
"""How often in a row the front must look flat before the search believes it."""

CLOSING = 1.25
"""The front is trained in full once so many times the time that this is expected to take is left."""

BRIDGED = 4
"""Trials that can be proposed and measured before the jobs that wait are used up, so that no worker waits."""

MOST_WAITING = 3
"""Jobs that wait for each worker: more would be proposed from too little."""

RECENT = 20
"""Jobs that tell how long the next will take."""


class Log(Protocol):
    """Where ended trials go."""

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Keep a trial's latest state, with its files."""
        ...

    def over_limit(self, trial: Trial) -> None:
        """Keep a candidate that was never trained."""
        ...

    def checkpoint(self, number: int) -> Path:
        """Give the checkpoint of a trial that was kept."""
        ...


@dataclass(frozen=True)
class TrialTraining:
    """How trials are trained: the data's folder, a scratch folder, the seeds."""

    dataset: Path
    scratch: Path
    seed: int = 0
    repeats: int = 1


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
    ) -> None:
        self._screen, self._engine, self._executor = screen, engine, executor
        self._halving, self._log, self._training = halving, log, training
        self.status = status
        self._rng = np.random.default_rng(training.seed)
        self._pending: dict[Future[Evaluation], int] = {}
        self._parts: dict[int, list[Evaluation]] = {}  # of trials with repeats, those that have ended
        self._known: dict[str, int] = {}  # number of the trial with this design
        self._refused: set[str] = set()  # designs over a limit
        self._unmeasured: dict[int, Screened] = {}  # of the trials that run, those whose file is to be timed
        self._checkpoints: dict[int, list[Path]] = {}
        self._lasted: deque[float] = deque(maxlen=RECENT)  # seconds of the last jobs
        self._begun = 0  # candidates proposed
        self._first: list[Setting] = []
        self._exhausted = False
        self._next = 0

    def start_from(self, settings: Sequence[Setting]) -> None:
        """Try these settings before any the engine proposes."""
        self._first = list(settings)

    def replay(self, trials: Sequence[Trial]) -> None:
        """Go on from a record: the engine learns what it had learnt, and nothing is trained twice."""
        for trial in trials:
            self._engine.tell(trial)
            if trial.architecture is None:
                continue
            key = trial.design.key
            if trial.state == "over_limit":
                self._refused.add(key)
                self.status.over_limit += 1
            else:
                self._known[key] = trial.number
                self.status.trials[trial.number] = trial
                self._next = max(self._next, trial.number + 1)

    def run(self, show: Callable[[Status], None]) -> None:
        """Search until the budget is used, the space exhausted or Ctrl-C is pressed.

        Every trial that was taken in has been given to the log when this returns or raises; jobs that still
        run, or that ended and whose file is yet to be timed, are lost.
        """
        try:
            while True:
                self._fill()
                if not self._pending:
                    break
                filled = time.monotonic()
                idle = max(0, self._executor.workers - self._unfinished) if self.status.ended_by else 0
                if self._unmeasured:  # while it trains: no worker waits for that
                    self._measure(next(iter(self._unmeasured)))
                self._collect()
                _add(self.status.seconds, "end", idle * (time.monotonic() - filled))
                show(self.status)
        except KeyboardInterrupt:
            self.status.ended_by, self.status.interrupted = "stopped by Ctrl-C", True
        finally:
            self.status.running.clear()
        show(self.status)

    def _fill(self) -> None:
        """Give the executor jobs until each worker has one that runs and enough that wait.

        Jobs that have ended leave room for others before they are taken in, but only so many.
        """
        enough = (1 + self._waiting) * self._executor.workers
        while self._unfinished < enough and len(self._pending) < 2 * enough:
            closing = self._closing()
            if not self._promote(closing) and not self._begin() and not self._promote(last=True):
                return
            if self._pending and not self._unfinished:
                return  # jobs are run as they are submitted: each is taken in before the next

    @property
    def _unfinished(self) -> int:
        return sum(not future.done() for future in self._pending)

    @property
    def _waiting(self) -> int:
        """Jobs that are to wait for each worker: one, or more where proposing a trial takes about as long."""
        if not self._begun or not self._lasted:
            return 1
        spent = self.status.seconds
        thought = (spent.get("propose", 0.0) + spent.get("measure", 0.0)) / self._begun
        return min(
            MOST_WAITING, max(1, math.ceil(BRIDGED * thought / max(1e-9, float(np.mean(self._lasted)))))
        )

    def _promotable(self, last: bool) -> list[Trial]:
        trials, busy = list(self.status.trials.values()), frozenset(self.status.running)
        return [self.status.trials[number] for number in self._halving.promotable(trials, busy, last)]

    def _closing(self) -> bool:
        """Say whether what is left of the time is needed to train the front at each rung in full."""
        left, full = self.status.seconds_left, self._halving.rungs[-1]
        if math.isinf(left):
            return False
        needed = float(np.nansum([trial.seconds_to(full) for trial in self._promotable(last=True)]))
        return left <= CLOSING * needed / self._executor.workers

    def _promote(self, last: bool = False) -> bool:
        """Submit the stopped trial that most deserves it; say whether there was one that the time allows."""
        left, next_rung = self.status.seconds_left, self._halving.next_rung
        trials = [
            trial for trial in self._promotable(last) if not trial.seconds_to(next_rung(trial.epochs)) > left
        ]
        if not trials or not left:
            return False
        trial = trials[0]
        kept = self._checkpoints.pop(trial.number, None) or [self._log.checkpoint(trial.number)]
        self._submit(trial, kept)
        return True

    def _begin(self) -> bool:
        """Submit a new candidate; say whether there was one and the budget allows it."""
        if self.status.ended_by or self._exhausted or self._spent():
            return False
        screened = self._propose()
        if screened is None:
            self._exhausted = True
            self.status.ended_by = "every network of the space that the limits allow has been tried"
            return False
        number, self._next = self._next, self._next + 1
        self._begun += 1
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
        self._known[design.key] = number
        if screened.failed:
            self._end(trial, {})
        else:
            self._submit(trial, [])
            self._unmeasured[number] = screened
        return True

    def _spent(self) -> bool:
        budget, flatness = self.status.budget, self.status.flatness
        if budget.trials is not None and self.status.numbered >= budget.trials:
            self.status.ended_by = f"{budget.trials} trials"
        elif not self.status.seconds_left:
            self.status.ended_by = f"{budget.seconds:.0f} s are over"
        elif flatness is not None and self.status.flat_for >= FLAT_FOR:
            self.status.ended_by = f"one more trial is expected to gain only {flatness:.2%} of hypervolume"
        return bool(self.status.ended_by)

    def _propose(self) -> Screened | None:
        """Find a design that is new and within the limits; None where there seems to be none left."""
        for attempt in range(ATTEMPTS + RANDOM_ATTEMPTS):
            with self._clocked("propose"):
                screened = self._new(self._setting(attempt))
            if screened is None:
                continue
            if self._screen.must_measure and not screened.reason:
                with self._clocked("measure"):
                    screened = self._screen.measure(screened)
            if not screened.reason or screened.failed:
                return screened
            self._refuse(screened)
        return None

    def _setting(self, attempt: int) -> Setting:
        if self._first:
            return self._first.pop(0)
        return self._engine.ask() if attempt < ATTEMPTS else sample(self._screen.space.open_values, self._rng)

    @contextmanager
    def _clocked(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            _add(self.status.seconds, name, time.monotonic() - started)

    def _new(self, setting: Setting) -> Screened | None:
        """Screen a setting; where its design is known already, tell the engine what came of it."""
        screened = self._screen.screen(setting)
        key = screened.design.key
        if key in self._refused:
            return None
        if key in self._known:
            self.status.duplicates += 1
            known = self.status.trials.get(self._known[key])
            if known is not None:
                self._engine.tell(replace(known, setting=setting))
            return None
        return screened

    def _refuse(self, screened: Screened) -> None:
        trial = Trial(
            number=-1 - self.status.over_limit,
            setting=screened.setting,
            id=screened.design.architecture.id,
            state="over_limit",
            values=screened.values,
            reason=screened.reason,
            architecture=screened.design.architecture,
            training=screened.design.training,
        )
        self._refused.add(screened.design.key)
        self.status.over_limit += 1
        self._engine.tell(trial)
        self._log.over_limit(trial)

    def _submit(self, trial: Trial, resume: Sequence[Path]) -> None:
        """Train a trial up to its next rung, once for each seed."""
        self._parts[trial.number] = []
        for repeat in range(self._training.repeats):
            folder = self._training.scratch / f"trial{trial.number}" / str(repeat)
            folder.mkdir(parents=True, exist_ok=True)
            job = Job(
                design=trial.design,
                dataset=self._training.dataset,
                epochs=self._halving.next_rung(trial.epochs),
                full_epochs=self._halving.rungs[-1],
                folder=folder,
                resume=resume[min(repeat, len(resume) - 1)] if resume else None,
                seed=self._training.seed + 1000 * repeat,
                number=trial.number,
            )
            self._pending[self._executor.submit(job)] = trial.number
        self.status.running[trial.number] = (replace(trial, state="running"), time.monotonic())

    def _measure(self, number: int) -> None:
        """Measure the file of a trial that runs; where none can be made, the trial has failed."""
        with self._clocked("measure"):
            measured = self._screen.measure(self._unmeasured.pop(number))
        trial, since = self.status.running[number]
        trial = replace(trial, values=measured.values)
        self.status.running[number] = trial, since
        if measured.failed:
            self._end(replace(trial, state="failed", reason=measured.reason), {})

    def _collect(self) -> None:
        """Take in what has ended and is measured, waiting a moment where nothing is to be done before."""
        timeout = 0.0 if self._unmeasured else 0.2
        ended, _ = wait(self._pending, timeout=timeout, return_when=FIRST_COMPLETED)
        done = [
            future
            for future, number in self._pending.items()
            if future in ended and number not in self._unmeasured
        ]
        for future in done:  # in the order of submission
            number = self._pending.pop(future)
            if number not in self.status.running:
                continue  # another seed of this trial, or its file, has failed
            trial, _ = self.status.running[number]
            try:
                self._parts[number].append(future.result())
            except EvaluationError as error:
                self._end(replace(trial, state="failed", reason=str(error)), {})
                continue
            self._lasted.append(sum(self._parts[number][-1].seconds.values()))
            if self.status.starting is None:
                self.status.starting = max(0.0, self.status.elapsed - self._lasted[-1])
            if len(self._parts[number]) == self._training.repeats:
                self._end(*self._evaluated(trial, self._parts[number]))
        if done:
            self.status.flatness = flatness = self._engine.flatness()
            flat = self.status.budget.flat
            is_flat = flat is not None and flatness is not None and flatness < flat
            self.status.flat_for = self.status.flat_for + 1 if is_flat else 0

    def _evaluated(self, trial: Trial, parts: Sequence[Evaluation]) -> tuple[Trial, dict[str, Path]]:
        """Put what the seeds of a trial gave into the trial: means of values and curves."""
        values = {name: float(np.mean([part.values[name] for part in parts])) for name in parts[0].values}
        if len(parts) > 1:
            values |= {f"{name}_std": float(np.std([part.values[name] for part in parts])) for name in values}
        curve = [
            {key: float(np.mean([epoch[key] for epoch in epochs])) for key in epochs[0]}
            for epochs in zip(*(part.curve for part in parts), strict=True)
        ]
        seconds = dict(trial.seconds)
        for part in parts:
            for name, spent in part.seconds.items():
                _add(seconds, name, spent)
        full = parts[0].epochs >= self._halving.rungs[-1]
        if not full:
            self._checkpoints[trial.number] = [part.checkpoint for part in parts]
        ended = replace(
            trial,
            state="complete" if full else "stopped",
            values={**trial.values, **values},
            epochs=parts[0].epochs,
            curve=(*trial.curve, *curve),
            seconds=seconds,
        )
        return ended, {"checkpoint.npz": parts[0].checkpoint}

    def _end(self, trial: Trial, files: Mapping[str, Path]) -> None:
        for held in (self.status.running, self._unmeasured, self._parts):
            held.pop(trial.number, None)
        before = self.status.trials.get(trial.number)
        for name, spent in trial.seconds.items():
            _add(self.status.seconds, name, spent - (before.seconds.get(name, 0.0) if before else 0.0))
        self.status.trials[trial.number] = trial
        self._engine.tell(trial)
        self._log.trial(trial, files)


def _add(seconds: dict[str, float], name: str, spent: float) -> None:
    seconds[name] = seconds.get(name, 0.0) + spent
