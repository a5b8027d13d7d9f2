"""Architecture -> expected latency, learnt on this device from the latencies measured so far.

Two steps. Each operator's time is a sum of costs proportional to its work (`nas.backends.runtime_operators.features`), every
cost not negative. What that leaves is learnt by a Gaussian process over operators: operators of one kind and
like sizes err alike, and a network errs by the sum over its operators. The margin of error is the process'
own, scaled so that in cross-validation it held for 95 percent of the networks left out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.architecture import Architecture, network_cost
from nas.backends import Operator, lower_to_operators, operator_features
from nas.device.latency import Device, LatencyOptions, local_device, measure_architecture
from nas.errors import ConversionError, InputError
from nas.space import SearchSpace, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["LatencyModel", "calibrate_latency_model", "default_path", "sample_across_costs"]

FEWEST = 10  # networks to fit to
MOST = 500  # networks to fit to: the latest
FOLDS = 5
SCALES = np.array([3.0, 3.0, 3.0, 4.0, 2.0, 2.0])  # over which operators are alike: see _place
APART = 100.0  # between operators of two kinds, which have nothing to do with each other: see _place
DEVIATION = 0.3  # an operator's time over its proportional cost, before anything is known
NOISE = 0.01  # least relative noise of a measurement
RIDGE = 0.003
STRANGE = 1.0  # relative error with an operator of a kind that was never measured


@dataclass(frozen=True)
class _Measured:
    """What was added: a network's operators, its latency and that figure's relative noise."""

    counts: Mapping[Operator, int]
    latency_ms: float
    cv: float


class LatencyModel:
    """Learns from measured latencies of one device; `fit` after `add`, before `predict`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._measured: list[_Measured] = []
        self._fitted: _Fit | None = None
        self._margin = 1.0

    def __len__(self) -> int:
        return len(self._measured)

    @property
    def ready(self) -> bool:
        """Whether it has been fitted."""
        return self._fitted is not None

    def add(self, architecture: Architecture, latency_ms: float, cv: float = NOISE) -> None:
        """Note a measured latency in milliseconds and the relative noise of that figure."""
        if not latency_ms > 0:
            raise InputError(f"latency_ms must be over 0, got {latency_ms}; measure the network again")
        counts = Counter(lower_to_operators(architecture.layers))
        self._measured.append(_Measured(counts, float(latency_ms), max(float(cv), NOISE)))

    def fit(self) -> None:
        """Learn from everything added; raises InputError where that is too little."""
        measured = self._measured[-MOST:]
        if len(measured) < FEWEST:
            raise InputError(
                f"a latency model needs {FEWEST} measured networks or more, got {len(measured)}; measure more"
            )
        order = np.random.default_rng(0).permutation(len(measured))
        ratios: list[float] = []
        for fold in np.array_split(order, FOLDS):
            left_out = set(fold.tolist())
            fit = _Fit([entry for place, entry in enumerate(measured) if place not in left_out])
            for place in fold:
                expected, error = fit.predict(measured[place].counts)
                ratios.append(abs(expected / measured[place].latency_ms - 1) / error)
        held = 95 * (1 + 1 / len(ratios))  # the percentile that also holds for one more network
        self._margin = max(1.0, float(np.percentile(ratios, min(100, held))))
        self._fitted = _Fit(measured)

    def predict(self, architecture: Architecture) -> tuple[float, float]:
        """Expect a latency in milliseconds, and the relative error that it keeps 95 times of 100.

        Raises InputError before `fit`.
        """
        if self._fitted is None:
            raise InputError("a latency model must be fitted before it predicts; call fit")
        counts = Counter(lower_to_operators(architecture.layers))
        expected, error = self._fitted.predict(counts)
        return expected, error if error >= STRANGE else min(STRANGE, self._margin * error)

    def save(self, path: Path | None = None) -> Path:
        """Write what was added as JSON, by default to the user's cache for this device."""
        path = path or default_path(self.device)
        data = {
            "device": vars(self.device),
            "measured": [
                {
                    "latency_ms": m.latency_ms,
                    "cv": m.cv,
                    "operators": [[*op, n] for op, n in m.counts.items()],
                }
                for m in self._measured
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")
        unfinished.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> LatencyModel:
        """Read what `save` wrote, and fit; raises InputError where the file is no such thing."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            model = cls(Device(**data["device"]))
            for entry in data["measured"]:
                counts = {Operator(*values[:-1]): int(values[-1]) for values in entry["operators"]}
                model._measured.append(_Measured(counts, float(entry["latency_ms"]), float(entry["cv"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"a latency model must be a file that 'nas calibrate' wrote, got '{path}' "
                f"({type(error).__name__}); remove it and calibrate again"
            ) from None
        if len(model) >= FEWEST:
            model.fit()
        return model


def default_path(device: Device) -> Path:
    """Give the file in the user's cache folder (XDG_CACHE_HOME) that holds a device's model."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "nas" / f"latency-{device.key}.json"


def calibrate_latency_model(
    space: SearchSpace,
    count: int = 100,
    options: LatencyOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
    calibration: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> LatencyModel:
    """Measure `count` networks of a bound space, from its cheapest to its dearest, and fit a model to them.

    `progress(done, count)` is called after each; `calibration` are images for precision int8. Networks that
    the runtime refuses are left out.
    """
    if count < FEWEST:
        raise InputError(f"calibration needs at least {FEWEST} networks, got {count}; use 60 or more")
    options = options or LatencyOptions()
    model = LatencyModel(local_device(options))
    chosen = sample_across_costs(space, count, np.random.default_rng(seed))
    for done, architecture in enumerate(chosen, start=1):
        try:
            latency = measure_architecture(architecture, options, calibration)
        except ConversionError:
            continue
        finally:
            if progress is not None:
                progress(done, len(chosen))
        model.add(architecture, latency.p50_ms, latency.cv)
    model.fit()
    return model


def sample_across_costs(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Draw distinct networks and keep `count` of them, evenly over the order of their costs."""
    drawn: dict[str, Architecture] = {}
    for _ in range(8 * count):
        architecture = space.design(sample(space.open_values, rng)).architecture
        drawn.setdefault(architecture.id, architecture)
        if len(drawn) == 3 * count:
            break
    ordered = sorted(drawn.values(), key=lambda architecture: network_cost(architecture).flops)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    chosen = [ordered[place] for place in places]
    rng.shuffle(chosen)
    return chosen


class _OperatorBelief(NamedTuple):
    """What a fitted model believes of one operator."""

    time: float  # milliseconds, before the deviation
    place: Array  # where it stands towards others, those of another kind far away
    towards: Array  # (networks,), the covariance of its deviation with that of each measured network


class _Fit:
    """A model fitted to measurements."""

    def __init__(self, measured: Sequence[_Measured]) -> None:
        known = sorted({operator for entry in measured for operator in entry.counts})
        self._kinds = sorted({operator.kind for operator in known})
        names = sorted({name for operator in known for name in operator_features(operator)})
        self._columns = {name: place for place, name in enumerate(names)}
        latencies = np.array([entry.latency_ms for entry in measured])
        noises = np.array([entry.cv for entry in measured])
        counts = np.zeros((len(measured), len(known)))
        places = {operator: place for place, operator in enumerate(known)}
        for row, entry in enumerate(measured):
            for operator, number in entry.counts.items():
                counts[row, places[operator]] = number
        work = self._work(known)
        self._overhead, self._costs, weights = _proportional(counts @ work, latencies)
        times = self._times(work)
        self._where = {
            kind: [place for place, op in enumerate(known) if op.kind == kind] for kind in self._kinds
        }
        self._at = {kind: _place([known[place] for place in where]) for kind, where in self._where.items()}
        shares = counts * times / latencies[:, None]  # of each operator in each network's time
        self._shares = {kind: shares[:, where] for kind, where in self._where.items()}
        covariance = np.zeros((len(measured), len(measured)))
        for kind, at in self._at.items():
            covariance += self._shares[kind] @ _alike(at, at) @ self._shares[kind].T
        covariance += np.diag((noises / weights) ** 2)
        self._inverse = np.linalg.inv(covariance)
        base = counts @ times + self._overhead
        self._answer = self._inverse @ ((latencies - base) / latencies)
        self._parts: dict[Operator, _OperatorBelief] = {}

    def predict(self, counts: Mapping[Operator, int]) -> tuple[float, float]:
        """Give the latency in milliseconds and its standard deviation over it; STRANGE for unknown kinds."""
        parts = [self._part(operator) for operator in counts]
        times = np.array([number * part.time for number, part in zip(counts.values(), parts, strict=True)])
        base = times.sum() + self._overhead
        shares = times / base
        common = shares @ np.array([part.towards for part in parts])
        places = np.array([part.place for part in parts])
        own = float(shares @ _alike(places, places) @ shares)
        expected = float(base * max(0.1, 1 + common @ self._answer))
        variance = own - float(common @ self._inverse @ common)
        error = float(np.sqrt(max(variance, 0.0) + NOISE**2)) * base / expected
        return expected, error if all(operator.kind in self._at for operator in counts) else STRANGE

    def _part(self, operator: Operator) -> _OperatorBelief:
        """Give what is believed of an operator, worked out once: networks of a space share most of theirs."""
        if operator not in self._parts:
            time = float(self._times(self._work([operator]))[0])
            place = _place([operator])
            towards = np.zeros(len(self._answer))
            number = -1
            if operator.kind in self._at:
                number = self._kinds.index(operator.kind)
                towards = self._shares[operator.kind] @ _alike(place, self._at[operator.kind])[0]
            self._parts[operator] = _OperatorBelief(time, np.append(place[0], APART * number), towards)
        return self._parts[operator]

    def _work(self, listed: Sequence[Operator]) -> Array:
        """Give each operator's features (operators, features); those never measured are left out."""
        work = np.zeros((len(listed), len(self._columns)))
        for row, operator in enumerate(listed):
            for name, value in operator_features(operator).items():
                if name in self._columns:
                    work[row, self._columns[name]] = value
        return work

    def _times(self, work: Array) -> Array:
        times: Array = work @ self._costs
        return np.maximum(times, 1e-7)


def _proportional(work: Array, latencies: Array) -> tuple[float, Array, Array]:
    """Fit costs that are not negative to relative errors; gives overhead, costs, each network's weight.

    Networks far off, as when something disturbed a whole measurement, lose their weight.
    """
    from scipy.optimize import nnls

    columns = np.hstack([work, np.ones((len(work), 1))])
    greatest = columns.max(axis=0)
    scaled = columns / greatest / latencies[:, None]
    ridge = RIDGE * np.sqrt(len(work) / 100) * np.eye(columns.shape[1])
    weights = np.ones(len(work))
    for _ in range(4):
        costs, _ = nnls(
            np.vstack([scaled * weights[:, None], ridge]),
            np.append(weights, np.zeros(len(ridge))),
            maxiter=10_000,
        )
        weights = 1 / np.sqrt(1 + ((scaled @ costs - 1) / 0.3) ** 4)
    costs = costs / greatest
    return float(costs[-1]), costs[:-1], weights


def _place(listed: Sequence[Operator]) -> Array:
    """Give where operators of one kind stand towards each other: near ones err alike."""
    pixels, inputs, outputs, window, elements = np.array([operator[1:] for operator in listed], float).T
    logarithms = np.log2([pixels, inputs, outputs, elements])
    rows: Array = np.vstack([logarithms, np.sqrt(window), outputs % 16 / 16])
    scaled: Array = rows.T / SCALES
    return scaled


def _alike(here: Array, there: Array) -> Array:
    """Give the covariance of operators' relative deviations."""
    squared = (here**2).sum(1)[:, None] + (there**2).sum(1) - 2 * here @ there.T
    covariance: Array = DEVIATION**2 * np.exp(-0.5 * np.maximum(squared, 0.0))
    return covariance
