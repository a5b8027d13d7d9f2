"""The latency model, on a simulated device whose latencies follow a known rule."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from scipy.stats import spearmanr
from simulated_latency import latency_ms, measure_architecture

from nas.architecture import Architecture, network_cost
from nas.backends import litert_bytes, lower_to_operators
from nas.device import LatencyOptions, latency_model
from nas.device.latency import Device, local_device
from nas.device.latency_model import LatencyModel, calibrate_latency_model, default_path, sample_across_costs
from nas.errors import ConversionError, InputError
from nas.space import SearchSpace

DEVICE = Device("Some CPU", 4, 1, "litert", "2.0", "float32")

KINDS = {
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


def model_of(networks, latency=latency_ms, **options) -> LatencyModel:
    model = LatencyModel(DEVICE)
    for network in networks:
        model.add(network, latency(network), **options)
    model.fit()
    return model


@pytest.fixture(scope="module")
def fitted(networks):
    return model_of(networks[:60])


def test_it_predicts_networks_that_it_was_not_fitted_to(networks, fitted):
    predicted = np.array([fitted.predict(network) for network in networks[60:]])
    true = np.array([latency_ms(network) for network in networks[60:]])
    errors = np.abs(predicted[:, 0] / true - 1)
    assert np.mean(errors < 0.1) >= 0.9
    assert spearmanr(predicted[:, 0], true)[0] > 0.97
    assert np.mean(errors <= predicted[:, 1]) >= 0.85  # the error covers the truth ...
    assert np.median(predicted[:, 1]) < 0.2  # ... and is small


def test_a_disturbed_measurement_has_little_influence(networks, fitted):
    disturbed = networks[7]
    refitted = model_of(
        networks[:60], lambda network: latency_ms(network) * (20 if network == disturbed else 1)
    )
    before = np.array([fitted.predict(network)[0] for network in networks[60:]])
    after = np.array([refitted.predict(network)[0] for network in networks[60:]])
    assert np.median(np.abs(after / before - 1)) < 0.03


def test_more_measurements_make_the_error_smaller(networks, fitted):
    few = model_of(networks[:15])
    errors = [np.median([model.predict(n)[1] for n in networks[60:]]) for model in (few, fitted)]
    assert errors[1] < errors[0]


def test_the_error_is_large_for_an_operator_that_was_never_measured(fitted):
    unknown = Architecture.from_dict(
        {"input_shape": [32, 32, 3], "classes": 10, "stages": [{"width": 8, "activation": "gelu"}]}
    )
    assert fitted.predict(unknown)[1] >= 1.0


def test_a_saved_and_loaded_model_predicts_the_same(networks, fitted, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = fitted.save()
    assert path == default_path(DEVICE) == tmp_path / "nas" / f"latency-{DEVICE.key}.json"
    loaded = LatencyModel.load(path)
    assert (loaded.device, len(loaded), loaded.is_fitted) == (DEVICE, 60, True)
    for network in networks[60:70]:
        assert loaded.predict(network) == pytest.approx(fitted.predict(network))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"device": {"cores": 1}, "measured": []})])
def test_a_file_that_is_not_a_model_is_refused(tmp_path, text):
    path = tmp_path / "latency.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"must be a file that 'nas calibrate' wrote, got .*calibrate again"):
        LatencyModel.load(path)


def test_too_few_measurements_are_refused(networks):
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
        for name, kinds in KINDS.items():
            assert run[name] == sum(found[kind] for kind in kinds), (name, network.to_dict())
        assert run["MUL"] + run["ADD"] == found["affine"] + found["multiply"] + found["add"]
        assert set(run) <= {*KINDS, "MUL", "ADD"}


def test_calibration_measures_networks_and_fits_a_model_that_ranks_others(networks, monkeypatch):
    monkeypatch.setattr(latency_model, "measure_architecture", measure_architecture)
    space = SearchSpace.load("xception_like").bind((32, 32, 3), 10)
    options = LatencyOptions("float16")
    progress = []
    model = calibrate_latency_model(space, 25, options, lambda done, count: progress.append((done, count)))
    assert progress == [(done, 25) for done in range(1, 26)]
    assert len(model) == 25
    assert model.device == local_device(options)
    predicted = [model.predict(network)[0] for network in networks[60:]]
    assert spearmanr(predicted, [latency_ms(network) for network in networks[60:]])[0] > 0.95


def test_calibration_leaves_out_networks_that_the_runtime_refuses(monkeypatch):
    space = SearchSpace.load("xception_like").bind((32, 32, 3), 10)
    measured = []

    def refuse_every_third(architecture, *arguments):
        measured.append(architecture)
        if len(measured) % 3 == 0:
            raise ConversionError("LiteRT must be able to run the file, but: no such operator")
        return measure_architecture(architecture, *arguments)

    monkeypatch.setattr(latency_model, "measure_architecture", refuse_every_third)
    progress = []
    model = calibrate_latency_model(space, 15, progress=lambda done, count: progress.append(done))
    assert (len(measured), len(model)) == (15, 10)
    assert progress == list(range(1, 16))


def test_calibration_measures_this_device():
    space = SearchSpace.load("xception_like").bind((8, 8, 3), 10)
    options = LatencyOptions(budget_seconds=0.05)
    model = calibrate_latency_model(space, 10, options)
    assert (len(model), model.is_fitted, model.device) == (10, True, local_device(options))


def test_samples_are_distinct_and_span_the_range_of_costs(networks):
    flops = [network_cost(network).flops for network in networks]
    assert len({network.id for network in networks}) == len(networks) == 120
    assert max(flops) > 50 * min(flops)
