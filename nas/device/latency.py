"""Measure the latency of a model file so that a second measurement of the same file agrees.

A measurement is a series of short rounds. Each round loads the file again, because the memory layout changes
the time by a few percent; sleeps briefly, so that the scheduler then lets the process run undisturbed; and
times runs for some milliseconds, excluding the time for which another process had the core. Any other
disturbance makes a round slower, never faster, so the latency is the lower quartile of the rounds' medians.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from nas.architecture import Architecture
from nas.backends import PRECISIONS, Precision, litert_bytes
from nas.device.arena import arena_bytes
from nas.device.machine import measurement_lock, processor_name
from nas.device.runtimes import ModelLoader, litert_loader, onnx_loader, require_onnxruntime
from nas.errors import InputError, nearest
from nas.files import temporary_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Device",
    "Latency",
    "LatencyOptions",
    "Runtime",
    "architecture_content",
    "local_device",
    "measure_architecture",
    "measure_contents",
    "measure_file",
]

Runtime = Literal["litert", "onnx"]
RUNTIME_PACKAGES: dict[Runtime, str] = {"litert": "ai-edge-litert", "onnx": "onnxruntime"}
ROUND_SECONDS = 0.02  # timing per round
BURST_MS = 0.25  # shorter runs are timed several at once
PAUSE_SECONDS = 0.002  # before a round: the scheduler runs a process that slept at once, and for longer
MIN_ROUNDS = 3  # even if the budget is used up
MIN_ROUNDS_TO_STOP = 8  # before the target noise can end a measurement
RESAMPLES = 200  # of the bootstrap


@dataclass(frozen=True)
class Device:
    """The conditions under which a latency holds."""

    processor: str
    cores: int
    threads: int
    runtime: str  # 'litert' or 'onnx'
    version: str  # of the runtime
    precision: str

    @property
    def fingerprint(self) -> str:
        """One line; latencies may be compared only if it is equal."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        runtime = f"{self.runtime} {self.version}"
        return f"{self.processor}, {self.cores} cores, {threads}, {runtime}, {self.precision}"

    @property
    def key(self) -> str:
        """A hash of the fingerprint for file names, 12 hexadecimal digits."""
        return hashlib.sha256(self.fingerprint.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Latency:
    """The time of one inference at batch 1, and the size of the model file."""

    p50_ms: float  # median of the runs, without the time that other processes took
    p95_ms: float  # 95th percentile of all runs, with that time
    cv: float  # noise of the estimate: standard error of p50_ms divided by p50_ms
    runs: int  # number of timed runs
    size_bytes: int  # of the file
    arena_bytes: int | None  # memory of activations, computed from a LiteRT file; None for ONNX
    device: Device


@dataclass(frozen=True)
class LatencyOptions:
    """How to measure a latency; raises InputError for an impossible value."""

    precision: Precision = "float32"
    threads: int = 1
    runtime: Runtime = "litert"
    budget_seconds: float = 1.0  # timing stops after this time
    target_cv: float = 0.005  # timing stops earlier when the noise of the estimate is at most this

    def __post_init__(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("runtime", get_args(Runtime))):
            if (value := getattr(self, name)) not in allowed:
                raise InputError(f"{name} must be known, got '{value}'; {nearest(value, allowed)}")
        if self.threads < 1:
            raise InputError(f"threads must be at least 1, got {self.threads}; use 1")
        if self.budget_seconds <= 0:
            raise InputError(f"budget_seconds must be over 0, got {self.budget_seconds}; use 1")
        if self.runtime == "onnx" and self.precision != "float32":
            raise InputError(f"runtime onnx measures precision float32, got {self.precision}; use float32")

    @classmethod
    def parse(cls, precision: str, threads: int = 1, runtime: str = "litert") -> LatencyOptions:
        """Create options from any strings, for example from a command line; raises InputError."""
        return cls(cast(Precision, precision), threads, cast(Runtime, runtime))


def local_device(options: LatencyOptions) -> Device:
    """Return the device that these options measure on this machine.

    Raises InputError where ONNX Runtime is needed but not installed.
    """
    if options.runtime == "onnx":
        require_onnxruntime()
    return Device(
        processor_name(),
        os.cpu_count() or 1,
        options.threads,
        options.runtime,
        version(RUNTIME_PACKAGES[options.runtime]),
        options.precision,
    )


def measure_file(path: Path | str, options: LatencyOptions | None = None) -> Latency:
    """Measure a `.tflite` or `.onnx` file on random input; the suffix determines the runtime.

    Raises InputError if the file cannot be read, ConversionError if the runtime cannot run it.
    """
    path = Path(path)
    runtimes: dict[str, Runtime] = {".tflite": "litert", ".onnx": "onnx"}
    if path.suffix not in runtimes:
        raise InputError(f"a model file must end in .tflite or .onnx, got '{path}'; export the network first")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"a model file must be readable, got '{path}': {error.strerror}") from None
    options = replace(options or LatencyOptions(), runtime=runtimes[path.suffix])
    return measure_contents([(content, options)])[0]


def measure_architecture(
    architecture: Architecture,
    options: LatencyOptions | None = None,
    calibration: NDArray[np.float32] | None = None,
) -> Latency:
    """Write an untrained network to a model file and measure it; the weights do not affect the latency.

    `calibration`: images (n, *input_shape) as the network reads them; only precision int8 needs them.
    Raises InputError for int8 without images, ConversionError with the reason if a runtime refuses the file.
    """
    options = options or LatencyOptions()
    return measure_contents([(architecture_content(architecture, options, calibration), options)])[0]


