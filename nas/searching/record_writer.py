"""Write the trials of a search to its record, with the front that they form."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nas.record import SearchRecord
from nas.searching.evaluated import checkpoint_name
from nas.searching.halving import Halving
from nas.searching.plan import Plan
from nas.searching.status import Status
from nas.trials import Trial, hypervolume_curve, pareto_front

__all__ = ["RecordWriter", "rejected_reasons"]

VALUE = re.compile(r" is [0-9.,e+-]+(?=, over)")
"""The value in the reason of an over-limit trial."""


class RecordWriter:
    """Writes ended trials; what a call was given is kept when it returns."""

    def __init__(
        self,
        record: SearchRecord,
        plan: Plan,
        trials: Sequence[Trial],
        scratch: Path,
        halving: Halving | None = None,
    ) -> None:
        """Set the parts.

        scratch: where checkpoints to train further are kept.
        halving: by which the weights of dominated trials are dropped; None keeps them.
        """
        self._record, self._criteria, self._halving = record, plan.criteria, halving
        self._scratch = scratch
        self._dropped: set[int] = set()
        self.rejected = rejected_reasons(trials)
        self._trials = {trial.number: trial for trial in trials if trial.state != "over_limit"}
        self._front = pareto_front(list(self._trials.values()), plan.criteria)

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Write the latest state of a trial; raises StorageError if it cannot be kept."""
        trial = replace(trial, ended_ms=int(1000 * time.time()))
        self._record.log(trial, files)
        before = self._trials.get(trial.number)
        self._trials[trial.number] = trial
        if trial.state == "complete":
            # A front member that another seed made worse may have dominated any other trial.
            is_confirmed = before is not None and before.state == "complete"
            candidates = self._trials.values() if is_confirmed else [*self._front, trial]
            self._front = pareto_front(list(candidates), self._criteria)
            volume = hypervolume_curve(self._front, self._criteria)[-1] if self._front else 0.0
            self._record.mark_front([member.number for member in self._front], volume, len(self._trials))
            self.drop_weights()

    def drop_weights(self, ended: bool = False) -> None:
        """Delete the weights of trials that are dominated; see `Halving.dominated`."""
        if self._halving is not None:
            dominated = self._halving.dominated(list(self._trials.values()), ended)
            self._record.drop_files([trial for trial in dominated if trial.number not in self._dropped])
            self._dropped |= {trial.number for trial in dominated}

    def over_limit(self, trial: Trial) -> None:
        """Write a candidate that a limit rejected; raises StorageError if it cannot be kept."""
        self._record.log_over_limit([trial])
        self.rejected += rejected_reasons([trial])

    def checkpoint(self, number: int, part: int) -> Path:
        """Return a copy of the checkpoint of a part of a trial in the record; raises RecordError.

        The record's own file may be one that waits, and that is removed as soon as MLflow has it.
        """
        target = self._scratch / "resumed" / f"{number}-{checkpoint_name(part)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        trial, name = self._trials[number], checkpoint_name(part)
        try:
            shutil.copyfile(self._record.file(trial, name), target)
        except FileNotFoundError:  # delivered at this moment
            shutil.copyfile(self._record.file(trial, name), target)
        return target

    def show_delivery(self, status: Status) -> None:
        """Set what the status says about MLflow; raises RecordError if another process writes the record."""
        self._record.raise_if_lost()
        status.record_problem = self._record.delivery_problem
        status.undelivered = self._record.undelivered if status.record_problem else 0

    def trials(self) -> list[Trial]:
        """Return all trials, with the ids of the runs that MLflow has."""
        return [replace(trial, run_id=self._record.trial_run(trial)) for trial in self._trials.values()]


def rejected_reasons(trials: Sequence[Trial]) -> Counter[str]:
    """Return how many candidates were rejected by each limit before any training."""
    return Counter(VALUE.sub("", trial.reason) for trial in trials if trial.state == "over_limit")
