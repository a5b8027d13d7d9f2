"""Find the next candidate: ask the engine, screen, skip what is known, reject what exceeds a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from nas.engines import Engine
from nas.searching.screening import Screen, Screened
from nas.searching.status import Status
from nas.space import Setting, sample
from nas.trials import Trial

__all__ = ["Proposer"]

ENGINE_ATTEMPTS = 300
"""Proposals of an engine that may be known or over a limit before settings are drawn at random."""

RANDOM_ATTEMPTS = 3000
"""Random settings that may be known or over a limit before the space counts as exhausted."""


class Proposer:
    """Knows every design that was tried or rejected, and proposes new ones within the limits."""

    def __init__(
        self, screen: Screen, engine: Engine, status: Status, reject: Callable[[Trial], None], seed: int
    ) -> None:
        """Set the parts. `reject` records a candidate that exceeds a limit."""
        self.screen = screen
        self._engine, self._status, self._reject_trial = engine, status, reject
        self._rng = np.random.default_rng(seed)
        self._tried: dict[str, int] = {}  # number of the trial with this design
        self._rejected: set[str] = set()  # designs over a limit
        self._first: list[Setting] = []

    def start_from(self, settings: Sequence[Setting]) -> None:
        """Propose these settings before any that the engine proposes."""
        self._first = list(settings)

    def add(self, key: str, number: int) -> None:
        """Remember the trial that has a design."""
        self._tried[key] = number

    def add_rejected(self, key: str) -> None:
        """Remember a design that exceeds a limit."""
        self._rejected.add(key)
        self._status.over_limit += 1

    def propose(self) -> Screened | None:
        """Return a candidate that is new and within the limits; None if there seems to be none left."""
        for attempt in range(ENGINE_ATTEMPTS + RANDOM_ATTEMPTS):
            with self._timed("propose"):
                screened = self._screen_new(self._setting(attempt))
            if screened is None:
                continue
            if self.screen.must_measure and not screened.reason:
                with self._timed("measure"):
                    screened = self.screen.measure(screened)
            if not screened.reason or screened.failed:
                return screened
            self._reject(screened)
        return None

    def _setting(self, attempt: int) -> Setting:
        if self._first:
            return self._first.pop(0)
        if attempt < ENGINE_ATTEMPTS:
            return self._engine.ask()
        return sample(self.screen.space.open_values, self._rng)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._status.add_seconds(name, time.monotonic() - started)

    def _screen_new(self, setting: Setting) -> Screened | None:
        """Screen a setting; if its design was tried before, report that trial to the engine instead."""
        screened = self.screen.screen(setting)
        key = screened.design.key
        if key in self._rejected:
            return None
        if key in self._tried:
            self._status.duplicates += 1
            tried = self._status.trials.get(self._tried[key])
            if tried is not None:
                self._engine.tell(replace(tried, setting=setting))
            return None
        return screened

    def _reject(self, screened: Screened) -> None:
        trial = Trial(
            number=-1 - self._status.over_limit,
            setting=screened.setting,
            id=screened.design.architecture.id,
            state="over_limit",
            values=screened.values,
            reason=screened.reason,
            architecture=screened.design.architecture,
            training=screened.design.training,
        )
        self.add_rejected(screened.design.key)
        self._engine.tell(trial)
        self._reject_trial(trial)