def architecture_content(
    architecture: Architecture,
    options: LatencyOptions,
    calibration: NDArray[np.float32] | None,
    weights: Sequence[np.ndarray] | None = None,
) -> bytes:
    """Return the content of the file that an export would write; with random weights if they are None."""
    if options.runtime == "litert" and options.precision != "int8" and weights is None:
        return litert_bytes(architecture, None, options.precision)
    if options.precision == "int8" and calibration is None:
        raise InputError(
            "precision int8 must be calibrated on images, got none; give a data set, or use dynamic_int8"
        )
    with temporary_folder() as folder:
        if options.runtime == "onnx":
            from nas.export import export_onnx

            require_onnxruntime()
            return Path(export_onnx(architecture, weights, folder / "network.onnx")).read_bytes()
        from nas.export import LitertOptions, export_litert

        target = folder / "network.tflite"
        export_litert(architecture, weights, target, LitertOptions(options.precision, calibration))
        return target.read_bytes()


def measure_contents(files: Sequence[tuple[bytes, LatencyOptions]]) -> list[Latency]:
    """Measure the contents of model files, in turn, so that a slow second of the machine concerns all alike.

    Only one process of a user measures at a time.
    """
    loaders = [
        (litert_loader if options.runtime == "litert" else onnx_loader)(content, options.threads)
        for content, options in files
    ]
    with measurement_lock():
        rounds = _time_rounds(loaders, [options for _, options in files])
    return [_latency(*file, times) for file, times in zip(files, rounds, strict=True)]


def _latency(content: bytes, options: LatencyOptions, rounds: Sequence[NDArray[np.float64]]) -> Latency:
    p50_ms, cv = estimate_latency(_medians(rounds))
    with_interruptions = np.concatenate([times[1] for times in rounds])
    return Latency(
        p50_ms=p50_ms,
        p95_ms=max(p50_ms, float(np.percentile(with_interruptions, 95))),
        cv=cv,
        runs=with_interruptions.size,
        size_bytes=len(content),
        arena_bytes=arena_bytes(content) if options.runtime == "litert" else None,
        device=local_device(options),
    )


def estimate_latency(medians: Sequence[float]) -> tuple[float, float]:
    """Return the lower quartile of the rounds' medians and its relative standard error.

    The standard error is half the width of the central 68 % interval of bootstrapped quartiles.
    """
    values = np.asarray(medians)
    quartile = float(np.percentile(values, 25))
    resampled = np.random.default_rng(0).choice(values, (RESAMPLES, values.size))
    low, high = np.percentile(np.percentile(resampled, 25, axis=1), (16, 84))
    return quartile, float((high - low) / 2 / quartile)


def _time_rounds(
    loaders: Sequence[ModelLoader], options: Sequence[LatencyOptions]
) -> list[list[NDArray[np.float64]]]:
    """Time rounds of each model in turn until all estimates are precise enough or used up their budgets.

    See `_time_round`.
    """
    rounds: list[list[NDArray[np.float64]]] = [[] for _ in loaders]
    seconds = [0.0] * len(loaders)
    has_ended = [False] * len(loaders)
    while not all(has_ended):
        for index, (load, option) in enumerate(zip(loaders, options, strict=True)):
            started = time.perf_counter()
            rounds[index].append(_time_round(load, single_thread=option.threads == 1))
            seconds[index] += time.perf_counter() - started
            has_ended[index] = _is_enough(rounds[index], seconds[index], option)
    return rounds


def _is_enough(rounds: Sequence[NDArray[np.float64]], seconds: float, options: LatencyOptions) -> bool:
    if len(rounds) >= MIN_ROUNDS and seconds >= options.budget_seconds:
        return True
    return len(rounds) >= MIN_ROUNDS_TO_STOP and estimate_latency(_medians(rounds))[1] <= options.target_cv


def _medians(rounds: Sequence[NDArray[np.float64]]) -> list[float]:
    return [float(np.median(times[0])) for times in rounds]


def _time_round(load: ModelLoader, single_thread: bool) -> NDArray[np.float64]:
    """Load the model and time its runs for some milliseconds, several at once where they are short.

    Returns milliseconds (2, runs): row 0 without the time for which another process had the core, row 1 with
    it. Only the CPU time of this thread is known, so the rows are equal unless the model runs on one thread.
    """
    run = load()
    time.sleep(PAUSE_SECONDS)
    wall_clock, cpu_clock = time.perf_counter_ns, time.thread_time_ns

    def timed(count: int) -> tuple[float, float]:
        wall_begin, cpu_begin = wall_clock(), cpu_clock()
        for _ in range(count):
            run()
        cpu, wall = cpu_clock() - cpu_begin, wall_clock() - wall_begin
        scale = 1 / count / 1e6
        return (min(cpu, wall) if single_thread else wall) * scale, wall * scale

    first = timed(1)
    if first[0] >= 1e3 * ROUND_SECONDS:
        return np.array([first]).T
    burst = 1 if first[0] >= BURST_MS else max(1, round(BURST_MS / timed(3)[0]))
    times: list[tuple[float, float]] = []
    end = wall_clock() + ROUND_SECONDS * 1e9
    while not times or wall_clock() < end:
        times.append(timed(burst))
    return np.array(times).T
