"""The canonical form: the same text for the same network, another text for another network."""

import numpy as np
import pytest
from grammar import random_architecture, random_file, rewritten

from nas.architecture import Architecture, read_yaml

INPUT = {"input_shape": [16, 16, 3], "classes": 10}


def read(**values):
    return Architecture.from_dict({**INPUT, **values})


def test_the_canonical_form_builds_the_same_network_and_survives_yaml():
    rng = np.random.default_rng(0)
    for _ in range(100):
        architecture = random_architecture(rng)
        text = architecture.to_yaml()
        again = Architecture.from_dict(read_yaml(text, "the architecture"))
        assert again.id == architecture.id, text
        assert again.to_yaml() == text


def test_two_networks_have_equal_yaml_exactly_if_they_have_equal_ids():
    rng = np.random.default_rng(1)
    equal = 0
    for _ in range(30):
        data = random_file(rng)
        one = Architecture.from_dict(data)
        text = one.to_yaml()
        for _ in range(6):
            other_data = rewritten(rng, data)
            other = Architecture.from_dict(other_data)
            assert (other.id == one.id) == (other.to_yaml() == text), (data, other_data)
            equal += other.id == one.id and other_data != data
    assert equal > 10  # otherwise the test does not cover equal networks


CONV = {"width": 8}

