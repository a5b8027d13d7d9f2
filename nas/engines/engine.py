"""Who decides what is tried next: one interface, several engines."""

from __future__ import annotations

from typing import Protocol

from nas.space import Setting
from nas.trials import Trial

__all__ = ["Engine"]


class Engine(Protocol):
    """Proposes settings and learns from what came of them.

    A trial's life, as an engine sees it: `ask` gives a setting; some time later `tell` brings the
    trial that has this setting, in any state but `running`. Between the two any number of other
    settings may be asked for. `tell` also takes trials that were never asked for (a resumed record,
    a start from a known network), and the same trial again when it was trained further.
    """

    def ask(self) -> Setting:
        """Propose a setting: one value for each open value that is active."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that has ended: complete, stopped, over_limit or failed."""
        ...

    def flatness(self) -> float | None:
        """Give the share of the front's hypervolume that one more trial is expected to gain.

        None where the engine does not know.
        """
        ...
