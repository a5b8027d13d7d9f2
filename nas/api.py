"""The Python interface: `nas.search`, `nas.resume`, `nas.find`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import report, session
from nas.pick import pick
from nas.plan import Plan
from nas.session import Result
from nas.status import Status
from nas.tracking import Record
from nas.trial import Trial

__all__ = ["Found", "find", "resume", "search"]


def _silent(_: Status) -> None:
    """Show nothing."""


def search(
    space: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    workers: int | None = None,
    start_from: Sequence[str] = (),
    show: Callable[[Status], None] = _silent,
    **asked: Any,
) -> Result:
    """Search a space (a shipped name, a YAML file or its content) as `nas search` does.

    `asked` are the values of `nas.plan.Plan`, such as data="digits", trials=20, limits={"params": 1e4}.
    `workers` 0 trains in this process; with more, call this under `if __name__ == "__main__":`, since
    worker processes import the calling script. Raises NasError with one sentence for a user.
    """
    return session.begin(space, asked, name, start_from, workers=_workers(workers)).run(show)


def resume(
    name: str | None = None,
    *,
    workers: int | None = None,
    show: Callable[[Status], None] = _silent,
    **changes: Any,
) -> Result:
    """Go on with a search, the latest by default; `changes` as in trials=100."""
    return session.reopen(name, changes, workers=_workers(workers)).run(show)


def _workers(asked: int | None) -> int:
    from nas.executors import default_workers

    return default_workers() if asked is None else asked


def find(name: str | None = None) -> Found:
    """Open a search's record to read it, the latest by default."""
    record = Record.open(name)
    trials = tuple(trial for trial in record.trials() if trial.state != "over_limit")
    return Found(record, Plan.of(record.config), trials)


@dataclass(frozen=True)
class Found:
    """A search's record: its plan and its trained trials."""

    record: Record
    plan: Plan
    trials: tuple[Trial, ...]

    @property
    def front(self) -> list[Trial]:
        """The Pareto front of the trials trained in full."""
        return report.front(self.trials, self.plan.parsed_objectives())

    def pick(self, choice: str = "best", where: str = "") -> Trial:
        """Choose a trial: best, knee, smallest or its number; raises InputError where there is none."""
        return pick(self.trials, self.plan.parsed_objectives(), choice, where)

    def weights(self, trial: Trial) -> list[Any]:
        """Give a trial's weights in the order of Keras' `model.weights`."""
        from nas._checkpoint import read_state

        return list(read_state(self.record.file(trial)).weights)

    def model(self, trial: Trial) -> Any:
        """Give a trial's network as a compiled Keras model with the weights found."""
        from nas.evaluate import prepare
        from nas.model import compiled

        prepare()
        design = trial.design
        model = compiled(design.architecture, design.training)
        model.set_weights(self.weights(trial))
        return model

    def pictures(self, trial: Trial) -> bytes:
        """Draw a segmentation network's predictions beside the masks of validation images; a PNG."""
        from nas.datasets import load
        from nas.pictures import predictions

        return predictions(self.model(trial), load(self.plan.data, self.plan.data_options))
