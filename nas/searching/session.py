"""From a plan to a running search and back: what `nas search` does, for Python and the command line."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from threadpoolctl import threadpool_limits

from nas.backends import build_compiled_model
from nas.data import Dataset, load_dataset
from nas.device import FileCostMeter, LatencyOptions
from nas.engines import Engine
from nas.errors import DataError
from nas.evaluation import load_tensorflow, load_weights
from nas.executors import Executor, InProcess, LocalProcesses
from nas.record import Record
from nas.report import draw_predictions, figure_html, hypervolume_figure, pareto_figure, picture_html
from nas.searching.halving import Halving, rungs
from nas.searching.loop import Search, TrialTraining
from nas.searching.plan import Plan, bound_space, starting_settings
from nas.searching.screening import MEASURED, Screen
from nas.searching.status import Budget, Status
from nas.space import SearchSpace, find_extreme
from nas.trials import Trial, front_csv, hypervolume_curve, pareto_front, pick_trial

__all__ = ["DEFAULT_COSTS", "Result", "Session", "prepare_search", "resume_search"]

Show = Callable[[Status], None]

DEFAULT_COSTS = ("params", "latency")
"""What is improved beside the quality unless the user says otherwise."""

BEHIND = 200
"""Writes by which the record may lie behind the search; then the search waits for it."""


@dataclass(frozen=True)
class Result:
    """What a search found: its name, all trials, the front's, and how it went."""

    name: str
    plan: Plan
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    status: Status
    division: Mapping[str, float]  # of the workers' time: train, trace, ..., start, end, wait


