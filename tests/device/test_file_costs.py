"""What is expected of a network's file, and what it measures; and how a screen uses both."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from nas.architecture import BIASED_KINDS
from nas.device import FileCostMeter, LatencyOptions, local_device
from nas.device.latency_model import LatencyModel, default_path
from nas.device.file_costs import STARTING_NETWORKS
from nas.errors import ConversionError, LimitError
from nas.searching import counted_costs
from nas.searching.screening import Screen
from nas.space import SearchSpace, sample
from nas.trials import OBJECTIVES, Limit

GOALS = tuple(OBJECTIVES[name] for name in ("accuracy", "params", "latency"))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("xception_like").bind((16, 16, 1), 10)


@pytest.fixture(scope="module")
def meter(space, tmp_path_factory) -> FileCostMeter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        said: list[str] = []
        made = FileCostMeter(space, LatencyOptions(budget_seconds=0.2), progress=said.append)
    assert said == [f"measuring {STARTING_NETWORKS} networks to learn how fast this device is ..."]
    return made


def settings(space: SearchSpace, count: int, seed: int):
    rng = np.random.default_rng(seed)
    return [sample(space.open_values, rng) for _ in range(count)]


def test_expected_latency_and_size_come_near_the_measured(space, meter):
    ratios, sizes = [], []
    for setting in settings(space, 12, seed=5):
        architecture = space.design(setting).architecture
        expected, error = meter.predict(architecture)
        assert 0 <= error <= 1
        measured = meter.measure(architecture)
        ratios.append(expected["latency_ms"] / measured["latency_ms"])
        sizes.append(expected["size_bytes"] / measured["size_bytes"])
        assert meter.predict(architecture) == (measured, 0.0)
    assert 0.5 < np.median(ratios) < 2
    assert np.ptp(np.log(sizes)) < 1.0
    assert 0.8 < np.median(sizes) < 1.25


def test_a_saved_calibration_is_used(space, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    device = local_device(LatencyOptions())
    model = LatencyModel(device)
    for setting in settings(space, 12, seed=1):
        architecture = space.design(setting).architecture
        model.add(architecture, 1e-6 * counted_costs(architecture)["flops"] + 0.001)
    model.save(default_path(device))
    made = FileCostMeter(space, LatencyOptions(), progress=lambda text: pytest.fail(text))
    architecture = space.design(settings(space, 1, seed=9)[0]).architecture
    assert made.predict(architecture)[0]["latency_ms"] > 0


def test_the_screen_refuses_by_expectation_only_what_is_surely_over(space, meter):
    limit = Limit("latency_ms", 0.01)
    screen = Screen(space, GOALS, (limit,), meter)
    reasons = {"expected": 0, "measured": 0, "": 0}
    for setting in settings(space, 25, seed=3):
        screened = screen.screen(setting)
        if screened.reason:
            assert screened.reason.startswith("expected to be latency_ms")
            reasons["expected"] += 1
            continue
        measured = screen.measure(screened)
        assert bool(measured.reason) == (measured.values["latency_ms"] > limit.maximum)
        reasons["measured" if measured.reason else ""] += 1
    assert reasons["expected"] > 0
    assert reasons[""] > 0


def test_a_latency_that_nothing_can_reach_is_said_with_the_least(space, meter):
    screen = Screen(space, GOALS, (Limit("latency_ms", 1e-7),), meter)
    with pytest.raises(LimitError, match=r"latency_ms must be at most 1e-07, but the least in the space"):
        screen.check_limits()


def test_a_network_that_a_runtime_refuses_is_an_outcome(space):
    class Refusing:
        def predict(self, architecture):
            return {"latency_ms": 1.0, "size_bytes": 1.0}, 0.1

        def measure(self, architecture):
            raise ConversionError("LiteRT must be able to run the file, but: no such operator")

    screen = Screen(space, GOALS, (), Refusing())
    screened = screen.measure(screen.screen(settings(space, 1, seed=0)[0]))
    assert screened.failed
    assert "no such operator" in screened.reason


def test_a_candidate_is_described_by_the_layers_and_paths_of_its_network(space):
    screen = Screen(space, GOALS[:2], ())
    joined = []
    for setting in settings(space, 20, seed=2):
        layers = space.design(setting).architecture.layers
        features = screen.describe(setting).features
        assert features.get("conv", 0) == sum(layer.kind == "conv" for layer in layers)
        weighted = sum(layer.kind in BIASED_KINDS for layer in layers)
        joined.append(any(len(layer.inputs) > 1 for layer in layers))
        assert (features["paths"] > log(2)) == joined[-1]
        assert features["shortest_path"] <= features["longest_path"] <= weighted
        assert joined[-1] or features["shortest_path"] == weighted
    assert {*joined} == {True, False}


def test_nothing_is_measured_where_nobody_asks(space, meter):
    screen = Screen(space, GOALS[:2], (), meter)
    assert not screen.must_measure
    screened = screen.screen(settings(space, 1, seed=0)[0])
    assert screen.measure(screened) is screened
    assert "latency_ms" not in screened.values
