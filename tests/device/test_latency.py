"""Latency: measured for real, alone on the machine, and refused with a reason where it cannot be."""

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
from nas.device import LatencyOptions, local_device
from nas.device.arena import arena_bytes
from nas.device.latency import Device, _time_round, estimate_latency, measure_architecture, measure_file
from nas.device.runtimes import litert
from nas.errors import ConversionError, InputError

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


def test_a_heavier_network_takes_longer():
    def network(width):
        return Architecture.from_dict(
            {"input_shape": [32, 32, 3], "classes": 2, "stages": [{"width": width}] * 2}
        )

    options = LatencyOptions(budget_seconds=0.5)
    assert (
        measure_architecture(network(128), options).p50_ms
        > 3 * measure_architecture(network(8), options).p50_ms
    )


def test_precision_and_threads_reach_the_file_and_the_device():
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
    assert 0 < latency.p50_ms < 5


def test_time_that_another_process_had_is_not_the_networks():
    content = litert_bytes(NETWORK)
    code = "import os\nos.sched_setaffinity(0, {CORE})\nprint(flush=True)\nwhile True: pass"
    before = os.sched_getaffinity(0)
    core = min(before)
    alone = float(np.median(_time_round(litert(content, 1), alone=True)[0]))
    rivals = [
        subprocess.Popen([sys.executable, "-c", code.replace("CORE", str(core))], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for rival in rivals:
            rival.stdout.readline()
        os.sched_setaffinity(0, {core})
        rounds = [_time_round(litert(content, 1), alone=True) for _ in range(20)]
    finally:
        os.sched_setaffinity(0, before)
        for rival in rivals:
            rival.kill()
            rival.communicate()
    own, whole = np.concatenate(rounds, axis=1)
    assert np.all(own <= whole)
    assert whole.sum() > 1.2 * own.sum()  # the core was shared ...
    assert np.median(own) < 1.5 * alone  # ... and the figure is not


def test_disturbed_rounds_do_not_move_the_figure():
    figure, noise = estimate_latency([1.0, 1.0, 1.0, 1.0, 1.0, 7.0, 9.0, 30.0])
    assert figure == 1.0
    assert 0 <= noise < 0.2
    assert estimate_latency([1.0] * 8) == (1.0, 0.0)
    assert estimate_latency([1.0, 1.4, 1.8, 2.2])[1] > estimate_latency([1.0, 1.01, 1.02, 1.03])[1] > 0


def test_a_file_that_cannot_run_is_a_conversion_error(tmp_path):
    for suffix in (".tflite", ".onnx"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"no model" * 50)
        with pytest.raises(ConversionError, match="must be able to run the file, but: "):
            measure_file(broken)


def test_what_cannot_be_measured_is_refused(tmp_path):
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


def test_onnx_runtime_missing_is_said_with_the_fix(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "network.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"pip install 'nas\[onnx\]'"):
        measure_file(tmp_path / "network.onnx")


HOLD = """
from nas._machine import one_at_a_time
with one_at_a_time():
    print("held", flush=True)
    input()
"""


def test_one_measurement_at_a_time_even_when_a_holder_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        done = threading.Event()
        options = LatencyOptions(budget_seconds=0.05)
        waiting = threading.Thread(target=lambda: (measure_architecture(SEQUENCE, options), done.set()))
        waiting.start()
        assert not done.wait(1.0)
        os.kill(holder.pid, signal.SIGKILL)
        assert done.wait(60)
        waiting.join()
    finally:
        holder.kill()
        holder.communicate()


ALONE = """
import sys
from nas.architecture import Architecture
from nas.latency import LatencyOptions, measure
network = Architecture.from_dict({"input_shape": [8, 8, 3], "classes": 2, "stages": [{"width": 4}]})
assert measure(network, LatencyOptions(budget_seconds=0.05)).p50_ms > 0
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_measuring_needs_no_tensorflow_and_says_nothing():
    folder = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
