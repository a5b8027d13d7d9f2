"""Model file -> Latency: how long one inference takes, measured so that a second measurement agrees.

A measurement is many short rounds. Each opens the file anew (where memory comes to lie changes the time by
some percent), waits a moment so that the system lets it run undisturbed, and times runs for some
milliseconds, without those for which another process had the core. A round that was disturbed otherwise
is slower, never faster: the figure is the lower quartile of the rounds' medians.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from nas.architecture import Architecture
from nas.backends import litert_bytes
from nas.device import runtimes as _runtimes
from nas.device.arena import arena_bytes
from nas.device.machine import measurement_lock, processor_name
from nas.errors import InputError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Device",
    "Latency",
    "LatencyOptions",
    "Precision",
    "local_device",
    "measure_architecture",
    "measure_file",
]

Precision = Literal["float32", "float16", "dynamic_int8", "int8"]
Runtime = Literal["litert", "onnx"]
ROUND_SECONDS = 0.02  # timing in a round
BURST_MS = 0.25  # runs shorter than this are timed several at once
PAUSE_SECONDS = 0.002  # before a round: a process that slept is let run at once, for longer
FEWEST_ROUNDS = 8  # before an estimate is called tight
LEAST_ROUNDS = 3  # however small the budget
RESAMPLES = 200


@dataclass(frozen=True)
class Device:
    """What a latency is true for."""

    processor_name: str
    cores: int
    threads: int
    runtime: str  # litert or onnx
    version: str  # of the runtime
    precision: str

    @property
    def fingerprint(self) -> str:
        """One line that differs wherever latencies must not be compared."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        runtime = f"{self.runtime} {self.version}"
        return f"{self.processor}, {self.cores} cores, {threads}, {runtime}, {self.precision}"

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits of the fingerprint, for a file's name."""
        return hashlib.sha256(self.fingerprint.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Latency:
    """How long one inference at batch 1 takes, and what the model's file needs."""

    p50_ms: float  # median of the runs that no other process disturbed
    p95_ms: float  # 95th percentile of all runs, disturbed or not
    cv: float  # the estimate's own noise: standard error of p50_ms over p50_ms
    runs: int  # that were timed
    size_bytes: int  # of the file
    arena_bytes: int | None  # for activations, computed from the file's tensors; None where it cannot be
    device: Device


@dataclass(frozen=True)
class LatencyOptions:
    """How to measure."""

    precision: Precision = "float32"
    threads: int = 1
    runtime: Runtime = "litert"
    budget_seconds: float = 1.0  # timing stops then, tight or not
    target_cv: float = 0.005  # timing stops when the estimate's noise is below

    def __post_init__(self) -> None:
        for name, known in (("precision", Precision.__args__), ("runtime", Runtime.__args__)):  # type: ignore[attr-defined]  # typing's own
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name} must be known, got '{value}'; {nearest(value, known)}")
        if self.threads < 1:
            raise InputError(f"threads must be at least 1, got {self.threads}; use 1")
        if self.budget_seconds <= 0:
            raise InputError(f"budget_seconds must be over 0, got {self.budget_seconds}; use 1")
        if self.runtime == "onnx" and self.precision != "float32":
            raise InputError(f"runtime onnx measures precision float32, got {self.precision}; use float32")


def local_device(options: LatencyOptions) -> Device:
    """Say what latencies measured here with these options are true for."""
    packages = {"litert": "ai-edge-litert", "onnx": "onnxruntime"}
    if options.runtime == "onnx":
        _runtimes.require_onnxruntime()
    return Device(
        processor_name(),
        os.cpu_count() or 1,
        options.threads,
        options.runtime,
        version(packages[options.runtime]),
        options.precision,
    )


def measure_file(path: Path | str, options: LatencyOptions | None = None) -> Latency:
    """Measure a `.tflite` or `.onnx` file, whose suffix decides the runtime, on random input.

    Raises InputError where there is no such file, ConversionError where the runtime cannot run it.
    """
    path = Path(path)
    options = options or LatencyOptions()
    runtimes = {".tflite": "litert", ".onnx": "onnx"}
    if path.suffix not in runtimes:
        raise InputError(f"a model file must end in .tflite or .onnx, got '{path}'; export the network first")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"a model file must be readable, got '{path}': {error.strerror}") from None
    runtime = cast(Runtime, runtimes[path.suffix])
    return _measure_bytes(content, options if options.runtime == runtime else _with_runtime(options, runtime))


