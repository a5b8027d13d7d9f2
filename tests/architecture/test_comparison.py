"""Comparing parts with the layers of a network."""

import numpy as np
import pytest
from grammar import random_architecture

from nas.architecture import Architecture, builds_layers

DATA = {"input_shape": [8, 8, 3], "classes": 4, "stem": {"width": 4}}
NETWORK = Architecture.from_dict({**DATA, "stages": [{"width": 8, "convs": 2, "normalization": "between"}]})


def test_random_networks_build_their_own_layers():
    rng = np.random.default_rng(3)
    for _ in range(100):
        architecture = random_architecture(rng)
        assert builds_layers(architecture, architecture.layers), architecture.to_yaml()
        assert builds_layers(architecture.canonical(), architecture.layers), architecture.to_yaml()


def test_names_of_layers_and_biases_without_an_effect_are_ignored():
    stages = [{"width": 8, "convs": 1, "bias": False, "normalization": "between"}] * 2
    assert builds_layers(Architecture.from_dict({**DATA, "stages": stages}), NETWORK.layers)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 5},
        {"rescale": False},
        {"stem": None},
        {"head": None},
        {"stages": [{"width": 8, "convs": 2}]},
        {"stages": [{"width": 8, "convs": 3, "normalization": "between"}]},
        {"stages": [{"width": 8, "convs": 1, "normalization": "between"}]},
    ],
)
def test_other_networks_do_not_build_the_layers(change):
    other = Architecture.from_dict({**NETWORK.to_dict(), **change})
    assert not builds_layers(other, NETWORK.layers)
    assert not builds_layers(NETWORK, other.layers)


def test_fewer_layers_are_a_difference():
    assert not builds_layers(NETWORK, NETWORK.layers[:-1])
    assert not builds_layers(NETWORK, (*NETWORK.layers, NETWORK.layers[-1]))
