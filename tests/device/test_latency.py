"""Measuring latency: real files for what a measurement reports, a simulated clock for how it takes the time.

No test compares times of this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.backends import litert_bytes
from nas.device import LatencyOptions
from nas.device import latency as latency_module
from nas.device.arena import arena_bytes
from nas.device.latency import (
    Device,
    _time_round,
    _time_rounds,
    estimate_latency,
    local_device,
    measure_architecture,
    measure_file,
)
from nas.device.runtimes import litert_loader
from nas.errors import ConversionError, InputError

ROOT = Path(__file__).parents[2]
NETWORK = Architecture.from_dict(
    {
        "input_shape": [32, 32, 3],
        "classes": 10,
        "stem": {"width": 24, "kernel_size": 5, "normalization": "between"},
        "block": {"residual": "projection", "normalization": "before", "shrink": "max_pool"},
        "stages": [{"width": 16, "conv": "separable"}, {"width": 24, "activation": "silu"}],
    }
)
SEQUENCE = Architecture.from_dict({"input_shape": [64, 3], "classes": 5, "stages": [{"width": 8}]})


def test_measures_an_architecture():
    options = LatencyOptions(budget_seconds=0.5)
    latency = measure_architecture(NETWORK, options)
    assert 0 < latency.p50_ms <= latency.p95_ms
    assert latency.cv >= 0
    assert latency.runs >= 3
    assert latency.size_bytes == len(litert_bytes(NETWORK))
    assert latency.arena_bytes == arena_bytes(litert_bytes(NETWORK))
    assert latency.device == local_device(options)


def test_precision_and_threads_apply_to_the_file_and_the_device():
    single = measure_architecture(NETWORK, LatencyOptions(budget_seconds=0.3))
    half = measure_architecture(NETWORK, LatencyOptions("float16", threads=2, budget_seconds=0.3))
    assert half.size_bytes < 0.8 * single.size_bytes
    assert (half.device.precision, half.device.threads) == ("float16", 2)
    assert half.device.fingerprint != single.device.fingerprint
    assert half.device.key != single.device.key


def test_every_part_of_a_device_is_in_its_fingerprint():
    device = Device("Some CPU", 4, 1, "litert", "2.0", "float32")
    others = [
        Device("Other CPU", 4, 1, "litert", "2.0", "float32"),
        Device("Some CPU", 8, 1, "litert", "2.0", "float32"),
        Device("Some CPU", 4, 2, "litert", "2.0", "float32"),
        Device("Some CPU", 4, 1, "onnx", "2.0", "float32"),
        Device("Some CPU", 4, 1, "litert", "2.1", "float32"),
        Device("Some CPU", 4, 1, "litert", "2.0", "int8"),
    ]
    assert len({device.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_measures_a_file_of_either_runtime(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    lite = tmp_path / "network.tflite"
    lite.write_bytes(litert_bytes(SEQUENCE))
    latency = measure_file(lite, LatencyOptions(budget_seconds=0.3))
    assert (latency.device.runtime, latency.size_bytes) == ("litert", lite.stat().st_size)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "network",
        [onnx.helper.make_tensor_value_info("x", kind, ["batch", 3])],
        [onnx.helper.make_tensor_value_info("y", kind, ["batch", 3])],
    )
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    other = tmp_path / "network.onnx"
    other.write_bytes(model.SerializeToString())
    latency = measure_file(other, LatencyOptions(budget_seconds=0.3))
    assert (latency.device.runtime, latency.arena_bytes) == ("onnx", None)
    assert 0 < latency.p50_ms <= latency.p95_ms


class SimulatedClock:
    """Stands in for the module `time`; every run of a model takes `cpu_ms`, each third also `other_ms`.

    During `other_ms` another process has the core.
    """

    def __init__(self, cpu_ms: float, other_ms: float = 0.0) -> None:
        self.cpu_ms, self.other_ms = cpu_ms, other_ms
        self.cpu_ns = self.wall_ns = self.runs = self.loads = 0

    def load(self):
        self.loads += 1
        return self.run

    def run(self) -> None:
        self.runs += 1
        self.cpu_ns += round(1e6 * self.cpu_ms)
        self.wall_ns += round(1e6 * (self.cpu_ms + (self.other_ms if self.runs % 3 == 0 else 0.0)))

    def perf_counter_ns(self) -> int:
        return self.wall_ns

    def thread_time_ns(self) -> int:
        return self.cpu_ns

    def perf_counter(self) -> float:
        return self.wall_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.wall_ns += round(1e9 * seconds)


@pytest.fixture
def simulated(monkeypatch):
    def make(cpu_ms: float, other_ms: float = 0.0) -> SimulatedClock:
        clock = SimulatedClock(cpu_ms, other_ms)
        monkeypatch.setattr(latency_module, "time", clock)
        monkeypatch.setattr(latency_module, "litert_loader", lambda content, threads: clock.load)
        return clock

    return make


def test_latency_is_the_time_of_one_run(simulated):
    clock = simulated(3.5)
    latency = measure_architecture(SEQUENCE)
    assert (latency.p50_ms, latency.p95_ms, latency.cv) == (3.5, 3.5, 0.0)
    assert latency.runs == clock.runs - clock.loads  # the first run of a round only sets its burst


def test_time_of_another_process_is_excluded_from_the_median_only(simulated):
    simulated(1.0, other_ms=4.0)
    latency = measure_architecture(SEQUENCE)
    assert (latency.p50_ms, latency.p95_ms) == (1.0, 5.0)


def test_with_several_threads_all_time_counts(simulated):
    clock = simulated(1.0, other_ms=4.0)
    without, with_other = _time_round(clock.load, single_thread=False)
    np.testing.assert_array_equal(without, with_other)
    assert set(with_other) == {1.0, 5.0}


def test_short_runs_are_timed_several_at_once_and_reported_per_run(simulated):
    clock = simulated(0.01)
    times = _time_round(clock.load, single_thread=True)
    assert times.shape[1] < clock.runs / 20
    np.testing.assert_allclose(times, 0.01)


def test_a_long_run_is_timed_once_per_round(simulated):
    clock = simulated(30.0)
    assert _time_round(clock.load, single_thread=True).tolist() == [[30.0], [30.0]]
    assert (clock.loads, clock.runs) == (1, 1)


def test_rounds_end_with_the_target_noise_or_the_budget(simulated):
    clock = simulated(1.0)
    assert len(_time_rounds([clock.load], [LatencyOptions()])[0]) == clock.loads == 8  # no noise
    clock = simulated(30.0)
    assert len(_time_rounds([clock.load], [LatencyOptions(budget_seconds=1e-6)])[0]) == 3
    clock = simulated(30.0)
    assert len(_time_rounds([clock.load], [LatencyOptions(budget_seconds=0.16)])[0]) == 5


def test_several_models_are_timed_in_turn_until_all_are_precise(simulated):
    order: list[str] = []
    clock = simulated(1.0)

    def loader(name: str):
        def load():
            order.append(name)
            return clock.run

        return load

    noisy = LatencyOptions(budget_seconds=0.4, target_cv=-1.0)  # ends with its budget
    first, second = _time_rounds([loader("first"), loader("second")], [LatencyOptions(), noisy])
    assert order == ["first", "second"] * len(first)
    assert len(first) == len(second) > 8


def test_disturbed_rounds_do_not_change_the_estimate():
    estimate, noise = estimate_latency([1.0, 1.0, 1.0, 1.0, 1.0, 7.0, 9.0, 30.0])
    assert estimate == 1.0
    assert 0 <= noise < 0.2
    assert estimate_latency([1.0] * 8) == (1.0, 0.0)
    assert estimate_latency([1.0, 1.4, 1.8, 2.2])[1] > estimate_latency([1.0, 1.01, 1.02, 1.03])[1] > 0


def test_a_file_that_cannot_run_is_a_conversion_error(tmp_path):
    for suffix in (".tflite", ".onnx"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"no model" * 50)
        with pytest.raises(ConversionError, match="must be able to run the file, but: "):
            measure_file(broken)


def test_impossible_measurements_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.tflite or \.onnx, got 'a\.h5'"):
        measure_file("a.h5")
    with pytest.raises(InputError, match=r"must be readable, got .*No such file"):
        measure_file(tmp_path / "none.tflite")
    with pytest.raises(InputError, match="int8 must be calibrated on images, got none; give"):
        measure_architecture(NETWORK, LatencyOptions("int8"))
    with pytest.raises(InputError, match="precision must be known, got 'int4'; did you mean 'int8'"):
        LatencyOptions("int4")
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        LatencyOptions(threads=0)
    with pytest.raises(InputError, match="runtime onnx measures precision float32, got int8"):
        LatencyOptions("int8", runtime="onnx")


def test_a_missing_onnx_runtime_is_an_error_with_the_fix(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "network.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"pip install 'nas\[onnx\]'"):
        measure_file(tmp_path / "network.onnx")


HOLD_LOCK = """
from nas.device.machine import measurement_lock
with measurement_lock():
    print("locked", flush=True)
    input()
