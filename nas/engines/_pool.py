"""The candidates that an engine knows of: settings with their ids, costs and inputs for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from nas.space import OpenValue, Setting, active
from nas.trials import Candidate, Limit, Objective

__all__ = ["Entry", "Pool", "fits"]

Array = NDArray[np.float64]
Places = NDArray[np.intp]

TINY = 1e-12
BEAM = 32  # entries that a descent goes on from
DESCRIBED = 512  # entries that a descent meets before it goes on from the best alone


@dataclass(frozen=True)
class Entry:
    """A candidate as the engine's model sees it."""

    id: str
    setting: Setting
    values: tuple[float, ...]  # its setting as numbers
    measured: Mapping[str, float]  # the logarithms of all known costs, and the features
    costs: Array  # the cheap objectives on log axes, all to be minimized
    excess: float  # the sum over the limits of how far it is over; 0.0 within all
    flops: float  # of an image; 0.0 where they are not known


class Pool:
    """Describes settings, each once, and keeps those that may still be proposed.

    The inputs of the model: categories one-hot, numbers by rank, whether a conditional value is active;
    the logarithms of all known costs and all features, standardized over the first candidates, without
    those in which the first candidates are alike.
    """

    def __init__(
        self,
        values: Sequence[OpenValue],
        cheap: Sequence[Objective],
        limits: Sequence[Limit],
        describe: Callable[[Setting], Candidate],
    ) -> None:
        self._values, self._cheap, self._limits = tuple(values), tuple(cheap), tuple(limits)
        self._describe = describe
        self._encoded = [place for place, value in enumerate(values) for _ in range(_columns(value))]
        self._names: list[str] = []  # of the inputs that are measured, once there were candidates
        self._norm: tuple[Array, Array] | None = None
        self.drawn: Array = np.empty((0, 0))  # inputs of the first candidates, once there were any
        self._known: dict[frozenset[tuple[str, object]], Entry | None] = {}
        self.free: dict[str, Entry] = {}  # within the limits and not proposed yet, by id
        self.gains: dict[str, float] = {}  # what each was last found to promise, by id

    def entry(self, setting: Setting) -> Entry | None:
        """Describe a setting; None where a cost that is an objective isn't known for it."""
        key = frozenset(setting.items())
        if key not in self._known:
            self._known[key] = self._new(setting)
        return self._known[key]

    def _new(self, setting: Setting) -> Entry | None:
        candidate = self._describe(setting)
        if any(objective.name not in candidate.costs for objective in self._cheap):
            return None
        logs = {f"log {name}": float(np.log(max(cost, TINY))) for name, cost in candidate.costs.items()}
        signs = [-1.0 if objective.maximize else 1.0 for objective in self._cheap]
        costs = [np.log(max(candidate.costs[objective.name], TINY)) for objective in self._cheap]
        excess = sum(limit.excess(candidate.costs) for limit in self._limits)
        flops = float(candidate.costs.get("flops", 0.0))
        return Entry(
            candidate.id,
            dict(setting),
            _encode(self._values, setting),
            {**logs, **candidate.features},
            np.array(costs) * signs,
            excess,
            flops,
        )

    def add(self, settings: Iterable[Setting], spent: set[str]) -> None:
        """Describe settings and keep those that are within the limits and not spent."""
        for setting in settings:
            entry = self.entry(setting)
            if entry is not None and not entry.excess and entry.id not in spent:
                self.free.setdefault(entry.id, entry)

    def trim(self, most: int) -> None:
        """Forget all but the candidates that promised most, once there are twice as many."""
        if len(self.free) > 2 * most:
            ranked = sorted(self.free, key=lambda name: -self.gains.get(name, np.inf))[:most]
            self.free = {name: self.free[name] for name in ranked}
            self.gains = {name: self.gains[name] for name in ranked if name in self.gains}
            self._known.clear()

    @property
    def groups(self) -> Places:
        """The group of relevance that each input column belongs to."""
        first = len(self._values)
        return np.array([*self._encoded, *range(first, first + len(self._names))], dtype=np.intp)

    @property
    def measured_groups(self) -> range:
        """The groups that are costs and features, not values."""
        return range(len(self._values), len(self._values) + len(self._names))

    def standardize(self, entries: Sequence[Entry]) -> tuple[Array, Array]:
        """Take entries drawn by chance for what is measured and its scale; give its means and deviations."""
        names = sorted({name for entry in entries for name in entry.measured})
        measured = self._measured(entries, names)
        deviation = measured.std(axis=0)
        differ = deviation > 1e-9
        self._names = [name for name, some in zip(names, differ, strict=True) if some]
        self._norm = measured[:, differ].mean(axis=0), deviation[differ]
        self.drawn = self.inputs(entries)
        return self._norm

    def inputs(self, entries: Sequence[Entry]) -> Array:
        """Give the model's inputs: (entries, columns)."""
        mean, deviation = self._norm or self.standardize(entries)
        measured = (self._measured(entries, self._names) - mean) / deviation
        return np.column_stack([np.array([entry.values for entry in entries]), measured])

    @staticmethod
    def _measured(entries: Sequence[Entry], names: Sequence[str]) -> Array:
        read = [[entry.measured.get(name, 0.0) for name in names] for entry in entries]
        return np.array(read, dtype=float).reshape(len(entries), len(names))

    def descend(
        self, starts: Sequence[Entry], measure: Callable[[Entry], tuple[float, ...]], rng: np.random.Generator
    ) -> Entry:
        """Find an entry of low measure, such as a cost, by changing one value at a time of the best known.

        A local beam search (Russell & Norvig, Artificial Intelligence, 4.1): a cost that was measured rises
        and falls on the way down. It ends when all changes of the best BEAM entries are known or, once it met
        DESCRIBED entries, all changes of the best. Between equal measures chance decides.
        """
        known = {entry.id: entry for entry in starts}
        ranks = {name: (measure(entry), rng.random()) for name, entry in known.items()}
        changed: set[str] = set()
        most = len(known) + DESCRIBED
        while True:
            best = nsmallest(BEAM, known, key=ranks.__getitem__)
            left = [name for name in best if name not in changed]
            if not left or (best[0] in changed and len(known) >= most):
                return known[best[0]]
            changed.add(left[0])
            setting = known[left[0]].setting
            for value in self._values:
                for choice in value.choices if value.name in setting else ():
                    entry = self.entry(_completed(self._values, {**setting, value.name: choice}))
                    if entry is not None and entry.id not in known:
                        known[entry.id], ranks[entry.id] = entry, (measure(entry), rng.random())