SAME = {
    "one stage of two blocks, or of two convolutions": (
        {"stages": [{"width": 8, "blocks": 2}]},
        {"stages": [{"width": 8, "convs": 2}]},
    ),
    "two stages, or one": ({"stages": [CONV, CONV]}, {"stages": [{"width": 8, "convs": 2}]}),
    "a stem, or the first convolution of a stage": (
        {"stem": CONV, "stages": [{"width": 8, "shrink": "max_pool"}]},
        {"stages": [{"width": 8, "convs": 2, "shrink": "max_pool"}]},
    ),
    "a strided stem, or a strided stage": (
        {"stem": {"width": 8, "stride": 2}, "stages": [{"width": 12}]},
        {"stages": [{"width": 8, "shrink": "strided"}, {"width": 12}]},
    ),
    "pooling after the first block": (
        {"stages": [{"width": 8, "blocks": 3, "shrink": "max_pool"}]},
        {"stages": [{"width": 8, "shrink": "max_pool"}, {"width": 8, "convs": 2}]},
    ),
    "an identity between different shapes": (
        {"stages": [{"width": 8, "residual": "identity"}]},
        {"stages": [{"width": 8, "residual": "none"}]},
    ),
    "a projection where shapes are equal": (
        {"stem": CONV, "stages": [{"width": 8, "convs": 2, "residual": "projection"}]},
        {"stem": CONV, "stages": [{"width": 8, "convs": 2, "residual": "identity"}]},
    ),
    "blocks, the first of which changes the width": (
        {"stages": [{"width": 8, "convs": 2, "residual": "identity", "blocks": 3}]},
        {"stages": [{"width": 8, "convs": 2}, {"width": 8, "convs": 2, "residual": "identity", "blocks": 2}]},
    ),
    "a bias before batch normalization": (
        {"stages": [{"width": 8, "normalization": "between", "bias": True}]},
        {"stages": [{"width": 8, "normalization": "between", "bias": False}]},
    ),
    "a bias before the next stage's normalization": (
        {"stages": [{"width": 8, "activation": "none"}, {"width": 8, "normalization": "before"}]},
        {
            "stages": [
                {"width": 8, "activation": "none", "bias": False},
                {"width": 8, "normalization": "before"},
            ]
        },
    ),
    "normalization between two convolutions, as a value of either": (
        {"stages": [{"width": 8, "normalization": "between"}, {"width": 8, "activation": "none"}]},
        {"stages": [{"width": 8, "activation": "none"}, {"width": 8, "normalization": "before"}]},
    ),
    "groups that do not divide the channels": (
        {"stages": [{"width": 8, "groups": 4}]},
        {"stages": [{"width": 8, "groups": 1}]},
    ),
    "squeeze-and-excitation of the same inner width": (
        {"stages": [{"width": 8, "squeeze_excitation": 0.25}]},
        {"stages": [{"width": 8, "squeeze_excitation": 0.24}]},
    ),
    "padding without an effect": (
        {"stages": [{"width": 8, "kernel_size": 1, "shrink": "max_pool", "padding": "valid"}]},
        {"stages": [{"width": 8, "kernel_size": 1, "shrink": "max_pool", "padding": "same"}]},
    ),
    "a window that is larger than a map of 2 pixels": (
        {"input_shape": [2, 2, 3], "stages": [{"width": 8, "shrink": "max_pool", "pool_size": 3}]},
        {"input_shape": [2, 2, 3], "stages": [{"width": 8, "shrink": "max_pool", "pool_size": 2}]},
    ),
    "a map of one pixel, which cannot shrink": (
        {"input_shape": [1, 1, 3], "stages": [{"width": 8, "shrink": "strided"}]},
        {"input_shape": [1, 1, 3], "stages": [{"width": 8, "shrink": "none"}]},
    ),
    "a map of one pixel, pooled or flattened": (
        {"input_shape": [1, 1, 3], "head": {"pooling": "flatten"}},
        {"input_shape": [1, 1, 3], "head": {"pooling": "global_max"}},
    ),
    "a dense layer of 0 units": ({"head": {"dense": [0, 8]}}, {"head": {"dense": 8}}),
    "a decoder with its defaults": (
        {"task": "segmentation", "stages": [{"width": 8, "shrink": "strided"}], "decoder": {}},
        {"task": "segmentation", "stages": [{"width": 8, "shrink": "strided"}]},
    ),
    "one dropout, the decoder's or the head's": (
        {"task": "segmentation", "stages": [{"width": 8, "shrink": "strided"}], "decoder": {"dropout": 0.5}},
        {"task": "segmentation", "stages": [{"width": 8, "shrink": "strided"}], "head": {"dropout": 0.5}},
    ),
    "no head and different numbers of classes": ({"head": None, "classes": 3}, {"head": None, "classes": 2}),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_two_files_of_the_same_network_are_equal(pair):
    one, other = (read(**values) for values in pair)
    assert one.id == other.id
    assert one == other
    assert hash(one) == hash(other)
    assert one.to_yaml() == other.to_yaml()
    assert one.canonical().id == one.id


DIFFERENT = {
    "pooling before or after a convolution": (
        {"stages": [{"width": 8, "shrink": "max_pool"}, CONV]},
        {"stages": [CONV, {"width": 8, "shrink": "max_pool"}]},
    ),
    "dropout in the middle": (
        {"stages": [{"width": 8, "dropout": 0.1}, CONV]},
        {"stages": [CONV, {"width": 8, "dropout": 0.1}]},
    ),
    "binary, or two classes": (
        {"task": "binary", "classes": 2, "stages": [CONV]},
        {"classes": 2, "stages": [CONV]},
    ),
    "classes, or several labels": ({"stages": [CONV]}, {"task": "multi_label", "stages": [CONV]}),
    "numbers, or a map of features": (
        {"task": "regression", "classes": 8, "stages": [CONV]},
        {"task": "regression", "head": None, "stages": [CONV]},
    ),
    "one number or two": (
        {"task": "regression", "classes": 1, "stages": [CONV]},
        {"task": "regression", "classes": 2, "stages": [CONV]},
    ),
    "one block of four convolutions, or two blocks of two": (
        {"stem": CONV, "stages": [{"width": 8, "convs": 4, "residual": "identity"}]},
        {"stem": CONV, "stages": [{"width": 8, "convs": 2, "blocks": 2, "residual": "identity"}]},
    ),
    "rescaled or not": ({"rescale": True}, {"rescale": False}),
    "no head, or a head": ({"head": None}, {}),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_files_of_different_networks_are_not_equal(pair):
    one, other = (read(**values) for values in pair)
    assert one != other
    assert one.to_yaml() != other.to_yaml()
