"""From options to a running search, and from a record to a resumed one."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from threadpoolctl import threadpool_limits

from nas.data import Dataset, check_folds, load_dataset, select_fold
from nas.engines import create_engine
from nas.errors import InputError, RunError, WorkerError
from nas.executors import Executor, exit_if_imported_by_worker
from nas.record import NameInUseError, SearchRecord
from nas.report import data_lines
from nas.searching.earlier_searches import read_earlier_searches
from nas.searching.health import scratch_folder
from nas.searching.loop import Search
from nas.searching.plan import Plan, SearchOptions
from nas.searching.planning import (
    bind_space,
    changed_versions,
    check_start,
    complete_options,
    create_executor,
    create_halving,
    create_meter,
    create_plan,
    create_screen,
    starting_settings,
)
from nas.searching.record_writer import RecordWriter
from nas.searching.recorded_data import recorded_data
from nas.searching.report_file import ReportFile
from nas.searching.screening import Screen
from nas.searching.status import Budget, Status
from nas.searching.steering import LAG, SteeredEngine, UntimedTrials
from nas.searching.trial_training import TrialTraining
from nas.space import SearchSpace
from nas.trials import Criteria, Trial, pareto_front

__all__ = ["Result", "Session", "prepare_search", "resume_search"]

Show = Callable[[Status], None]


@dataclass(frozen=True)
class Result:
    """What a search found: its name, plan, trials and front, and how it went."""

    name: str
    plan: Plan
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    status: Status
    worker_time: Mapping[str, float]  # shares of the workers' time: train, trace, ..., start, end, wait


def prepare_search(
    space: str | Path | Mapping[str, Any],
    options: SearchOptions,
    name: str | None = None,
    start_from: Sequence[str] = (),
    *,
    workers: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Session:
    """Prepare a new search of a space: a shipped name, a file, or the content of a file.

    workers: number of processes that train; 0 trains in this process.
    progress: receives lines about what was understood of the data, and one before each step that takes long.

    The workers load TensorFlow while the rest is prepared. Raises InputError and its subclasses: a space or
    data that breaks a rule, a limit that nothing in the space or a network of `start_from` does not meet, a
    name in use.
    """
    exit_if_imported_by_worker()
    loaded = SearchSpace(space) if isinstance(space, Mapping) else SearchSpace.load(space)
    dataset = load_dataset(options.data, options, progress)
    options = complete_options(options, dataset)
    check_folds(dataset, options.folds)
    bound = bind_space(loaded, dataset)
    start = dict(zip(start_from, starting_settings(bound, start_from), strict=True))
    earlier = read_earlier_searches(options, bound, dataset.fingerprint)
    executor = create_executor(options, dataset.task, workers)
    try:
        SearchRecord.check(name or default_name(bound.name))
        executor.check()
        meter = create_meter(options, bound, dataset, progress)
        screen = create_screen(options, bound, meter)
        screen.check_limits()
        for network, setting in start.items():
            check_start(screen, network, setting)
        plan = create_plan(
            options, screen, dataset, list(start.values()), earlier, meter.device if meter else ""
        )
        record = _create_record(name, bound.name, plan, dataset)
    except BaseException:
        executor.close()
        raise
    if progress:
        for line in data_lines(dataset):
            progress(line)
    return Session(record, plan, dataset, screen, executor, [])


def resume_search(
    name: str | None,
    changes: Mapping[str, Any],
    *,
    workers: int = 0,
    retry_failed: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Session:
    """Prepare to resume a search, the latest by default, from its record alone.

    changes: values of its plan to replace, of those in CHANGEABLE, for example `{"trials": 100}`.
    retry_failed: train the failed trials again, with their numbers and before any new one.

    Raises InputError for an unknown name, DataError if the data has changed.
    """
    exit_if_imported_by_worker()
    record = SearchRecord.resume(name, progress or (lambda _: None))
    executor: Executor | None = None
    try:
        plan = Plan.parse({**record.config, **changes})
        dataset = recorded_data(plan, progress)
        if "examples" not in record.config:  # of a search that 0.1.0 recorded
            plan = plan.model_copy(update={"examples": len(dataset.validation)})
        executor = create_executor(plan, plan.task, workers)
        space = SearchSpace(plan.space)
        meter = create_meter(plan, space, dataset, progress)
        screen = create_screen(plan, space, meter)
        executor.check()
        trials = record.trials()
        session = Session(record, plan, dataset, screen, executor, trials, list(record.notices))
        session.retry_failed = retry_failed
        if changed := changed_versions(plan):
            session.notes.append(f"Versions have changed, and with them figures may change: {changed}.")
        _check_total(changes, session.trials)
        if meter and meter.device != plan.device:
            session.measure_again(meter.device)
        record.amend(session.plan.model_dump(mode="json"))
    except BaseException:
        if executor is not None:
            executor.close()
        record.close()
        raise
    return session


def _check_total(changes: Mapping[str, Any], recorded: Sequence[Trial]) -> None:
    """Raise InputError if the total number of trials that a user gives has been passed already."""
    count = sum(trial.state != "over_limit" for trial in recorded)
    if (trials := changes.get("trials")) is not None and trials < count:
        raise InputError(
            f"trials is the total number of a search and must be at least the {count} that it has, got "
            f"{trials}; use for example {2 * count}"
        )


@dataclass
class Session:
    """A search that is ready to run. Its record is open for writing until `run` ends."""

    record: SearchRecord
    plan: Plan
    dataset: Dataset
    screen: Screen
    executor: Executor
    trials: list[Trial]
    notes: list[str] = field(default_factory=list)  # shown to the user before it runs
    retry_failed: bool = False

    def introduction(self) -> str:
        """Return a few lines that describe what will run."""
        plan = self.plan
        steps = " or ".join(str(step) for step in create_halving(plan).rungs)
        engine = f"{plan.engine} {plan.sampler}".strip()
        budget = f"up to {plan.max_trials}" if plan.max_trials else f"no limit for {plan.seconds:,.0f} s"
        bounds = [f"{name} <= {maximum:,g}" for name, maximum in plan.limits.items()]
        if plan.min_quality is not None:
            bounds.append(f"{plan.criteria.qualities[0].name} >= {plan.min_quality:g}")
        limits = ", ".join(bounds)
        workers = self.executor.workers
        folds = f" on {plan.folds} folds" if plan.folds > 1 else ""
        lines = [
            f"Search {self.record.name}: space {self.screen.space.name}, engine {engine}",
            f"  data        {self.dataset.name}",
            f"  objectives  {', '.join(plan.objectives)}",
            f"  limits      {limits or 'none'}",
            f"  trials      {budget}; each trained for {steps} epochs{folds} by "
            f"{workers} {'process' if workers == 1 else 'processes'}",
            *(
                f"  start from  {len(search.observations)} of {search.trained} trials of {search.name}, "
                f"on {'the same' if search.same_data else 'other'} data"
                for search in plan.earlier
            ),
            *(f"  {note}" for note in self.notes),
        ]
        if self.trials:
            failed = sum(trial.state == "failed" for trial in self.trials)
            again = f"; the {failed} failed ones are trained again" if self.retry_failed else ""
            lines.append(f"  resumed     with {len(self.trials)} trials in the record{again}")
        return "\n".join(lines)

    def _fold(self, number: int) -> Dataset:
        return select_fold(self.dataset, number, self.plan.folds, self.plan.split_seed)

    def measure_again(self, device: str) -> None:
        """Measure the networks of all trials on this device: latencies of two devices are not comparable."""
        self.notes.append(
            f"The latencies in the record were measured on another device ({self.plan.device}); "
            f"all {len(self.trials)} networks are measured again on {device}."
        )
        for index, trial in enumerate(self.trials):
            if trial.state != "over_limit" and trial.architecture is not None:
                measured = self.screen.measure(self.screen.screen(trial.setting))
                self.trials[index] = replace(trial, values={**trial.values, **measured.values})
                self.record.log(self.trials[index])
        self.plan = self.plan.model_copy(update={"device": device})

    def run(self, show: Show) -> Result:
        """Search until the budget is used or Ctrl-C is pressed; then close the executor and the record.

        Raises RunError if every trial has failed; the record has them.
        """
        plan, record, executor = self.plan, self.record, self.executor
        scratch = scratch_folder(record.name)
        shutil.rmtree(scratch, ignore_errors=True)
        status = Status(Budget(plan.max_trials, plan.seconds, plan.flat))
        kept = None if plan.keep_weights else create_halving(plan)
        writer = RecordWriter(record, plan, self.trials, scratch, kept)

        report = ReportFile(record, plan, self._fold(0))  # that of the recorded weights

        def show_all(status: Status) -> None:
            writer.show_delivery(status)
            report.refresh(status, writer, executor.workers)
            show(status)

        state: Literal["complete", "interrupted", "failed"] = "failed"
        worker_time: dict[str, float] = {}
        try:
            data = [self._fold(number).save(scratch / f"data{number}") for number in range(plan.folds)]
            training = TrialTraining(
                data, scratch, plan.seed, plan.repeats, plan.judged_precision, plan.front_seeds
            )
            engine = create_engine(
                plan.engine,
                self.screen.space.open_values,
                plan.criteria,
                plan.parsed_limits(),
                self.screen.describe,
                sampler=plan.sampler,
                seed=plan.seed,
                seconds_left=None if plan.max_trials else lambda: status.seconds_left,
                earlier=plan.earlier,
            )
            lag, view = (LAG, UntimedTrials()) if plan.deterministic else (None, list)
            if plan.deterministic:
                engine = SteeredEngine(engine)
            halving = create_halving(plan)
            search = Search(self.screen, engine, executor, halving, writer, training, status, lag, view)
            search.replay(self.trials, self.retry_failed)
            search.start_from([] if self.trials else plan.start)
            with threadpool_limits(1, "blas"):  # of the sampler: the cores are for the workers
                search.run(show_all)
            state = "interrupted" if status.interrupted else "complete"
            if state == "complete" and not plan.criteria.comparable(list(status.trials.values())):
                state = "failed"
            worker_time = status.worker_time(executor.workers)
        except (WorkerError, BrokenPipeError):  # or nobody reads the output any more
            state = "interrupted"
            raise
        finally:
            executor.close()
            try:
                if state == "complete":
                    writer.drop_weights(ended=True)
                record.flush()  # the figures link to the pages of the trials
                trials = writer.trials()
                report.finish(trials, state, writer, worker_time)
            finally:
                record.finish(state)
                status.record_problem = record.delivery_problem
                status.undelivered = record.undelivered if status.record_problem else 0
                shutil.rmtree(scratch, ignore_errors=True)
        if not status.interrupted:
            _check_complete(record.name, trials, plan.criteria)
        front = pareto_front(trials, plan.criteria)
        return Result(record.name, plan, tuple(trials), tuple(front), status, worker_time)


def default_name(space: str) -> str:
    """Return a name for a search: the space and the time; only the characters that a name may have."""
    named = re.sub(r"[^\w.-]+", "_", space, flags=re.ASCII).strip("._-")[:60]
    return f"{named or 'search'}-{datetime.now():%Y%m%d-%H%M%S}"


def _create_record(name: str | None, space: str, plan: Plan, dataset: Dataset) -> SearchRecord:
    config = plan.model_dump(mode="json")
    if name is not None:
        return SearchRecord.create(name, config, dataset)
    default = default_name(space)
    for number in itertools.count(1):  # another search may have started in the same second
        with contextlib.suppress(NameInUseError):
            return SearchRecord.create(f"{default}-{number}" if number > 1 else default, config, dataset)
    raise AssertionError("count does not end")


def _check_complete(name: str, trials: Sequence[Trial], criteria: Criteria) -> None:
    """Raise RunError if there are trials and none of them is trained to its full length."""
    if not trials or criteria.comparable(trials):
        return
    failed = Counter(trial.reason for trial in trials if trial.state == "failed")
    rule = "a search must train at least one network to its full length, but none of the"
    rule = f"{rule} {len(trials)} trials of '{name}' was"
    if not failed:
        raise RunError(f"{rule}; give it more time: nas search --resume {name} --time 1h")
    (reason, count), *_ = failed.most_common(1)
    raise RunError(
        f"{rule}: {sum(failed.values())} failed, {count} of them because: {reason}; fix that, and "
        f"train them again: nas search --resume {name} --retry-failed"
    )
