"""A drawing has every block of a network and all of its costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nas.architecture import network_cost
from nas.report import draw_network
from nas.space import SearchSpace, complete_setting, sample


@pytest.mark.parametrize(
    "name", ["xception_like", "vgg_like", "residual", "mobilenet_like", "encoder_decoder"]
)
def test_the_boxes_are_the_blocks_and_the_stages_add_up(name):
    task = "segmentation" if name == "encoder_decoder" else "classification"
    space = SearchSpace.load(name).bind((32, 32, 3), 10, task)
    rng = np.random.default_rng(0)
    for _ in range(30):
        architecture = space.design(sample(space.open_values, rng)).architecture
        drawn = draw_network(architecture)
        costs = network_cost(architecture)
        assert sum(stage["params"] for stage in drawn["stages"]) == costs.params
        assert sum(stage["flops"] for stage in drawn["stages"]) == costs.flops
        boxes = drawn["boxes"]
        blocks = [box for box in boxes if box["stage"].startswith("stage")]
        assert len(blocks) == sum(stage.blocks for stage in architecture.stages)
        assert [box["convs"] for box in blocks] == [
            s.convs for s in architecture.stages for _ in range(s.blocks)
        ]
        assert boxes[0]["stage"] == "input"
        assert boxes[0]["shape"] == [32, 32, 3]
        assert boxes[-1]["stage"] == "head"
        adds = sum(layer.kind == "add" and "decoder" not in layer.name for layer in architecture.layers)
        assert sum("residual" in box["marks"] for box in boxes) == adds
        halved = [box for box in boxes if {"pool", "stride"} & set(box["marks"])]
        sides = [box["shape"][0] for box in boxes if len(box["shape"]) == 3 and box["stage"][:3] != "dec"]
        if task == "classification":
            assert len(halved) == sum(a != b for a, b in itertools.pairwise(sides))


def test_the_dropout_of_a_stage_is_no_box():
    space = SearchSpace.load("mnist_cnn").bind((28, 28, 1), 10)
    setting = {"stages.count": 1, "block.dropout": 0.25}
    architecture = space.design(complete_setting(space.open_values, setting)).architecture
    assert any(layer.name == "stage1_dropout" for layer in architecture.layers)
    assert [box["stage"] for box in draw_network(architecture)["boxes"]] == ["input", "stage1", "head"]
