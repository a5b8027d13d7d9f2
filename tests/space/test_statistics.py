"""The estimates of distinct architectures and of extreme costs, compared with enumeration."""

import pytest

from nas.architecture import network_cost, read_yaml
from nas.space import SearchSpace, count_distinct, find_extreme, statistics

SPACES = {
    "per stage": """
stages: {count: {range: [1, 3, 1]}, width: {choice: [4, 8]}, growth: {choice: [1, 2]}}
block:
  shrink: {choice: [none, max_pool, strided], per: stage}
  pool_size: {choice: [2, 3]}
  residual: {choice: [none, identity, projection]}
  normalization: {choice: [none, between]}
  bias: {choice: [true, false]}
""",
    "shared, small maps": """
stem: {width: 8, stride: {choice: [1, 2]}}
stages: {count: {choice: [2, 5]}, width: 8, growth: {choice: [1, 1.5, 2]}}
block:
  conv: {choice: [standard, separable, depthwise_pointwise]}
  depth_multiplier: {choice: [1, 2]}
  shrink: {choice: [max_pool, average_pool, strided]}
  pool_size: {choice: [2, 3]}
  groups: {choice: [1, 2]}
  residual: {choice: [none, identity]}
head: {pooling: {choice: [global_average, flatten]}}
""",
    "decoder": """
task: segmentation
stages: {count: {choice: [1, 2]}, width: {choice: [4, 6, 8]}, growth: {choice: [1, 2]}}
block:
  shrink: {choice: [none, strided, max_pool], per: stage}
  kernel_size: {choice: [1, 3]}
  dilation: {choice: [1, 2]}
decoder:
  upsample: {choice: [transposed, interpolated]}
  conv: {choice: [standard, separable]}
  skip: {choice: [none, add, concat]}
""",
}


def space_of(text, shape=(8, 8, 3)):
    space = SearchSpace(read_yaml(text, "it"))
    return space.bind(shape, 5, space.data.get("task", "classification"))


@pytest.fixture(scope="module", params=SPACES.values(), ids=SPACES.keys())
def space(request):
    """Return a space that builds each design once."""
    space = space_of(request.param)
    designs, design = {}, space.design

    def cached_design(setting):
        key = tuple(setting.items())
        if key not in designs:
            designs[key] = design(setting)
        return designs[key]

    space.design = cached_design
    return space


def test_the_estimated_number_is_near_the_exact_number(space, monkeypatch):
    assert 1_000 < space.settings_count() <= statistics.MAX_ENUMERATED
    exact, is_exact = count_distinct(space)
    assert is_exact
    assert exact < space.settings_count()
    monkeypatch.setattr(statistics, "MAX_ENUMERATED", 0)
    estimate, is_exact = count_distinct(space, samples=300)
    assert not is_exact
    assert estimate == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("name", ["params", "flops", "peak_bytes"])
@pytest.mark.parametrize("greatest", [False, True])
def test_coordinate_descent_finds_the_exact_extreme(space, name, greatest, monkeypatch):
    costs = {}

    def cost(design):
        if design.architecture.id not in costs:
            costs[design.architecture.id] = getattr(network_cost(design.architecture), name)
        return costs[design.architecture.id]

    setting, exact = find_extreme(space, cost, greatest)
    assert cost(space.design(setting)) == exact
    monkeypatch.setattr(statistics, "MAX_ENUMERATED", 0)
    setting, descended = find_extreme(space, cost, greatest)
    assert cost(space.design(setting)) == descended == exact


def test_a_file_without_open_values_is_a_space_of_one_design():
    space = space_of("stages: [{width: 8}]")
    assert space.open_values == ()
    assert space.settings_count() == 1
    assert list(space.settings()) == [{}]
    assert count_distinct(space) == (1, True)
    assert space.find_setting(space.design({})) == {}


def test_training_values_do_not_count_as_distinct_architectures():
    text = "stages: [{width: 8}]\ntraining: {learning_rate: {choice: [0.001, 0.002]}}"
    assert count_distinct(space_of(text)) == (1, True)
