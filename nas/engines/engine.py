"""The interface of engines, which propose the settings that a search tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nas.space import Setting
    from nas.trials import Trial

__all__ = ["ENGINES", "Engine"]

ENGINES: dict[str, tuple[str, ...]] = {
    "cheap-aware": (),
    "optuna": ("tpe", "nsga2", "random"),
    "keras-tuner": ("bayesian", "random"),
}
"""The engines and their samplers, the default first."""


class Engine(Protocol):
    """Proposes settings and learns from the results of trials (ask-and-tell).

    `ask` returns a setting. Later `tell` reports the trial of this setting, in any state except `running`.
    Any number of other settings may be asked for in between. `tell` also accepts trials that were never
    asked for (from a resumed record, or a known network to start from), and the same trial again after
    more training.
    """

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        ...

    def tell(self, trial: Trial) -> None:
        """Observe a trial that has ended: complete, stopped, over_limit or failed."""
        ...

    def flatness(self) -> float | None:
        """Return the share of the front's hypervolume that one more trial is expected to add.

        None where the engine does not estimate it.
        """
        ...
