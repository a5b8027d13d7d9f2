"""Find what is wrong with the record of a search, and what takes space without need."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nas.errors import InputError, NasError, RecordError
from nas.record import SearchRecord, waiting_searches
from nas.searching.plan import Plan
from nas.searching.planning import create_halving
from nas.trials import Trial, pareto_front

__all__ = ["Problem", "Waste", "find_problems", "find_waste", "scratch_folder"]

SHOWN_NUMBERS = 10
"""Numbers of trials that a sentence lists."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a record."""

    text: str  # one sentence
    advice: str = ""  # what the user may do, if it cannot be repaired
    repair: Callable[[], object] | None = None


@dataclass(frozen=True)
class Waste:
    """Something that takes space without need."""

    text: str
    size_bytes: int
    free: Callable[[], object]


def find_problems(name: str | None) -> list[Problem]:
    """Return what is wrong with the record of a search, the latest by default.

    Checks states, damaged parts, checkpoints, numbers, the lease, what waits, and scratch folders. Raises
    InputError for an unknown name, RecordError if the record cannot be read at all.
    """
    record = SearchRecord.open(name)
    trials = [trial for trial in record.trials() if trial.state != "over_limit"]
    problems = [
        Problem(f"{part.name} cannot be read: {part.why}.", repair=part.set_aside) for part in record.damage
    ]
    problems += _number_problems(trials)
    try:
        plan = Plan.parse(record.config)
    except InputError as error:
        problems.append(Problem(f"The plan is damaged: {error}.", "Start a new search."))
    else:
        problems += _checkpoint_problems(record, plan, trials)
    if record.is_written():
        return problems
    if (scratch := scratch_folder(record.name)).exists():
        problems.append(
            Problem(
                f"'{scratch}' was left by a process that was killed.", repair=partial(shutil.rmtree, scratch)
            )
        )
    waiting = waiting_searches().get(record.name)
    if waiting is not None or record.state is None:
        files = "The run is open" if record.state is None else "Files of the search wait in mlruns/spool"
        text = f"{waiting} results of trials wait in mlruns/spool" if waiting else files
        problems.append(
            Problem(
                f"{text}, but no process writes the record.",
                repair=partial(SearchRecord.deliver, record.name),
            )
        )
    return problems


def find_waste(name: str | None) -> list[Waste]:
    """Return what takes space without need in the record of a search, the latest by default.

    Raises InputError for an unknown name or a search that runs, RecordError.
    """
    record = SearchRecord.open(name)
    if record.is_written():
        raise InputError(
            f"only a search that does not run is cleaned, but another process runs '{record.name}'; wait "
            "until it ends"
        )
    plan = Plan.parse(record.config)
    trials = [trial for trial in record.trials() if trial.state != "over_limit"]
    found = []
    if (scratch := scratch_folder(record.name)).exists():
        size = sum(path.lstat().st_size for path in scratch.rglob("*"))
        found.append(Waste(f"'{scratch}'", size, partial(shutil.rmtree, scratch)))
    dominated = create_halving(plan).dominated(trials, ended=True)
    if size := sum(record.file_bytes(trial) for trial in dominated):
        found.append(
            Waste(
                f"weights of {len(dominated)} dominated trials", size, partial(_drop, record.name, dominated)
            )
        )
    return found


def scratch_folder(name: str) -> Path:
    """Return the folder of the files that a search needs only while it runs."""
    return Path("mlruns/scratch").absolute() / name


def _drop(name: str, trials: list[Trial]) -> None:
    state = SearchRecord.open(name).state or "interrupted"
    record = SearchRecord.resume(name)
    record.drop_files(trials)
    record.finish(state)
    if record.delivery_problem:
        raise RecordError(record.delivery_problem)


def _number_problems(trials: list[Trial]) -> list[Problem]:
    numbers = {trial.number for trial in trials}
    # A damaged record may claim any number: only the first ones that are missing are looked for.
    unused = (number for number in range(max(numbers, default=-1) + 1) if number not in numbers)
    missing = list(itertools.islice(unused, SHOWN_NUMBERS + 1))
    if not missing:
        return []
    listed = ", ".join(map(str, missing[:SHOWN_NUMBERS])) + (", ..." if len(missing) > SHOWN_NUMBERS else "")
    return [
        Problem(
            f"The record has no trial {listed}: a killed process trained it, or its run was deleted.",
            "A resumed search uses these numbers for new trials.",
        )
    ]


def _checkpoint_problems(record: SearchRecord, plan: Plan, trials: list[Trial]) -> list[Problem]:
    problems = []
    front = {trial.number for trial in pareto_front(trials, plan.criteria)}
    for trial in trials:
        if trial.number in front:
            try:
                record.file(trial)
            except NasError as error:
                problems.append(
                    Problem(
                        f"Trial {trial.number} is on the front, but its weights are missing: {error}.",
                        f"`nas train {record.name}:{trial.number}` trains the network again.",
                    )
                )
    return problems