def fits(values: Sequence[OpenValue], setting: Setting) -> bool:
    """Say whether a setting is one of the space's: a known choice for each active value and no other."""
    known = [value for value in values if active(value, setting)]
    return len(known) == len(setting) and all(setting.get(value.name) in value.choices for value in known)


def _completed(values: Sequence[OpenValue], setting: Setting) -> Setting:
    """Leave out what became inactive and take the first choice of what became active."""
    result: dict[str, str | int | float | bool] = {}
    for value in values:
        if active(value, result):
            result[value.name] = setting.get(value.name, value.choices[0])
    return result


def _columns(value: OpenValue) -> int:
    return (1 if value.ordered else len(value.choices)) + (value.when is not None)


def _encode(values: Sequence[OpenValue], setting: Setting) -> tuple[float, ...]:
    """Write a setting as numbers; two categories, and the first and last of numbers, are at distance 1."""
    row: list[float] = []
    for value in values:
        present = active(value, setting)
        at = value.choices.index(setting[value.name]) if present else -1
        if value.ordered:
            row.append(at / max(1, len(value.choices) - 1) if present else 0.5)
        else:
            row.extend(float(place == at) / np.sqrt(2.0) for place in range(len(value.choices)))
        if value.when is not None:
            row.append(float(present))
    return tuple(row)