def measure_architecture(
    architecture: Architecture,
    options: LatencyOptions | None = None,
    calibration: NDArray[np.float32] | None = None,
) -> Latency:
    """Write an untrained network as a file and measure that; weights do not change the time.

    `calibration`: images (number, *input_shape) as the network takes them, for precision int8 alone.
    Raises InputError for int8 without them, ConversionError with the reason where a runtime refuses.
    """
    options = options or LatencyOptions()
    return _measure_bytes(_file(architecture, options, calibration), options)


def _file(
    architecture: Architecture, options: LatencyOptions, calibration: NDArray[np.float32] | None
) -> bytes:
    """Give the bytes of the file that the network would ship as, but for its weights' values."""
    if options.runtime == "litert" and options.precision != "int8":
        return litert_bytes(architecture, None, options.precision)
    if options.runtime == "litert" and calibration is None:
        raise InputError(
            "precision int8 must be calibrated on images, got none; give a data set, or use dynamic_int8"
        )
    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        if options.runtime == "onnx":
            from nas.export import export_onnx

            _runtimes.require_onnxruntime()
            return Path(export_onnx(architecture, None, Path(folder) / "network.onnx")).read_bytes()
        from nas.export import export_litert

        target = Path(folder) / "network.tflite"
        return Path(export_litert(architecture, None, target, "int8", calibration)).read_bytes()


def _with_runtime(options: LatencyOptions, runtime: Runtime) -> LatencyOptions:
    return LatencyOptions(
        options.precision, options.threads, runtime, options.budget_seconds, options.target_cv
    )


def _measure_bytes(content: bytes, options: LatencyOptions) -> Latency:
    litert = options.runtime == "litert"
    opener = (_runtimes.litert if litert else _runtimes.onnx)(content, options.threads)
    with measurement_lock():
        rounds = _time_rounds(opener, options)
    figure, noise = estimate_latency(_medians(rounds))
    every = np.concatenate([times[1] for times in rounds])
    return Latency(
        p50_ms=figure,
        p95_ms=max(figure, float(np.percentile(every, 95))),
        cv=noise,
        runs=every.size,
        size_bytes=len(content),
        arena_bytes=arena_bytes(content) if litert else None,
        device=local_device(options),
    )


def estimate_latency(medians: Sequence[float]) -> tuple[float, float]:
    """Give the lower quartile of rounds' medians and its relative standard error.

    The error is half the width of the middle 68 percent of bootstrapped quartiles.
    """
    values = np.asarray(medians)
    figure = float(np.percentile(values, 25))
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, values.size))
    low, high = np.percentile(np.percentile(drawn, 25, axis=1), (16, 84))
    return figure, float((high - low) / 2 / figure)


def _time_rounds(opener: _runtimes.Opener, options: LatencyOptions) -> list[NDArray[np.float64]]:
    """Time rounds until the estimate is tight or the budget is out; see `_round`."""
    rounds: list[NDArray[np.float64]] = []
    end = time.perf_counter() + options.budget_seconds
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
        rounds.append(_time_round(opener, alone=options.threads == 1))
        if len(rounds) >= FEWEST_ROUNDS and estimate_latency(_medians(rounds))[1] <= options.target_cv:
            break
    return rounds


def _medians(rounds: Sequence[NDArray[np.float64]]) -> list[float]:
    return [float(np.median(times[0])) for times in rounds]


def _time_round(opener: _runtimes.Opener, alone: bool) -> NDArray[np.float64]:
    """Open the model and time its runs for some milliseconds, in bursts where they are short.

    Gives milliseconds (2, runs): first without the time for which the system gave the core to another
    process, which is known only where the model runs in this thread `alone`; then with it.
    """
    run = opener()
    time.sleep(PAUSE_SECONDS)
    clock, own_clock = time.perf_counter_ns, time.thread_time_ns

    def timed(count: int) -> tuple[float, float]:
        begin, own_begin = clock(), own_clock()
        for _ in range(count):
            run()
        own, whole = own_clock() - own_begin, clock() - begin
        scale = 1 / count / 1e6
        return (min(own, whole) if alone else whole) * scale, whole * scale

    first = timed(1)
    if first[0] >= 1e3 * ROUND_SECONDS:
        return np.array([first]).T
    burst = 1 if first[0] >= BURST_MS else max(1, round(BURST_MS / timed(3)[0]))
    times: list[tuple[float, float]] = []
    end = clock() + ROUND_SECONDS * 1e9
    while not times or clock() < end:
        times.append(timed(burst))
    return np.array(times).T
