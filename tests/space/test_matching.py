"""Finding the setting that builds a design."""

import numpy as np
import pytest
from example_spaces import MAPPING, TEXTS, space_of

from nas.architecture import Design, Training
from nas.space import is_active, sample


@pytest.fixture(params=TEXTS.values(), ids=TEXTS.keys())
def space(request):
    return space_of(request.param)


def test_the_setting_of_a_sample_is_found(space):
    rng = np.random.default_rng(0)
    for _ in range(40):
        design = space.design(sample(space.open_values, rng))
        canonical = Design(architecture=design.architecture.canonical(), training=design.training)
        for written in (design, canonical):
            setting = space.find_setting(written)
            assert setting is not None
            assert list(setting) == [v.name for v in space.open_values if is_active(v, setting)]
            assert space.design(setting).key == design.key


@pytest.mark.parametrize(
    "change",
    [
        {"stem": None},
        {"head": {"dense": [6, 4]}},
        {"head": None},
        {"classes": 5},
        {"block": {"activation": "silu"}},
        {"rescale": False},
        {"stages": {"count": 4, "width": 4}, "block": {}},
        {"stages": {"count": 1, "width": 7}, "block": {}},
    ],
)
def test_a_design_outside_the_space_has_no_setting(change):
    space = space_of(MAPPING)
    data = space.close(sample(space.open_values, np.random.default_rng(1)))
    assert space.find_setting(Design.from_dict(data)) is not None
    assert space.find_setting(Design.from_dict({**data, **change})) is None


def test_training_values_take_the_nearest_choice():
    space = space_of(MAPPING)
    design = space.design(sample(space.open_values, np.random.default_rng(1)))
    other = Design(
        architecture=design.architecture, training=Training(learning_rate=0.3, optimizer="rmsprop")
    )
    setting = space.find_setting(other)
    assert setting["training.learning_rate"] == 0.01
    assert setting["training.optimizer"] == "adam"
