"""Predictions of latency and file size, on a simulated device and, once, on this one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import simulated_latency

from nas.architecture import network_cost
from nas.device import FileCostMeter, LatencyOptions, file_costs
from nas.device.latency import local_device
from nas.device.latency_model import LatencyModel, cache_folder, default_path
from nas.errors import ConversionError
from nas.space import SearchSpace, sample


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("xception_like").bind((16, 16, 1), 10)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def simulated_device(monkeypatch):
    monkeypatch.setattr(file_costs, "measure_architecture", simulated_latency.measure_architecture)


def architectures(space: SearchSpace, count: int, seed: int):
    rng = np.random.default_rng(seed)
    return [space.design(sample(space.open_values, rng)).architecture for _ in range(count)]


@pytest.mark.usefixtures("simulated_device")
def test_predictions_are_close_to_measurements(space):
    messages: list[str] = []
    meter = FileCostMeter(space, LatencyOptions(), progress=messages.append)
    assert messages == ["measuring 16 networks to learn how fast this device is ..."]
    ratios, size_ratios = [], []
    for architecture in architectures(space, 12, seed=5):
        predicted, error = meter.predict(architecture)
        assert 0 <= error <= 1
        measured = meter.measure(architecture)
        ratios.append(predicted["latency_ms"] / measured["latency_ms"])
        size_ratios.append(predicted["size_bytes"] / measured["size_bytes"])
        assert meter.predict(architecture) == (measured, 0.0)
    assert 0.8 < np.median(ratios) < 1.25
    assert np.ptp(np.log(size_ratios)) < 1.0
    assert 0.8 < np.median(size_ratios) < 1.25


@pytest.mark.usefixtures("simulated_device")
def test_the_latencies_of_the_first_networks_are_kept_while_the_device_is_as_fast(space, monkeypatch):
    messages: list[str] = []
    probe = architectures(space, 1, seed=3)[0]
    first = FileCostMeter(space, LatencyOptions(), progress=messages.append).predict(probe)
    second = FileCostMeter(space, LatencyOptions(), progress=messages.append).predict(probe)
    assert messages[1:] == ["using the latencies of 16 networks that were measured on this device before"]
    assert second == first
    FileCostMeter(space, LatencyOptions("float16"), progress=messages.append)
    assert messages[2:] == ["measuring 16 networks to learn how fast this device is ..."]

    def measure_twice_as_slow(*arguments: object) -> object:
        measured = simulated_latency.measure_architecture(*arguments)
        return replace(measured, p50_ms=2 * measured.p50_ms)

    monkeypatch.setattr(file_costs, "measure_architecture", measure_twice_as_slow)
    slow = FileCostMeter(space, LatencyOptions(), progress=messages.append).predict(probe)
    assert messages[3:] == ["measuring 14 networks to learn how fast this device is ..."]
    assert slow[0]["latency_ms"] == pytest.approx(2 * first[0]["latency_ms"], rel=0.01)


@pytest.mark.usefixtures("simulated_device")
@pytest.mark.parametrize("content", ["", "{}", '{"nas": "0.0", "networks": {}}', '{"networks": 1}', "[1]"])
def test_kept_latencies_that_are_damaged_or_of_another_version_are_measured_again(space, content):
    messages: list[str] = []
    FileCostMeter(space, LatencyOptions())
    (path,) = cache_folder().glob("networks-*.json")
    path.write_text(content)
    FileCostMeter(space, LatencyOptions(), progress=messages.append)
    assert messages == ["measuring 16 networks to learn how fast this device is ..."]


@pytest.mark.usefixtures("simulated_device")
def test_the_latency_model_is_refitted_as_measurements_arrive(space):
    meter = FileCostMeter(space, LatencyOptions())
    probes = architectures(space, 20, seed=6)
    before = [meter.predict(probe)[1] for probe in probes]
    for architecture in architectures(space, 2 * file_costs.REFIT_INTERVAL, seed=7):
        meter.measure(architecture)
    assert np.median([meter.predict(probe)[1] for probe in probes]) < np.median(before)


def test_predictions_start_from_the_saved_calibration(space):
    model = LatencyModel(local_device(LatencyOptions()))
    for architecture in architectures(space, 12, seed=1):
        model.add(architecture, 1e-5 * network_cost(architecture).flops + 0.001)
    model.fit()
    model.save(default_path(model.device))
    meter = FileCostMeter(space, LatencyOptions(), progress=lambda text: pytest.fail(text))
    (architecture,) = architectures(space, 1, seed=9)
    predicted, error = meter.predict(architecture)
    assert (predicted["latency_ms"], error) == model.predict(architecture)


def test_without_a_model_latency_is_proportional_to_flops(space, monkeypatch):
    def refuse(*_: object) -> None:
        raise ConversionError("LiteRT must be able to run the file, but: no such operator")

    monkeypatch.setattr(file_costs, "measure_architecture", refuse)
    meter = FileCostMeter(space, LatencyOptions())
    (architecture,) = architectures(space, 1, seed=9)
    counted = network_cost(architecture)
    assert meter.predict(architecture) == (
        {"latency_ms": 1e-6 * counted.flops, "size_bytes": 4.0 * counted.params}, 1.0,
    )  # fmt: skip
    with pytest.raises(ConversionError, match="no such operator"):
        meter.measure(architecture)


def test_this_device_is_measured(space, monkeypatch):
    monkeypatch.setattr(file_costs, "INITIAL_NETWORKS", 2)
    options = LatencyOptions("float16", budget_seconds=0.05)
    meter = FileCostMeter(space, options)
    assert meter.device == local_device(options).fingerprint
    (architecture,) = architectures(space, 1, seed=2)
    measured = meter.measure(architecture)
    assert set(measured) == {"latency_ms", "latency_p95_ms", "latency_cv", "size_bytes"}
    assert 0 < measured["latency_ms"] <= measured["latency_p95_ms"]
    assert meter.measure(architecture) is measured
