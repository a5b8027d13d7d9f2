"""Sampling, mutating and counting settings, and completing them."""

import numpy as np
import pytest
from example_spaces import MAPPING, TEXTS, space_of

from nas.space import complete_setting, count_settings, is_active, mutate, sample
from nas.space.open_values import sample_uniformly


@pytest.fixture(params=TEXTS.values(), ids=TEXTS.keys())
def space(request):
    return space_of(request.param)


def test_the_number_of_settings_equals_the_number_of_iterated_settings(space):
    count = 0
    seen = set()
    for setting in space.settings():
        count += 1
        if count <= 2000:
            seen.add(tuple(setting.items()))
            assert list(setting) == [v.name for v in space.open_values if is_active(v, setting)]
    assert space.settings_count() == count == count_settings(space.open_values)
    assert len(seen) == min(count, 2000)


def test_samples_and_mutations_are_settings_of_the_space(space):
    rng = np.random.default_rng(0)
    for _ in range(100):
        setting = sample(space.open_values, rng)
        changed = mutate(space.open_values, setting, rng)
        uniform = sample_uniformly(space.open_values, rng)
        for drawn in (setting, changed, uniform):
            assert list(drawn) == [v.name for v in space.open_values if is_active(v, drawn)]
            assert all(drawn[v.name] in v.choices for v in space.open_values if v.name in drawn)
        first = next(iter(setting))
        if setting[first] == changed[first]:  # else the number of stages changed
            assert sum(setting[name] != changed[name] for name in setting) == 1


def test_uniform_samples_draw_each_setting_with_the_same_probability():
    space = space_of("stages: {count: {choice: [1, 2]}, width: {choice: [4, 5, 6], per: stage}}")
    rng = np.random.default_rng(0)
    two_stages = [sample_uniformly(space.open_values, rng)["stages.count"] == 2 for _ in range(4000)]
    assert np.mean(two_stages) == pytest.approx(9 / 12, abs=0.03)
    assert np.mean([sample(space.open_values, rng)["stages.count"] == 2 for _ in range(4000)]) < 0.6


def test_completion_adds_first_choices_and_removes_inactive_values():
    values = space_of(MAPPING).open_values
    first = complete_setting(values, {})
    assert first["stages.count"] == 1
    assert all(first[value.name] == value.choices[0] for value in values if is_active(value, first))
    setting = {"stages.count": 2, "block.conv.2": "separable", "block.conv.3": "separable"}
    completed = complete_setting(values, setting)
    assert completed["block.conv.2"] == "separable"
    assert "block.conv.3" not in completed
    assert list(completed) == [value.name for value in values if is_active(value, completed)]
