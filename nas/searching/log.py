"""Where the ended trials of a search go, and what the search does while they cannot be kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from nas.errors import StorageError
from nas.searching.status import Status
from nas.trials import Trial

__all__ = ["Log", "PausingLog"]

PAUSE_SECONDS = 5.0
"""Interval at which a paused search tries to continue."""


class Log(Protocol):
    """Receives ended trials. What a call was given is kept when it returns; raises StorageError."""

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Record the latest state of a trial, with its files."""
        ...

    def over_limit(self, trial: Trial) -> None:
        """Record a candidate that was rejected by a limit."""
        ...

    def checkpoint(self, number: int, part: int) -> Path:
        """Return the checkpoint of a part, a seed or a fold, of a recorded trial."""
        ...


class PausingLog:
    """A log that waits while its folder cannot be written, and says so."""

    def __init__(self, log: Log, status: Status) -> None:
        self.show: Callable[[Status], None] = lambda _: None
        self._log, self._status = log, status

    def trial(self, trial: Trial, files: Mapping[str, Path]) -> None:
        """Record the latest state of a trial, with its files."""
        self._keep(lambda: self._log.trial(trial, files))

    def over_limit(self, trial: Trial) -> None:
        """Record a candidate that was rejected by a limit."""
        self._keep(lambda: self._log.over_limit(trial))

    def checkpoint(self, number: int, part: int) -> Path:
        """Return the checkpoint of a part, a seed or a fold, of a recorded trial."""
        return self._log.checkpoint(number, part)

    def _keep(self, write: Callable[[], None]) -> None:
        while True:
            try:
                write()
            except StorageError as error:
                self.pause(error)
            else:
                break
        if self._status.paused:
            self._status.paused = ""
            self._status.notices.append("The disk can be written again; the search continues.")

    def pause(self, problem: StorageError) -> None:
        """Tell the user why the search does not continue, and wait a moment."""
        if not self._status.paused:
            self._status.notices.append(f"The search is paused: {problem}. It continues then.")
        self._status.paused = str(problem)
        self.show(self._status)
        time.sleep(PAUSE_SECONDS)