"""


def test_a_measurement_waits_for_the_lock_of_another_process_until_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    loaded = threading.Event()
    timing = threading.Event()

    def load_litert(content, threads):
        loaded.set()
        return litert_loader(content, threads)

    def time_rounds(loaders, options):
        timing.set()
        return _time_rounds(loaders, options)

    monkeypatch.setattr(latency_module, "litert_loader", load_litert)
    monkeypatch.setattr(latency_module, "_time_rounds", time_rounds)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        options = LatencyOptions(budget_seconds=0.05)
        waiting = threading.Thread(target=measure_architecture, args=(SEQUENCE, options))
        waiting.start()
        assert loaded.wait(60)  # the lock is the next step
        assert not timing.wait(0.5)
        os.kill(holder.pid, signal.SIGKILL)
        assert timing.wait(60)
        waiting.join()
    finally:
        holder.kill()
        holder.communicate()


MEASURE = """
import sys
from nas.architecture import Architecture
from nas.device.latency import LatencyOptions, measure_architecture
network = Architecture.from_dict({"input_shape": [8, 8, 3], "classes": 2, "stages": [{"width": 4}]})
assert measure_architecture(network, LatencyOptions(budget_seconds=0.05)).runs >= 3
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_measuring_loads_no_tensorflow_and_prints_nothing():
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