def prepare_search(
    space: str | Path | Mapping[str, Any],
    asked: Mapping[str, Any],
    name: str | None = None,
    start_from: Sequence[str] = (),
    *,
    workers: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Session:
    """Prepare a new search of a space: a shipped name, a file, or a file's content.

    `asked` are values of Plan; `workers` 0 trains in this process; `tell` is told what takes long. The
    workers load TensorFlow while the rest is prepared. Raises InputError and its kinds: a space or data that
    breaks a rule, a limit that nothing in the space can meet, a name in use.
    """
    loaded = SearchSpace(space) if isinstance(space, Mapping) else SearchSpace.load(space)
    given = {key: value for key, value in asked.items() if value is not None}
    options = Plan.of({**given, "space": {}, "objectives": given.get("objectives") or ("accuracy",)})
    dataset = load_dataset(options.data, options.data_options)
    quality = "mean_iou" if dataset.task == "segmentation" else "accuracy"
    given["objectives"] = tuple(given.get("objectives") or (quality, *DEFAULT_COSTS))
    given["epochs"] = given.get("epochs") or _full_length(len(dataset.train))
    plan = Plan.of({**given, "space": {}, "fingerprint": dataset.fingerprint})
    bound = bound_space(loaded, dataset, plan.parsed_objectives())
    plan = plan.model_copy(update={"space": bound.data, "start": tuple(starting_settings(bound, start_from))})
    name = name or f"{bound.name or 'search'}-{datetime.now():%Y%m%d-%H%M%S}"
    executor = _executor(plan, workers)
    try:
        Record.check(name)
        meter = _meter(plan, bound, dataset, tell)
        screen = Screen(bound, plan.parsed_objectives(), plan.parsed_limits(), meter)
        screen.check_limits()
        update = {"bounds": _bounds(plan, screen), "device": meter.device if meter else ""}
        plan = plan.model_copy(update=update)
        record = Record.create(name, plan.model_dump(mode="json"), dataset)
    except BaseException:
        executor.close()
        raise
    return Session(record, plan, dataset, screen, executor, [])


def resume_search(
    name: str | None,
    changes: Mapping[str, Any],
    *,
    workers: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Session:
    """Prepare to go on with a search, the latest by default, from its record alone.

    `changes` are values of its plan to change, such as trials. Raises InputError for an unknown name,
    DataError where the data is no longer what it was.
    """
    record = Record.resume(name)
    executor: Executor | None = None
    try:
        plan = Plan.of({**record.config, **changes})
        dataset = load_dataset(plan.data, plan.data_options)
        if dataset.fingerprint != plan.fingerprint:
            raise DataError(
                f"a search must go on with the data it began with, got '{plan.data}' with other content; "
                "bring the old data back, or begin a new search"
            )
        executor = _executor(plan, workers)
        space = SearchSpace(plan.space)
        meter = _meter(plan, space, dataset, tell)
        screen = Screen(space, plan.parsed_objectives(), plan.parsed_limits(), meter)
        session = Session(record, plan, dataset, screen, executor, record.trials())
        if meter and meter.device != plan.device:
            session.measure_again(meter.device)
        record.amend(session.plan.model_dump(mode="json"))
    except BaseException:
        if executor is not None:
            executor.close()
        record.close()
        raise
    return session


@dataclass
class Session:
    """A search that is ready to run: its record is open for writing until `run` ends."""

    record: Record
    plan: Plan
    dataset: Dataset
    screen: Screen
    executor: Executor
    trials: list[Trial]
    notes: list[str] = field(default_factory=list)  # what a user should know before it runs

    def introduction(self) -> str:
        """Say in a few lines what will run."""
        plan, data = self.plan, self.dataset
        shape = "x".join(str(size) for size in data.shape)
        steps = " or ".join(str(step) for step in self._rungs())
        engine = f"{plan.engine} {plan.sampler}".strip()
        most = f"up to {plan.most_trials}" if plan.most_trials else f"as many as {plan.seconds:,.0f} s allow"
        lines = [
            f"Search {self.record.name}: space {self.screen.space.name}, engine {engine}",
            f"  data     {data.name}: {len(data.train):,} training and {len(data.validation):,} validation "
            f"examples of {shape}, {len(data.classes)} classes",
            f"  goals    {', '.join(plan.objectives)}",
            f"  limits   {', '.join(f'{name} <= {most:,g}' for name, most in plan.limits.items()) or 'none'}",
            f"  trials   {most}, of {steps} epochs, trained by {self.executor.workers} "
            f"{'processes' if self.executor.workers > 1 else 'process'}",
            *(f"  {note}" for note in self.notes),
        ]
        if self.trials:
            lines.append(f"  resumed  with {len(self.trials)} trials in the record")
        return "\n".join(lines)

    def _rungs(self) -> tuple[int, ...]:
        plan = self.plan
        if not plan.halving:
            return (plan.epochs,)
        return rungs(plan.epochs, plan.reduction, plan.min_epochs or plan.epochs // plan.reduction**2)

    def measure_again(self, device: str) -> None:
        """Measure every trial's network on this device, whose figures cannot stand beside another's."""
        self.notes.append(
            f"The latencies in the record are of another device ({self.plan.device}); "
            f"all {len(self.trials)} networks are measured again on {device}."
        )
        for place, trial in enumerate(self.trials):
            if trial.state != "over_limit" and trial.architecture is not None:
                measured = self.screen.measure(self.screen.screen(trial.setting))
                self.trials[place] = replace(trial, values={**trial.values, **measured.values})
                self.record.log(self.trials[place])
        self.plan = self.plan.model_copy(update={"device": device})

    def run(self, show: Show) -> Result:
        """Search until the budget is used or Ctrl-C is pressed; then end the executor and the record."""
        plan, record, executor = self.plan, self.record, self.executor
        scratch = Path("mlruns/scratch").absolute() / record.name
        shutil.rmtree(scratch, ignore_errors=True)
        log = _RecordLog(record, plan, self.trials)
        state: Literal["complete", "interrupted", "failed"] = "failed"
        division: dict[str, float] = {}
        status = Status(Budget(plan.most_trials, plan.seconds, plan.flat))
        try:
            training = TrialTraining(self.dataset.save(scratch / "data"), scratch, plan.seed, plan.repeats)
            examples = len(self.dataset.validation)
            halving = Halving(self._rungs(), plan.reduction, plan.parsed_objectives(), examples)
            engine = _engine(plan, self.screen, status)
            search = Search(self.screen, engine, executor, halving, log, training, status)
            search.replay(self.trials)
            search.start_from([] if self.trials else plan.start)
            with threadpool_limits(1, "blas"):  # the sampler's: the cores are for the workers
                search.run(show)
            state = "interrupted" if status.interrupted else "complete"
            division = status.division(executor.workers)
        finally:
            executor.close()
            try:
                ended = log.close()
                front = pareto_front(ended, plan.parsed_objectives())
                record.attach(self._files(ended, front) | {"time.json": json.dumps(division)})
            finally:
                record.finish(state)
                shutil.rmtree(scratch, ignore_errors=True)
        return Result(record.name, plan, tuple(ended), tuple(front), status, division)

    def _files(self, trials: Sequence[Trial], front: Sequence[Trial]) -> dict[str, str]:
        """Make the figures and the table that stand on the search's run."""
        objectives = self.plan.parsed_objectives()
        figure = pareto_figure(trials, objectives, self.record.links(trials))
        curve = hypervolume_curve(trials, objectives, self.plan.bounds)
        files = {
            "front.html": figure_html(figure),
            "front.csv": front_csv(trials, objectives),
            "hypervolume.html": figure_html(hypervolume_figure(curve)),
        }
        if front and self.plan.task == "segmentation":
            best = pick_trial(trials, objectives, "best")
            load_tensorflow()
            model = build_compiled_model(best.design.architecture, best.training)
            load_weights(model, self.record.file(best))
            title = f"Trial {best.number}: validation images, masks, predictions"
            files["predictions.html"] = picture_html(draw_predictions(model, self.dataset), title)
        return files


def _full_length(examples: int) -> int:
    """Give a trial's epochs where the user does not: fewer where an epoch has more steps."""
    return 27 if examples < 10_000 else 9


def _executor(plan: Plan, workers: int) -> Executor:
    warm = partial(load_tensorflow, plan.task)
    return LocalProcesses(workers, plan.trial_seconds, warm=warm) if workers else InProcess()


def _meter(
    plan: Plan, space: SearchSpace, dataset: Dataset, tell: Callable[[str], None] | None
) -> FileCostMeter | None:
    wanted = {objective.name for objective in plan.parsed_objectives()} | set(plan.limits)
    if not wanted & set(MEASURED):
        return None
    options = LatencyOptions(precision=plan.precision, threads=plan.latency_threads, runtime=plan.runtime)
    return FileCostMeter(space, options, dataset.train.x[:100], tell)


def _bounds(plan: Plan, screen: Screen) -> dict[str, tuple[float, float]]:
    """Give each cheap objective's least and greatest value in the space: the scale of the hypervolume."""
    bounds = {}
    for objective in plan.parsed_objectives():
        if not objective.trained:
            read = screen.reader(objective.name)
            least, most = (find_extreme(screen.space, read, greatest)[1] for greatest in (False, True))
            bounds[objective.name] = (least, max(most, least * 1.001))
    return bounds


class _RecordLog:
    """Writes to the record in a thread of its own: no worker waits for MLflow unless it lies far behind."""

    def __init__(self, record: Record, plan: Plan, trials: Sequence[Trial]) -> None:
        self._record, self._plan = record, plan
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record")
        self._written: deque[Future[None]] = deque()
        self._trials = {trial.number: trial for trial in trials if trial.state != "over_limit"}
        self._front = pareto_front(list(self._trials.values()), plan.parsed_objectives())

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Write a trial, soon."""
        self._later(lambda: self._write(trial, files))

    def over_limit(self, trial: Trial) -> None:
        """Write a candidate that was never trained, soon."""
        self._later(lambda: self._record.log_over_limit([trial]))

    def checkpoint(self, number: int) -> Path:
        """Give the checkpoint of a trial in the record."""
        return self._record.file(self._trials[number])

    def _write(self, trial: Trial, files: Mapping[str, Path]) -> None:
        self._trials[trial.number] = self._record.log(trial, files)
        if trial.state == "complete":
            objectives = self._plan.parsed_objectives()
            self._front = pareto_front([*self._front, self._trials[trial.number]], objectives)
            volume = hypervolume_curve(self._front, objectives, self._plan.bounds)[-1]
            self._record.mark_front([member.number for member in self._front], volume, len(self._trials))

    def _later(self, write: Callable[[], None]) -> None:
        while self._written and (self._written[0].done() or len(self._written) >= BEHIND):
            self._written.popleft().result()
        self._written.append(self._thread.submit(write))

    def close(self) -> list[Trial]:
        """Wait until all is written; give the trials as they stand in the record."""
        self._thread.shutdown(wait=True)
        for future in self._written:
            future.result()
        return list(self._trials.values())


def _engine(plan: Plan, screen: Screen, status: Status) -> Engine:
    values, objectives, limits = screen.space.open_values, plan.parsed_objectives(), plan.parsed_limits()
    if plan.engine == "optuna":
        from nas.engines.optuna_engine import OptunaEngine

        sampler = cast(Literal["tpe", "nsga2", "random"], plan.sampler or "tpe")
        return OptunaEngine(values, objectives, limits, sampler, plan.seed)
    if plan.engine == "keras-tuner":
        from nas.engines.keras_tuner_engine import KerasTunerEngine

        oracle = cast(Literal["bayesian", "random"], plan.sampler or "bayesian")
        return KerasTunerEngine(values, objectives, limits, oracle, plan.seed)
    from nas.engines.cheap_aware import CheapAware

    seconds_left = None if plan.most_trials else (lambda: status.seconds_left)
    return CheapAware(values, objectives, screen.describe, limits, plan.seed, seconds_left)
