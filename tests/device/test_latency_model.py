"""The latency model, on latencies made by a known rule and on networks that are really measured."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.architecture import Architecture
from nas.backends import litert_bytes, lower_to_operators
from nas.device import LatencyOptions, local_device
from nas.device.latency import Device, measure_architecture
from nas.device.latency_model import LatencyModel, calibrate_latency_model, default_path, sample_across_costs
from nas.errors import InputError
from nas.space import SearchSpace

DEVICE = Device("Some CPU", 4, 1, "litert", "2.0", "float32")

RUNS_AS = {
    "CONV_2D": ("conv", "pointwise"),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "MAX_POOL_2D": ("max_pool",),
    "AVERAGE_POOL_2D": ("average_pool",),
    "MEAN": ("global_average",),
    "REDUCE_MAX": ("global_max",),
    "FULLY_CONNECTED": ("dense",),
    "SOFTMAX": ("softmax",),
    "LOGISTIC": ("sigmoid",),
}


@pytest.fixture(scope="module")
def networks():
    space = SearchSpace.load("xception_like").bind((32, 32, 3), 10)
    return sample_across_costs(space, 120, np.random.default_rng(1))


def rule(architecture: Architecture) -> float:
    """A device: so many microseconds for each operator, by its kind, its sizes and its tiles of channels."""
    speed = {"depthwise": 4.0, "conv": 60.0, "pointwise": 40.0}
    microseconds = 1.0
    for operator in lower_to_operators(architecture.layers):
        tiles = -(-operator.outputs // 16) * 16
        work = operator.pixels * operator.inputs * operator.window * tiles
        warm = 1 + 0.3 * np.exp(-operator.pixels / 64)  # small maps are slower than their share
        microseconds += 0.1 + warm * work / (1e3 * speed.get(operator.kind, 0.8))
    return microseconds / 1e3


def model_of(networks, latency=rule, **options) -> LatencyModel:
    model = LatencyModel(DEVICE)
    for network in networks:
        model.add(network, latency(network), **options)
    model.fit()
    return model


@pytest.fixture(scope="module")
def fitted(networks):
    return model_of(networks[:60])


def test_expects_networks_it_has_not_seen(networks, fitted):
    expected = np.array([fitted.predict(network) for network in networks[60:]])
    true = np.array([rule(network) for network in networks[60:]])
    errors = np.abs(expected[:, 0] / true - 1)
    assert np.mean(errors < 0.1) >= 0.9
    assert spearmanr(expected[:, 0], true)[0] > 0.97
    assert np.mean(errors <= expected[:, 1]) >= 0.85  # the margin is honest ...
    assert np.median(expected[:, 1]) < 0.2  # ... and of use


def test_a_measurement_that_was_disturbed_moves_little(networks, fitted):
    disturbed = networks[7]
    moved = model_of(networks[:60], lambda network: rule(network) * (20 if network == disturbed else 1))
    before = np.array([fitted.predict(network)[0] for network in networks[60:]])
    after = np.array([moved.predict(network)[0] for network in networks[60:]])
    assert np.median(np.abs(after / before - 1)) < 0.03


def test_more_measurements_make_the_error_smaller(networks, fitted):
    few = model_of(networks[:15])
    margins = [np.median([model.predict(n)[1] for n in networks[60:]]) for model in (few, fitted)]
    assert margins[1] < margins[0]


def test_an_operator_never_measured_is_said_by_the_error(fitted):
    strange = Architecture.from_dict(
        {"input_shape": [32, 32, 3], "classes": 10, "stages": [{"width": 8, "activation": "gelu"}]}
    )
    assert fitted.predict(strange)[1] >= 1.0


def test_saved_and_loaded_it_expects_the_same(networks, fitted, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = fitted.save()
    assert path == default_path(DEVICE) == tmp_path / "nas" / f"latency-{DEVICE.key}.json"
    loaded = LatencyModel.load(path)
    assert (loaded.device, len(loaded), loaded.ready) == (DEVICE, 60, True)
    for network in networks[60:70]:
        assert loaded.predict(network) == pytest.approx(fitted.predict(network))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"device": {"cores": 1}, "measured": []})])
def test_a_file_that_is_no_model_is_refused(tmp_path, text):
    path = tmp_path / "latency.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"must be a file that 'nas calibrate' wrote, got .*calibrate again"):
        LatencyModel.load(path)


def test_too_little_to_learn_from_is_refused(networks):
    model = LatencyModel(DEVICE)
    with pytest.raises(InputError, match="must be fitted before it predicts"):
        model.predict(networks[0])
    model.add(networks[0], 1.0)
    with pytest.raises(InputError, match="needs 10 measured networks or more, got 1"):
        model.fit()
    with pytest.raises(InputError, match=r"latency_ms must be over 0, got 0\.0"):
        model.add(networks[0], 0.0)
    with pytest.raises(InputError, match="needs at least 10 networks, got 3"):
        calibrate_latency_model(SearchSpace.load("xception_like").bind((32, 32, 3), 10), 3)


def test_operators_are_those_of_the_file(networks):
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    for network in networks[:30]:
        model = schema.ModelT.InitFromPackedBuf(litert_bytes(network), 0)
        codes = [names[code.builtinCode] for code in model.operatorCodes]
        run = Counter(codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators)
        found = Counter(operator.kind for operator in lower_to_operators(network.layers))
        for name, kinds in RUNS_AS.items():
            assert run[name] == sum(found[kind] for kind in kinds), (name, network.to_dict())
        assert run["MUL"] + run["ADD"] == found["affine"] + found["multiply"] + found["add"]
        assert set(run) <= {*RUNS_AS, "MUL", "ADD"}


def test_calibration_ranks_networks_that_it_then_measures(networks):
    space = SearchSpace.load("xception_like").bind((32, 32, 3), 10)
    options = LatencyOptions(budget_seconds=0.2)
    seen = []
    model = calibrate_latency_model(space, 25, options, lambda done, count: seen.append((done, count)))
    assert seen == [(done, 25) for done in range(1, 26)]
    assert model.device == local_device(options)
    chosen = networks[:12]
    measured = [measure_architecture(network, options).p50_ms for network in chosen]
    assert spearmanr([model.predict(network)[0] for network in chosen], measured)[0] > 0.8


def test_spread_goes_from_cheap_to_dear(networks):
    from nas.architecture import network_cost

    flops = [network_cost(network).flops for network in networks]
    assert len({network.id for network in networks}) == len(networks) == 120
    assert max(flops) > 50 * min(flops)
