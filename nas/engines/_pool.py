"""The candidates that an engine knows of: settings with their ids, costs and inputs for a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.candidate import Candidate
from nas.engines._surrogate import encode, relevance_groups
from nas.space import OpenValue, Setting
from nas.trial import Limit

__all__ = ["Pool"]


class Pool:
    QUANT=False
    _q=None
    def __init__(
        self,
        values: tuple[OpenValue, ...],
        cost_names: Sequence[str],
        describe: Callable[[Setting], Candidate],
        limits: tuple[Limit, ...],
    ) -> None:
        self.values, self.cost_names, self.describe, self.limits = values, list(cost_names), describe, limits
        self.settings: list[Setting] = []
        self.ids: list[str] = []
        self._place: dict[tuple, int | None] = {}
        self._by_id: dict[str, int] = {}
        self._rows: list[list[float]] = []
        self._costs: list[list[float]] = []
        self._usable: list[bool] = []
        self._names: list[str] = []
        self._cache = None
        self._stats = None

    def add(self, setting: Setting) -> int | None:
        key = tuple(sorted(setting.items()))
        if key in self._place:
            return self._place[key]
        c = self.describe(setting)
        if c.id in self._by_id:
            self._place[key] = self._by_id[c.id]
            return self._by_id[c.id]
        if any(n not in c.costs for n in self.cost_names):
            self._place[key] = None
            return None
        if not self._names:
            self._names = sorted(c.features)
            self._cn = sorted(c.costs)
        logs = [np.log(max(c.costs[n], 1e-12)) for n in self._cn]
        self._rows.append(
            [*encode(self.values, setting), *logs, *(c.features.get(n, 0.0) for n in self._names)]
        )
        self._costs.append([float(np.log(max(c.costs[n], 1e-12))) for n in self.cost_names])
        self._usable.append(not any(l.excess(c.costs) > 0 for l in self.limits))
        self.settings.append(dict(setting))
        self.ids.append(c.id)
        self._place[key] = self._by_id[c.id] = len(self.ids) - 1
        return len(self.ids) - 1

    @property
    def usable(self):
        return np.array(self._usable, bool)

    @property
    def costs(self):
        return np.array(self._costs, float).reshape(len(self.ids), len(self.cost_names))

    def groups(self):
        g = relevance_groups(self.values)
        k = int(g.max()) + 1
        return np.r_[g, np.arange(k, k + len(self._cn) + len(self._names))].astype(int)

    def inputs(self):
        if self._cache is not None and len(self._cache) == len(self.ids):
            return self._cache
        n = len(relevance_groups(self.values))
        x = np.array(self._rows, float)
        if self._stats is None:
            self._stats = x[:, n:].mean(0), np.maximum(x[:, n:].std(0), 1e-9)
        if self.QUANT:
            from scipy.special import ndtri
            if self._q is None:
                self._q = [np.unique(x[:, n + j], return_counts=True) for j in range(len(self._cn))]
            for j, (u, cnt) in enumerate(self._q):
                cdf = (np.cumsum(cnt) - cnt / 2) / cnt.sum()
                x[:, n + j] = ndtri(np.interp(x[:, n + j], u, cdf))
            if len(self._names): x[:, n + len(self._cn):] = ((x[:, n:] - self._stats[0]) / self._stats[1])[:, len(self._cn):]
        else:
            x[:, n:] = (x[:, n:] - self._stats[0]) / self._stats[1]
        self._cache = x
        return x

    def cheapest(self, axis: int, rng) -> int:
        tie = {}
        order = lambda p: (self._costs[p][axis], tie.setdefault(p, rng.random()))
        ok = [p for p in range(len(self.ids)) if self._usable[p]] or list(range(len(self.ids)))
        best = min(ok, key=order)
        while True:
            now = best
            for v in self.values:
                if v.name not in self.settings[now]:
                    continue
                for ch in v.choices:
                    s = {**self.settings[now], v.name: ch}
                    p = self.add(s)
                    if p is not None and self._usable[p] and order(p) < order(best):
                        best = p
            if best == now:
                return best
