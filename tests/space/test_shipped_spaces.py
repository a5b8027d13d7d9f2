"""The shipped spaces and networks."""

import re
from math import prod

import numpy as np
import pytest

from nas.architecture import Architecture, Design, network_cost, read_yaml
from nas.backends import build_model
from nas.space import SearchSpace, sample, shipped_files

PARAMETERS = {  # number of parameters, number of trainable parameters
    "depthwise_separable_layer": (286, 286),
    "separable_small": (38_949, 38_949),
    "mnist_cnn": (431_242, 431_242),
    "mnist_separable_cnn": (414_899, 414_899),
    "vgg_small": (1_186_378, 1_186_378),
    "vgg_small_separable": (174_821, 174_821),
    "residual_small": (297_697, 297_697),
    "mini_xception": (721_857, 718_849),
    "segmentation_small": (2_880_643, 2_880_643),
}

SPACE_OF = {
    "depthwise_separable_layer": "separable_small",
    "separable_small": "separable_small",
    "mnist_cnn": "mnist_cnn",
    "mnist_separable_cnn": "mnist_cnn",
    "vgg_small": "vgg_like",
    "vgg_small_separable": "vgg_like",
    "residual_small": "residual",
    "mini_xception": "xception_like",
    "segmentation_small": "encoder_decoder",
}
"""The space that contains each shipped network."""

SPACES = (
    "encoder_decoder",
    "mnist_cnn",
    "mobilenet_like",
    "residual",
    "separable_small",
    "vgg_like",
    "xception_like",
)


def load_bound(name):
    space = SearchSpace.load(name)
    if name == "encoder_decoder":
        return space.bind((32, 24, 3), 11, "segmentation")
    return space.bind((16, 16, 1), 10)


def network_data(name):
    return SearchSpace.load(shipped_files("models")[name]).data


def load_design(name):
    return Design.from_dict(network_data(name))


def keras_parameters(architecture):
    model = build_model(architecture)
    return model.count_params(), sum(prod(weight.shape) for weight in model.trainable_weights)


def counted_parameters(architecture):
    cost = network_cost(architecture)
    return cost.params, cost.trainable_params


def test_the_shipped_files_are_these():
    assert tuple(shipped_files()) == SPACES
    assert set(shipped_files("models")) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_parameters_of_the_literature(name):
    architecture = load_design(name).architecture
    assert counted_parameters(architecture) == PARAMETERS[name]
    assert Architecture.from_dict(read_yaml(architecture.to_yaml(), "the architecture")) == architecture
    assert f"{PARAMETERS[name][0]:,}" in shipped_files("models")[name].read_text()


@pytest.mark.trains
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_networks_equal_keras(name):
    architecture = load_design(name).architecture
    assert counted_parameters(architecture) == keras_parameters(architecture)


@pytest.mark.trains
@pytest.mark.parametrize("name", SPACES)
def test_parameters_of_samples_equal_keras(name):
    space = load_bound(name)
    rng = np.random.default_rng(0)
    for _ in range(4):
        architecture = space.design(sample(space.open_values, rng)).architecture
        assert counted_parameters(architecture) == keras_parameters(architecture), architecture.to_yaml()


def test_a_standard_layer_has_the_parameters_in_the_comment_of_the_separable_layer():
    standard = {**network_data("depthwise_separable_layer"), "stages": [{"width": 64, "padding": "valid"}]}
    assert counted_parameters(Architecture.from_dict(standard)) == (1_792, 1_792)
    assert "1,792" in shipped_files("models")["depthwise_separable_layer"].read_text()


@pytest.mark.parametrize("name", SPACE_OF)
def test_each_network_is_a_point_of_a_space(name):
    design = load_design(name)
    network = design.architecture
    data = dict(SearchSpace.load(SPACE_OF[name]).data)
    if network.head is None:  # a single layer: networks of the space begin with it
        design = Design.from_dict({**network_data(name), "head": {}, "classes": 10})
        assert design.architecture.layers[: len(network.layers)] == network.layers
        network = design.architecture
    task = "segmentation" if network.task == "segmentation" else "classification"
    if network.task == "binary":
        data["task"] = "binary"
    space = SearchSpace(data).bind(network.input_shape, network.classes, task, network.rescale)
    setting = space.find_setting(design)
    assert setting is not None
    assert space.design(setting).architecture == network
    assert all(setting[value.name] in value.choices for value in space.open_values if value.name in setting)


@pytest.mark.parametrize("name", SPACES)
def test_samples_have_costs_and_survive_yaml(name):
    space = load_bound(name)
    rng = np.random.default_rng(0)
    ids = set()
    for _ in range(50):
        architecture = space.design(sample(space.open_values, rng)).architecture
        cost = network_cost(architecture)
        assert 0 < cost.trainable_params <= cost.params
        assert min(cost.flops, cost.peak_bytes) > 0
        text = architecture.to_yaml()
        again = Architecture.from_dict(read_yaml(text, "the architecture"))
        assert again == architecture
        assert again.to_yaml() == text
        ids.add(architecture.id)
    assert len(ids) > 40


@pytest.mark.parametrize("name", SPACES)
def test_the_settings_of_samples_are_found(name):
    space = load_bound(name)
    rng = np.random.default_rng(1)
    for _ in range(10):
        design = space.design(sample(space.open_values, rng))
        assert space.design(space.find_setting(design)).architecture == design.architecture


@pytest.mark.parametrize("name", SPACES)
def test_the_comment_of_a_space_states_its_source_and_its_number_of_settings(name):
    text = shipped_files()[name].read_text()
    comment = text[: text.index("name:")].replace("\n# ", " ")
    assert "Source: " in comment
    size = re.search(r"Size: ([\d,]+) settings", comment)
    assert size is not None
    assert int(size[1].replace(",", "")) == load_bound(name).settings_count()


def test_networks_of_the_default_space_are_small_on_digits():
    space = load_bound("xception_like")
    rng = np.random.default_rng(0)
    costs = [network_cost(space.design(sample(space.open_values, rng)).architecture) for _ in range(400)]
    assert np.quantile([cost.params for cost in costs], 0.95) < 1_000_000
    assert np.quantile([cost.flops for cost in costs], 0.95) < 50_000_000
