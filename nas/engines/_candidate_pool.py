"""The candidates of the default engine: settings with their ids, costs and model inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from nas.space import OpenValue, Setting, complete_setting, is_active
from nas.trials import Candidate, Limit, Objective

__all__ = ["CandidatePool", "PoolEntry", "is_in_space"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MIN_COST = 1e-12  # lower bound of a cost before its logarithm
BEAM_WIDTH = 32
MAX_BEAM_ENTRIES = 512  # entries that a search describes before only the best one is expanded


@dataclass(frozen=True)
class PoolEntry:
    """A candidate in the form that the model uses."""

    id: str
    setting: Setting
    encoded: tuple[float, ...]  # the setting as numbers
    covariates: Mapping[str, float]  # logarithms of all known costs, and the features
    costs: Array  # the objectives known before training, on log axes, all minimized
    excess: float  # sum of the relative excess over each limit; 0.0 within all limits
    flops: float  # per image; 0.0 if unknown


class CandidatePool:
    """Describes each setting once, and keeps the candidates that may still be proposed.

    The model inputs are: categories one-hot, numbers by rank, and whether a conditional value is active; the
    logarithms of all known costs and all features, standardized over the initial candidates. Costs and
    features that are constant over the initial candidates are left out.
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
        self._value_groups = [index for index, value in enumerate(values) for _ in range(_columns(value))]
        self._covariates: list[str] = []  # names, once standardized
        self._scaling: tuple[Array, Array] | None = None  # means and standard deviations of the covariates
        self.drawn: Array = np.empty((0, 0))  # inputs of the initial candidates, once standardized
        self._entries: dict[frozenset[tuple[str, object]], PoolEntry | None] = {}
        self.available: dict[str, PoolEntry] = {}  # by id: within the limits and not proposed yet
        self.gains: dict[str, float] = {}  # by id: the latest expected gain

    def entry(self, setting: Setting) -> PoolEntry | None:
        """Describe a setting; None if a cost that is an objective is unknown for it."""
        key = frozenset(setting.items())
        if key not in self._entries:
            self._entries[key] = self._describe_entry(setting)
        return self._entries[key]

    def _describe_entry(self, setting: Setting) -> PoolEntry | None:
        candidate = self._describe(setting)
        if any(objective.name not in candidate.costs for objective in self._cheap):
            return None
        logs = {f"log {name}": float(np.log(max(cost, MIN_COST))) for name, cost in candidate.costs.items()}
        signs = [-1.0 if objective.maximize else 1.0 for objective in self._cheap]
        costs = [np.log(max(candidate.costs[objective.name], MIN_COST)) for objective in self._cheap]
        excess = sum(limit.excess(candidate.costs) for limit in self._limits)
        flops = float(candidate.costs.get("flops", 0.0))
        return PoolEntry(
            candidate.id,
            dict(setting),
            _encode(self._values, setting),
            {**logs, **candidate.features},
            np.array(costs) * signs,
            excess,
            flops,
        )

    def add(self, settings: Iterable[Setting], excluded: set[str]) -> None:
        """Describe settings and keep those that are within the limits and whose id is not excluded."""
        for setting in settings:
            entry = self.entry(setting)
            if entry is not None and not entry.excess and entry.id not in excluded:
                self.available.setdefault(entry.id, entry)

    def trim(self, size: int) -> None:
        """Keep only the `size` candidates of the greatest expected gain, once there are twice as many."""
        if len(self.available) > 2 * size:
            ranked = sorted(self.available, key=lambda name: -self.gains.get(name, np.inf))[:size]
            self.available = {name: self.available[name] for name in ranked}
            self.gains = {name: self.gains[name] for name in ranked if name in self.gains}
            self._entries.clear()

    @property
    def groups(self) -> Indices:
        """The group of each input column: one per open value, then one per covariate."""
        first = len(self._values)
        return np.array([*self._value_groups, *range(first, first + len(self._covariates))], dtype=np.intp)

    @property
    def covariate_groups(self) -> range:
        """The groups of costs and features."""
        return range(len(self._values), len(self._values) + len(self._covariates))

    def standardize(self, entries: Sequence[PoolEntry]) -> tuple[Array, Array]:
        """Choose and scale the covariates by a random sample of entries.

        Return their means and standard deviations.
        """
        names = sorted({name for entry in entries for name in entry.covariates})
        covariates = self._covariate_matrix(entries, names)
        deviation = covariates.std(axis=0)
        varies = deviation > 1e-9
        self._covariates = [name for name, kept in zip(names, varies, strict=True) if kept]
        self._scaling = covariates[:, varies].mean(axis=0), deviation[varies]
        self.drawn = self.inputs(entries)
        return self._scaling

    def inputs(self, entries: Sequence[PoolEntry]) -> Array:
        """Return the model inputs: (entries, columns)."""
        mean, deviation = self._scaling or self.standardize(entries)
        covariates = (self._covariate_matrix(entries, self._covariates) - mean) / deviation
        return np.column_stack([np.array([entry.encoded for entry in entries]), covariates])

    @staticmethod
    def _covariate_matrix(entries: Sequence[PoolEntry], names: Sequence[str]) -> Array:
        rows = [[entry.covariates.get(name, 0.0) for name in names] for entry in entries]
        return np.array(rows, dtype=float).reshape(len(entries), len(names))

    def minimize(
        self,
        starts: Sequence[PoolEntry],
        key: Callable[[PoolEntry], tuple[float, ...]],
        rng: np.random.Generator,
    ) -> PoolEntry:
        """Search for an entry with a small key, such as a cost, by changing one value at a time.

        A local beam search (Russell & Norvig, Artificial Intelligence, 4.1), because a measured cost is not
        monotone on the way down. It ends when all neighbours of the best BEAM_WIDTH entries are described or,
        after MAX_BEAM_ENTRIES entries, all neighbours of the best. Ties are broken at random.
        """
        found = {entry.id: entry for entry in starts}
        ranks = {name: (key(entry), rng.random()) for name, entry in found.items()}
        expanded: set[str] = set()
        limit = len(found) + MAX_BEAM_ENTRIES
        while True:
            best = nsmallest(BEAM_WIDTH, found, key=ranks.__getitem__)
            left = [name for name in best if name not in expanded]
            if not left or (best[0] in expanded and len(found) >= limit):
                return found[best[0]]
            expanded.add(left[0])
            setting = found[left[0]].setting
            for value in self._values:
                for choice in value.choices if value.name in setting else ():
                    entry = self.entry(complete_setting(self._values, {**setting, value.name: choice}))
                    if entry is not None and entry.id not in found:
                        found[entry.id], ranks[entry.id] = entry, (key(entry), rng.random())


def is_in_space(values: Sequence[OpenValue], setting: Setting) -> bool:
    """Check whether a setting is in the space: one of the choices for each active value, and nothing else."""
    expected = [value for value in values if is_active(value, setting)]
    return len(expected) == len(setting) and all(
        setting.get(value.name) in value.choices for value in expected
    )


def _columns(value: OpenValue) -> int:
    return (1 if value.ordered else len(value.choices)) + (value.when is not None)


def _encode(values: Sequence[OpenValue], setting: Setting) -> tuple[float, ...]:
    """Encode a setting as numbers.

    The distance between two categories is 1, and so is that between the first and last number of a range.
    """
    row: list[float] = []
    for value in values:
        present = is_active(value, setting)
        index = value.choices.index(setting[value.name]) if present else -1
        if value.ordered:
            row.append(index / max(1, len(value.choices) - 1) if present else 0.5)
        else:
            row.extend(float(choice == index) / np.sqrt(2.0) for choice in range(len(value.choices)))
        if value.when is not None:
            row.append(float(present))
    return tuple(row)
