"""Predict the latency of an architecture from latencies that were measured on the same device.

The model has two parts. First, the time of each operator is a sum of costs proportional to its work
(`nas.backends.operator_features`), with non-negative coefficients. Second, a Gaussian process over operators
models the residuals: operators of one kind and similar size have correlated residuals, and the residual of a
network is the sum over its operators. The predicted relative error is the standard deviation of the process,
scaled so that in cross-validation it covers 95 % of the held-out networks.
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
from nas.files import output_file
from nas.space import SearchSpace, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "LatencyModel",
    "cache_folder",
    "calibrate_latency_model",
    "default_path",
    "sample_across_costs",
]

MIN_NETWORKS = 10  # to fit
MAX_NETWORKS = 500  # to fit: the latest
FOLDS = 5
LENGTH_SCALES = np.array([3.0, 3.0, 3.0, 4.0, 2.0, 2.0])  # of the kernel: see _kernel_coordinates
KIND_DISTANCE = 100.0  # between operators of different kinds, whose residuals are independent
RESIDUAL_DEVIATION = 0.3  # prior standard deviation of an operator's relative residual
MIN_NOISE = 0.01  # relative noise of a measurement is at least this
RIDGE = 0.003
MIN_OPERATOR_MS = 1e-7
UNKNOWN_KIND_ERROR = 1.0  # relative error for a network with an operator of a kind that was never measured


@dataclass(frozen=True)
class _Measurement:
    """The operators of a measured network, its latency and the relative noise of that latency."""

    counts: Mapping[Operator, int]
    latency_ms: float
    cv: float


class LatencyModel:
    """A regression of latency on operators, for one device; call `fit` after `add` and before `predict`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._measurements: list[_Measurement] = []
        self._fitted: _FittedModel | None = None
        self._error_scale = 1.0

    def __len__(self) -> int:
        return len(self._measurements)

    @property
    def is_fitted(self) -> bool:
        """Whether `predict` may be called."""
        return self._fitted is not None

    def add(self, architecture: Architecture, latency_ms: float, cv: float = MIN_NOISE) -> None:
        """Add a measured latency in milliseconds and its relative noise; takes effect with `fit`.

        Raises InputError unless the latency is positive.
        """
        if not latency_ms > 0:
            raise InputError(f"latency_ms must be over 0, got {latency_ms}; measure the network again")
        counts = Counter(lower_to_operators(architecture.layers))
        self._measurements.append(_Measurement(counts, float(latency_ms), max(float(cv), MIN_NOISE)))

    def fit(self) -> None:
        """Fit the model to the measurements; raises InputError if there are too few."""
        measurements = self._measurements[-MAX_NETWORKS:]
        if len(measurements) < MIN_NETWORKS:
            raise InputError(
                f"a latency model needs {MIN_NETWORKS} measured networks or more, got {len(measurements)}; "
                "measure more"
            )
        order = np.random.default_rng(0).permutation(len(measurements))
        ratios: list[float] = []  # of actual to predicted relative error
        for fold in np.array_split(order, FOLDS):
            held_out = set(fold.tolist())
            fitted = _FittedModel([entry for i, entry in enumerate(measurements) if i not in held_out])
            for i in fold:
                predicted, error = fitted.predict(measurements[i].counts)
                ratios.append(abs(predicted / measurements[i].latency_ms - 1) / error)
        percentile = 95 * (1 + 1 / len(ratios))  # also covers one more network
        self._error_scale = max(1.0, float(np.percentile(ratios, min(100, percentile))))
        self._fitted = _FittedModel(measurements)

    def predict(self, architecture: Architecture) -> tuple[float, float]:
        """Return the predicted latency in milliseconds and its relative error, a 95 % bound.

        Raises InputError before `fit`.
        """
        if self._fitted is None:
            raise InputError("a latency model must be fitted before it predicts; call fit")
        counts = Counter(lower_to_operators(architecture.layers))
        predicted, error = self._fitted.predict(counts)
        if error >= UNKNOWN_KIND_ERROR:
            return predicted, error
        return predicted, min(UNKNOWN_KIND_ERROR, self._error_scale * error)

    def save(self, path: Path | None = None) -> Path:
        """Write the measurements as JSON and return the path, by default `default_path` of the device."""
        path = path or default_path(self.device)
        data = {
            "device": vars(self.device),
            "measured": [
                {
                    "latency_ms": entry.latency_ms,
                    "cv": entry.cv,
                    "operators": [[*operator, count] for operator, count in entry.counts.items()],
                }
                for entry in self._measurements
            ],
        }
        with output_file(path) as temporary:
            temporary.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> LatencyModel:
        """Read a file that `save` wrote, and fit; raises InputError for any other file."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            model = cls(Device(**data["device"]))
            for entry in data["measured"]:
                counts = {Operator(*values[:-1]): int(values[-1]) for values in entry["operators"]}
                measurement = _Measurement(counts, float(entry["latency_ms"]), float(entry["cv"]))
                model._measurements.append(measurement)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"a latency model must be a file that 'nas calibrate' wrote, got '{path}' "
                f"({type(error).__name__}); remove it and calibrate again"
            ) from None
        if len(model) >= MIN_NETWORKS:
            model.fit()
        return model


def default_path(device: Device) -> Path:
    """Return the file for the latency model of a device."""
    return cache_folder() / f"latency-{device.key}.json"


def cache_folder() -> Path:
    """Return the folder in the user's cache (XDG_CACHE_HOME) for what is known of this device."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"


