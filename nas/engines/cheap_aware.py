"""The default engine: costs are known before training, so only the error is modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nas.candidate import Candidate
from nas.engines._improvement import Belief, cells, expected_gain
from nas.engines._pool import Pool
from nas.engines._surrogate import ErrorModel
from nas.space import OpenValue, Setting, mutate, sample
from nas.trial import Limit, Objective, Trial

__all__ = ["Candidate", "CheapAware"]

SHIFT = 0.005
"""Added to an error before its logarithm: differences far below half a percent are noise."""


class CheapAware:
    """Proposes the setting with the greatest expected gain of hypervolume."""

    INIT = 6
    DENOISE = True
    REF = "pool"

    def __init__(
        self,
        open_values: Sequence[OpenValue],
        objectives: Sequence[Objective],
        describe: Callable[[Setting], Candidate],
        limits: Sequence[Limit] = (),
        seed: int = 0,
    ) -> None:
        self._trained = [o for o in objectives if o.trained]
        self._cheap = [o for o in objectives if not o.trained]
        self._rng = np.random.default_rng(seed)
        self._pool = Pool(tuple(open_values), [o.name for o in self._cheap], describe, tuple(limits))
        self._values = tuple(open_values)
        self._told: dict[int, dict[int, list[float]]] = {}
        self._epochs_full = 0
        self._spent: set[str] = set()
        self._pending: dict[str, int] = {}
        self._models: list[ErrorModel] = []
        self._fresh = False
        self._queue: list[int] = []
        self._flatness: float | None = None

    def tell(self, trial: Trial) -> None:
        place = self._pool.add(trial.setting)
        self._spent.add(trial.id)
        if place is None:
            return
        self._spent.add(self._pool.ids[place])
        self._pending.pop(self._pool.ids[place], None)
        if trial.state in ("complete", "stopped") and all(o.name in trial.values for o in self._trained):
            row = [
                float(np.log((1.0 - trial.values[o.name] if o.maximize else trial.values[o.name]) + SHIFT))
                for o in self._trained
            ]
            self._told.setdefault(place, {})[trial.epochs] = row
            self._fresh = False

    def ask(self) -> Setting:
        pool = self._pool
        if not pool.settings:
            self._first()
        place = self._propose()
        if place is None:
            return sample(self._values, self._rng)
        self._pending[pool.ids[place]] = place
        self._spent.add(pool.ids[place])
        return pool.settings[place]

    def flatness(self) -> float | None:
        return self._flatness

    def _first(self) -> None:
        pool = self._pool
        for _ in range(512):
            pool.add(sample(self._values, self._rng))
        for axis in range(len(self._cheap)):
            self._queue.append(pool.cheapest(axis, self._rng))

    def _free(self) -> np.ndarray:
        pool = self._pool
        return np.array([p for p in np.flatnonzero(pool.usable) if pool.ids[p] not in self._spent], dtype=int)

    def _propose(self) -> int | None:
        while self._queue:
            place = self._queue.pop(0)
            if self._pool.ids[place] not in self._spent:
                return place
        if len(self._spent) < len(self._cheap) + self.INIT or len(self._told) < 4:
            return self._stratified()
        return self._best()

    def _stratified(self) -> int | None:
        free = self._free()
        if not len(free):
            return None
        pool = self._pool
        taken = [*self._told, *self._pending.values()]
        rows = pool.inputs()
        from nas.engines._surrogate import _squared

        costs = pool.costs[free].mean(axis=1) if self._cheap else self._rng.random(len(free))
        count = len(taken)
        q = (count * 0.6180339887) % 1.0
        target = np.quantile(costs, q)
        near = free[np.argsort(np.abs(costs - target))[: max(8, len(free) // 20)]]
        far = _squared(rows[near], rows[taken]).min(axis=1) if taken else np.zeros(len(near))
        return int(near[np.argmax(far)])

    def _refit(self):
        pool = self._pool
        rows = pool.inputs()
        data = [(p, e, z) for p, by in self._told.items() for e, z in by.items()]
        top = max(e for _, e, _ in data)
        X = rows[[p for p, _, _ in data]]
        lags = np.array([np.log(top / max(1, e)) / np.log(max(2, top)) for _, e, _ in data])
        Z = np.array([z for _, _, z in data])
        if not self._models:
            self._models = [ErrorModel(pool.groups()) for _ in self._trained]
        for t, m in enumerate(self._models):
            m.fit(X, Z[:, t], lags, learn=len(X) >= 1.1 * m.fitted_rows or len(X) < 40)
            if self._pending:
                m.believe(rows[list(self._pending.values())])
        self._believed = set(self._pending.values())
        self._fresh = True

    def _best(self) -> int | None:
        pool = self._pool
        if not self._fresh:
            self._refit()
        else:
            new = [p for p in self._pending.values() if p not in self._believed]
            if new:
                for m in self._models:
                    m.believe(pool.inputs()[new])
                self._believed |= set(new)
        seen = [*self._told, *self._pending.values()]
        rows = pool.inputs()
        est = np.stack([np.exp(m.predict(rows[seen])[0]) - SHIFT for m in self._models], 1)
        if not self.DENOISE:
            for i, p in enumerate(self._told):
                est[i] = np.exp(self._told[p][max(self._told[p])]) - SHIFT
        pts = np.c_[est, pool.costs[seen]]
        front = _front(pts)
        for _ in range(64):
            base = pool.settings[seen[int(self._rng.choice(front))]]
            for _ in range(int(self._rng.integers(1, 4))):
                base = mutate(self._values, base, self._rng)
            pool.add(base)
        for _ in range(32):
            pool.add(sample(self._values, self._rng))
        rows = pool.inputs()
        free = self._free()
        if not len(free):
            return None
        F = pts[front]
        lo, hi = F.min(0), F.max(0)
        if self.REF == "pool":
            hi[est.shape[1] :] = (
                np.maximum(hi[est.shape[1] :], pool.costs[free].max(0)) if self._cheap else hi[est.shape[1] :]
            )
        ref = hi + 0.1 * np.maximum(hi - lo, 1e-3)
        c = cells(F, ref)
        beliefs = []
        for m in self._models:
            mu, sd = m.predict(rows[free])
            beliefs.append(Belief(mu, sd, SHIFT))
        gain = expected_gain(c, beliefs, pool.costs[free])
        best = int(np.argmax(gain))
        self._flatness = float(gain[best] / max(c.volume, 1e-12))
        return int(free[best])


def _front(pts):
    import moocore

    return np.flatnonzero(moocore.is_nondominated(pts))
