"""Screening a candidate before training: counted, predicted and measured costs, and their limits."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import simulated_latency

from nas.architecture import BIASED_KINDS, network_cost
from nas.errors import ConversionError, LimitError
from nas.searching.screening import Screen
from nas.space import SearchSpace, sample
from nas.trials import OBJECTIVES, Limit

ACCURACY_AND_PARAMS = tuple(OBJECTIVES[name] for name in ("accuracy", "params"))
WITH_LATENCY = (*ACCURACY_AND_PARAMS, OBJECTIVES["latency"])


class SimulatedMeter:
    """A meter whose predictions are up to 20 % from the latencies of a known rule, and say so."""

    def predict(self, architecture):
        wrong = 0.8 + 0.4 * (network_cost(architecture).params % 7) / 6
        predicted = wrong * simulated_latency.latency_ms(architecture)
        return {"latency_ms": predicted, "size_bytes": 4.0 * network_cost(architecture).params}, 0.25

    def measure(self, architecture):
        params = network_cost(architecture).params
        return {"latency_ms": simulated_latency.latency_ms(architecture), "size_bytes": 4.0 * params + 1000}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("xception_like").bind((16, 16, 1), 10)


@pytest.fixture(scope="module")
def settings(space):
    rng = np.random.default_rng(3)
    return [sample(space.open_values, rng) for _ in range(40)]


def test_a_prediction_rejects_only_candidates_that_are_certainly_over_a_limit(space, settings):
    latencies = [simulated_latency.latency_ms(space.design(setting).architecture) for setting in settings]
    limit = Limit("latency_ms", float(np.median(latencies)))
    screen = Screen(space, WITH_LATENCY, (limit,), SimulatedMeter())
    assert screen.must_measure
    results = {"predicted": 0, "measured": 0, "": 0}
    for setting, latency in zip(settings, latencies, strict=True):
        screened = screen.screen(setting)
        if screened.reason:
            assert "latency_ms" in screened.reason
            assert latency > limit.maximum
            results["predicted"] += 1
            continue
        measured = screen.measure(screened)
        assert measured.values["latency_ms"] == latency
        assert bool(measured.reason) == (latency > limit.maximum)
        results["measured" if measured.reason else ""] += 1
    assert min(results.values()) > 0


def test_a_latency_that_no_network_reaches_is_refused_with_the_least_possible(space):
    screen = Screen(space, WITH_LATENCY, (Limit("latency_ms", 1e-7),), SimulatedMeter())
    with pytest.raises(
        LimitError, match=r"latency_ms must be at most 1e-07, but the least value in the space"
    ):
        screen.check_limits()


def test_a_network_that_the_runtime_refuses_fails(space, settings):
    class RefusingMeter(SimulatedMeter):
        def measure(self, architecture):
            raise ConversionError("LiteRT must be able to run the file, but: no such operator")

    screen = Screen(space, WITH_LATENCY, (), RefusingMeter())
    screened = screen.measure(screen.screen(settings[0]))
    assert screened.failed
    assert "no such operator" in screened.reason


def test_a_candidate_is_described_by_the_layers_and_paths_of_its_network(space, settings):
    screen = Screen(space, ACCURACY_AND_PARAMS, ())
    has_joins = []
    for setting in settings[:20]:
        layers = space.design(setting).architecture.layers
        features = screen.describe(setting).features
        assert features.get("conv", 0) == sum(layer.kind == "conv" for layer in layers)
        weighted = sum(layer.kind in BIASED_KINDS for layer in layers)
        has_joins.append(any(len(layer.inputs) > 1 for layer in layers))
        assert (features["paths"] > log(2)) == has_joins[-1]
        assert features["shortest_path"] <= features["longest_path"] <= weighted
        assert has_joins[-1] or features["shortest_path"] == weighted
    assert {*has_joins} == {True, False}


def test_no_file_is_measured_unless_an_objective_or_a_limit_needs_it(space, settings):
    screen = Screen(space, ACCURACY_AND_PARAMS, (), SimulatedMeter())
    assert not screen.must_measure
    screened = screen.screen(settings[0])
    assert screen.measure(screened) is screened
    assert "latency_ms" not in screened.values
