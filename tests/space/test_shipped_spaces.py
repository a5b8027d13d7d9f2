"""The spaces and the networks that ship."""

import re
from math import prod

import numpy as np
import pytest

from nas.architecture import Architecture, Design, network_cost
from nas.backends import build_model
from nas.space import SearchSpace, sample, shipped_files

PARAMETERS = {  # all, trainable
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

HOME = {
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
"""The space of which each network is a point."""

IN_KERAS = 4
"""How many of a space's samples are built in Keras."""

SPACES = (
    "encoder_decoder",
    "mnist_cnn",
    "mobilenet_like",
    "residual",
    "separable_small",
    "vgg_like",
    "xception_like",
)


def bound(name):
    space = SearchSpace.load(name)
    if name == "encoder_decoder":
        return space.bind((32, 24, 3), 11, "segmentation")
    return space.bind((16, 16, 1), 10)


def closed(name):
    return Design.from_dict(SearchSpace.load(shipped_files("models")[name]).data)


def equals_keras(architecture):
    model = build_model(architecture)
    counted = network_cost(architecture)
    trainable = sum(prod(weight.shape) for weight in model.trainable_weights)
    return (counted.params, counted.trainable_params) == (model.count_params(), trainable)


def test_what_ships():
    assert tuple(shipped_files()) == SPACES
    assert set(shipped_files("models")) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_the_literature(name):
    architecture = closed(name).architecture
    counted = network_cost(architecture)
    assert (counted.params, counted.trainable_params) == PARAMETERS[name]
    assert equals_keras(architecture)
    assert Architecture.from_yaml(architecture.to_yaml()) == architecture
    assert f"{PARAMETERS[name][0]:,}" in shipped_files("models")[name].read_text()


def test_the_separable_layer_against_a_standard_one():
    data = SearchSpace.load(shipped_files("models")["depthwise_separable_layer"]).data
    standard = {**data, "stages": [{"width": 64, "padding": "valid"}]}
    assert network_cost(Architecture.from_dict(standard)).params == 1_792


@pytest.mark.parametrize("name", HOME)
def test_each_network_is_a_point_of_a_space(name):
    design = closed(name)
    network = design.architecture
    data = dict(SearchSpace.load(HOME[name]).data)
    if network.head is None:  # a layer alone: a network of the space begins with it
        design = Design.from_dict(
            {**SearchSpace.load(shipped_files("models")[name]).data, "head": {}, "classes": 10}
        )
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
def test_every_sample_has_a_cost_and_survives_yaml(name):
    space = bound(name)
    rng = np.random.default_rng(0)
    ids = set()
    for number in range(200):
        setting = sample(space.open_values, rng)
        architecture = space.design(setting).architecture
        counted = network_cost(architecture)
        assert 0 < counted.trainable_params <= counted.params
        assert min(counted.flops, counted.peak_bytes) > 0
        text = architecture.to_yaml()
        again = Architecture.from_yaml(text)
        assert again == architecture
        assert again.to_yaml() == text
        ids.add(architecture.id)
        if number < IN_KERAS:
            assert equals_keras(architecture), text
        if number < 10:
            assert space.design(space.find_setting(space.design(setting))).architecture == architecture
    assert len(ids) > 150


@pytest.mark.parametrize("name", SPACES)
def test_the_opening_comment_says_what_it_is(name):
    text = shipped_files()[name].read_text()
    opening = text[: text.index("name:")].replace("\n# ", " ")
    assert "Source: " in opening
    said = re.search(r"Size: ([\d,]+) settings", opening)
    assert said is not None
    assert int(said[1].replace(",", "")) == bound(name).settings_count()


def test_the_default_space_stays_light_on_digits():
    space = bound("xception_like")
    rng = np.random.default_rng(0)
    costs = [network_cost(space.design(sample(space.open_values, rng)).architecture) for _ in range(400)]
    assert np.quantile([found.params for found in costs], 0.95) < 1_000_000
    assert np.quantile([found.flops for found in costs], 0.95) < 50_000_000