def calibrate_latency_model(
    space: SearchSpace,
    count: int = 100,
    options: LatencyOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
    calibration: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> LatencyModel:
    """Measure `count` networks of a bound space, from the cheapest to the most expensive, and fit a model.

    `progress(done, count)` is called after each network; `calibration` are images for precision int8.
    Networks that the runtime refuses are left out.
    """
    if count < MIN_NETWORKS:
        raise InputError(f"calibration needs at least {MIN_NETWORKS} networks, got {count}; use 60 or more")
    options = options or LatencyOptions()
    model = LatencyModel(local_device(options))
    architectures = sample_across_costs(space, count, np.random.default_rng(seed))
    for done, architecture in enumerate(architectures, start=1):
        try:
            latency = measure_architecture(architecture, options, calibration)
        except ConversionError:
            continue
        finally:
            if progress is not None:
                progress(done, len(architectures))
        model.add(architecture, latency.p50_ms, latency.cv)
    model.fit()
    return model


def sample_across_costs(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Sample `count` distinct networks of a space at evenly spaced quantiles of FLOPs, in random order."""
    distinct: dict[str, Architecture] = {}
    for _ in range(8 * count):
        architecture = space.design(sample(space.open_values, rng)).architecture
        distinct.setdefault(architecture.id, architecture)
        if len(distinct) == 3 * count:
            break
    ordered = sorted(distinct.values(), key=lambda architecture: network_cost(architecture).flops)
    ranks = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    selected = [ordered[rank] for rank in ranks]
    rng.shuffle(selected)
    return selected


class _OperatorTerms(NamedTuple):
    """The terms that one operator contributes to a prediction."""

    time_ms: float  # by the proportional costs
    coordinates: Array  # for the kernel, the kind included
    covariances: Array  # (networks,): of its residual with that of each measured network


class _FittedModel:
    """The two parts of a latency model, fitted to measurements."""

    def __init__(self, measurements: Sequence[_Measurement]) -> None:
        operators = sorted({operator for entry in measurements for operator in entry.counts})
        self._kinds = sorted({operator.kind for operator in operators})
        features = sorted({name for operator in operators for name in operator_features(operator)})
        self._columns = {name: column for column, name in enumerate(features)}
        latencies = np.array([entry.latency_ms for entry in measurements])
        noises = np.array([entry.cv for entry in measurements])
        counts = np.zeros((len(measurements), len(operators)))
        indices = {operator: index for index, operator in enumerate(operators)}
        for row, entry in enumerate(measurements):
            for operator, number in entry.counts.items():
                counts[row, indices[operator]] = number
        work = self._feature_matrix(operators)
        self._overhead_ms, self._costs, weights = _fit_proportional_costs(counts @ work, latencies)
        times = self._operator_times(work)
        of_kind = {
            kind: [index for index, operator in enumerate(operators) if operator.kind == kind]
            for kind in self._kinds
        }
        self._coordinates = {
            kind: _kernel_coordinates([operators[index] for index in members])
            for kind, members in of_kind.items()
        }
        shares = counts * times / latencies[:, None]  # of each operator in each network's latency
        self._shares = {kind: shares[:, members] for kind, members in of_kind.items()}
        covariance = np.zeros((len(measurements), len(measurements)))
        for kind, at in self._coordinates.items():
            covariance += self._shares[kind] @ _kernel(at, at) @ self._shares[kind].T
        covariance += np.diag((noises / weights) ** 2)
        self._precision_matrix = np.linalg.inv(covariance)
        proportional_ms = counts @ times + self._overhead_ms
        self._dual_coefficients = self._precision_matrix @ ((latencies - proportional_ms) / latencies)
        self._terms: dict[Operator, _OperatorTerms] = {}

    def predict(self, counts: Mapping[Operator, int]) -> tuple[float, float]:
        """Return the latency in milliseconds and its standard deviation relative to it.

        The deviation is UNKNOWN_KIND_ERROR where an operator's kind was never measured.
        """
        terms = [self._operator_terms(operator) for operator in counts]
        times = np.array([number * term.time_ms for number, term in zip(counts.values(), terms, strict=True)])
        proportional_ms = times.sum() + self._overhead_ms
        shares = times / proportional_ms
        covariances = shares @ np.array([term.covariances for term in terms])
        coordinates = np.array([term.coordinates for term in terms])
        prior_variance = float(shares @ _kernel(coordinates, coordinates) @ shares)
        predicted_ms = float(proportional_ms * max(0.1, 1 + covariances @ self._dual_coefficients))
        if not all(operator.kind in self._coordinates for operator in counts):
            return predicted_ms, UNKNOWN_KIND_ERROR
        variance = prior_variance - float(covariances @ self._precision_matrix @ covariances)
        deviation = float(np.sqrt(max(variance, 0.0) + MIN_NOISE**2))
        return predicted_ms, deviation * proportional_ms / predicted_ms

    def _operator_terms(self, operator: Operator) -> _OperatorTerms:
        """Return an operator's terms, cached because networks of a space share most of their operators."""
        if operator not in self._terms:
            time_ms = float(self._operator_times(self._feature_matrix([operator]))[0])
            coordinates = _kernel_coordinates([operator])
            covariances = np.zeros(len(self._dual_coefficients))
            kind_index = -1
            if operator.kind in self._coordinates:
                kind_index = self._kinds.index(operator.kind)
                kernel = _kernel(coordinates, self._coordinates[operator.kind])[0]
                covariances = self._shares[operator.kind] @ kernel
            coordinates = np.append(coordinates[0], KIND_DISTANCE * kind_index)
            self._terms[operator] = _OperatorTerms(time_ms, coordinates, covariances)
        return self._terms[operator]

    def _feature_matrix(self, operators: Sequence[Operator]) -> Array:
        """Return the features (operators, features); features that were never measured are left out."""
        matrix = np.zeros((len(operators), len(self._columns)))
        for row, operator in enumerate(operators):
            for name, value in operator_features(operator).items():
                if name in self._columns:
                    matrix[row, self._columns[name]] = value
        return matrix

    def _operator_times(self, work: Array) -> Array:
        """Return the time of each operator in milliseconds, by the proportional costs."""
        times: Array = work @ self._costs
        return np.maximum(times, MIN_OPERATOR_MS)


def _fit_proportional_costs(work: Array, latencies: Array) -> tuple[float, Array, Array]:
    """Fit non-negative costs to relative errors; return the overhead, the costs and the networks' weights.

    Iteratively reweighted least squares: outliers, such as a measurement that was disturbed as a whole, get a
    small weight.
    """
    from scipy.optimize import nnls

    columns = np.hstack([work, np.ones((len(work), 1))])
    column_maxima = columns.max(axis=0)
    scaled = columns / column_maxima / latencies[:, None]
    ridge = RIDGE * np.sqrt(len(work) / 100) * np.eye(columns.shape[1])
    weights = np.ones(len(work))
    for _ in range(4):
        costs, _ = nnls(
            np.vstack([scaled * weights[:, None], ridge]),
            np.append(weights, np.zeros(len(ridge))),
            maxiter=10_000,
        )
        weights = 1 / np.sqrt(1 + ((scaled @ costs - 1) / 0.3) ** 4)
    costs = costs / column_maxima
    return float(costs[-1]), costs[:-1], weights


def _kernel_coordinates(operators: Sequence[Operator]) -> Array:
    """Return coordinates (operators, 6) at which near operators of one kind have similar residuals."""
    pixels, inputs, outputs, window, elements = np.array([operator[1:] for operator in operators], float).T
    logarithms = np.log2([pixels, inputs, outputs, elements])
    rows: Array = np.vstack([logarithms, np.sqrt(window), outputs % 16 / 16])
    scaled: Array = rows.T / LENGTH_SCALES
    return scaled


def _kernel(a: Array, b: Array) -> Array:
    """Return the squared-exponential covariance of operators' relative residuals."""
    squared_distances = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    covariance: Array = RESIDUAL_DEVIATION**2 * np.exp(-0.5 * np.maximum(squared_distances, 0.0))
    return covariance
