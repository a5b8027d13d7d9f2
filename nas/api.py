"""The Python interface: `nas.search`, `nas.resume`, `nas.find`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.record import SearchRecord
from nas.searching import Plan, Result, SearchOptions, Status, prepare_search, resume_search
from nas.trials import Trial, pareto_front, pick_trial

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

    `asked` are the values of `nas.searching.plan.Plan`, such as data="digits", trials=20, limits={"params": 1e4}.
    `workers` 0 trains in this process; with more, call this under `if __name__ == "__main__":`, since
    worker processes import the calling script. Raises NasError with one sentence for a user.
    """
    return prepare_search(space, SearchOptions.parse({key: value for key, value in asked.items() if value is not None}), name, start_from, workers=_workers(workers)).run(show)


def resume(
    name: str | None = None,
    *,
    workers: int | None = None,
    show: Callable[[Status], None] = _silent,
    **changes: Any,
) -> Result:
    """Go on with a search, the latest by default; `changes` as in trials=100."""
    return resume_search(name, changes, workers=_workers(workers)).run(show)


def _workers(asked: int | None) -> int:
    from nas.executors import default_workers

    return default_workers() if asked is None else asked


def find(name: str | None = None) -> Found:
    """Open a search's record to read it, the latest by default."""
    record = SearchRecord.open(name)
    trials = tuple(trial for trial in record.trials() if trial.state != "over_limit")
    return Found(record, Plan.parse(record.config), trials)


@dataclass(frozen=True)
class Found:
    """A search's record: its plan and its trained trials."""

    record: SearchRecord
    plan: Plan
    trials: tuple[Trial, ...]

    @property
    def front(self) -> list[Trial]:
        """The Pareto front of the trials trained in full."""
        return pareto_front(self.trials, self.plan.parsed_objectives())

    def pick(self, choice: str = "best", where: str = "") -> Trial:
        """Choose a trial: best, knee, smallest or its number; raises InputError where there is none."""
        return pick_trial(self.trials, self.plan.parsed_objectives(), choice, where)

    def weights(self, trial: Trial) -> list[Any]:
        """Give a trial's weights in the order of Keras' `model.weights`."""
        from nas.evaluation import read_state

        return list(read_state(self.record.file(trial)).weights)

    def model(self, trial: Trial) -> Any:
        """Give a trial's network as a compiled Keras model with the weights found."""
        from nas.backends import build_compiled_model
        from nas.evaluation import load_tensorflow

        load_tensorflow()
        design = trial.design
        model = build_compiled_model(design.architecture, design.training)
        model.set_weights(self.weights(trial))
        return model

    def pictures(self, trial: Trial) -> bytes:
        """Draw a segmentation network's predictions beside the masks of validation images; a PNG."""
        from nas.data import load_dataset
        from nas.report import draw_predictions

        return draw_predictions(self.model(trial), load_dataset(self.plan.data, self.plan.data_options))
