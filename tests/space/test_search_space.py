"""Spaces: open values, settings, binding, and the way back from a design to its setting."""

import numpy as np
import pytest

from nas.architecture import Design, Training, read_yaml
from nas.errors import SpaceError
from nas.space import SearchSpace, active, count_settings, mutate, sample, shipped
from nas.space.open_values import sample_evenly

MAPPING = """
stem: {width: {choice: [4, 8]}, stride: {choice: [1, 2]}}
stages: {count: {range: [1, 3, 1]}, width: 4, growth: {range: [1, 2, 0.5]}}
block:
  conv: {choice: [standard, separable], per: stage}
  convs: {choice: [1, 2]}
  residual: {choice: [none, identity, projection]}
  bias: {choice: [true, false]}
  shrink: {choice: [none, max_pool, strided], per: stage}
  groups: [1, 2, 2]
head: {dense: [{choice: [0, 6]}, 5], dropout: {choice: [0.0, 0.5]}}
training: {learning_rate: {choice: [0.001, 0.01]}, optimizer: {choice: [adam, sgd]}}
"""

LISTED = """
block: {normalization: {choice: [none, before, between]}, kernel_size: [1, 3]}
stages:
- {width: {choice: [8, 16]}, blocks: {choice: [1, 2]}}
- {width: {choice: [8, 16]}, convs: {choice: [1, 2]}, dropout: {choice: [0.0, 0.1]}}
head: {pooling: {choice: [flatten, global_max]}, dense: {choice: [0, 7]}}
"""

DECODER = """
task: segmentation
stages: {count: {choice: [1, 2, 3]}, width: 4, growth: {choice: [1, 2]}}
block: {shrink: {choice: [strided, max_pool, none], per: stage}, dropout: {choice: [0.0, 0.2]}}
decoder: {skip: {choice: [none, add, concat]}, upsample: {choice: [transposed, interpolated]}}
head: {kernel_size: {choice: [1, 3]}, dropout: {choice: [0.0, 0.2]}}
"""

TEXTS = {"mapping": MAPPING, "list": LISTED, "decoder": DECODER}


def space_of(text, shape=(8, 8, 3), classes=4):
    space = SearchSpace(read_yaml(text, "it"), "'it.yaml'")
    return space.bind(shape, classes, space.data.get("task", "classification"))


@pytest.fixture(params=TEXTS.values(), ids=TEXTS.keys())
def space(request):
    return space_of(request.param)


def test_open_values_are_named_by_their_place():
    named = {value.name: value for value in space_of(MAPPING).open_values}
    assert next(iter(named)) == "stages.count"
    assert named["stages.growth"].choices == (1.0, 1.5, 2.0)
    assert named["head.dense.1"].choices == (0, 6)
    assert named["block.conv.1"].when is None
    assert named["block.conv.3"].when == ("stages.count", frozenset({3}))
    assert named["block.convs"].ordered
    assert not named["block.bias"].ordered
    assert not named["block.conv.1"].ordered
    assert "stages.2.convs" in {value.name for value in space_of(LISTED).open_values}


def test_settings_are_counted_as_they_are_given(space):
    settings = 0
    seen = set()
    for setting in space.settings():
        settings += 1
        if settings <= 2000:
            seen.add(tuple(setting.items()))
            assert list(setting) == [v.name for v in space.open_values if active(v, setting)]
    assert space.settings_count() == settings == count_settings(space.open_values)
    assert len(seen) == min(settings, 2000)


def test_samples_and_their_changes_are_settings(space):
    rng = np.random.default_rng(0)
    for _ in range(100):
        setting = sample(space.open_values, rng)
        changed = mutate(space.open_values, setting, rng)
        even = sample_evenly(space.open_values, rng)
        for some in (setting, changed, even):
            assert list(some) == [v.name for v in space.open_values if active(v, some)]
            assert all(some[v.name] in v.choices for v in space.open_values if v.name in some)
        first = next(iter(setting))
        if setting[first] == changed[first]:  # the number of stages, which opens other values
            assert sum(setting[name] != changed[name] for name in setting) == 1


def test_even_samples_give_each_setting_the_same_chance():
    space = space_of("stages: {count: {choice: [1, 2]}, width: {choice: [4, 5, 6], per: stage}}")
    rng = np.random.default_rng(0)
    deep = [sample_evenly(space.open_values, rng)["stages.count"] == 2 for _ in range(4000)]
    assert np.mean(deep) == pytest.approx(9 / 12, abs=0.03)
    assert np.mean([sample(space.open_values, rng)["stages.count"] == 2 for _ in range(4000)]) < 0.6


def test_a_setting_closes_the_file():
    space = space_of(MAPPING)
    rng = np.random.default_rng(0)
    setting = sample(space.open_values, rng)
    setting = {**{v.name: v.choices[0] for v in space.open_values}, "stages.count": 2, "stages.growth": 1.5}
    setting |= {"block.conv.1": "separable", "block.shrink.2": "strided", "head.dense.1": 6}
    design = space.design({**setting, "training.learning_rate": 0.01})
    stages = design.architecture.stages
    assert [stage.width for stage in stages] == [4, 6]
    assert [stage.conv for stage in stages] == ["separable", "standard"]
    assert [stage.shrink for stage in stages] == ["none", "strided"]
    assert [stage.groups for stage in stages] == [1, 2]
    assert design.architecture.head.dense == (6, 5)
    assert design.training == Training(learning_rate=0.01)


def test_a_setting_must_be_whole():
    with pytest.raises(SpaceError, match=r"a setting needs a value for stages\.count"):
        space_of(MAPPING).design({})


def test_the_setting_of_a_design_is_found(space):
    rng = np.random.default_rng(0)
    for _ in range(40):
        design = space.design(sample(space.open_values, rng))
        canonical = Design(architecture=design.architecture.canonical(), training=design.training)
        for known in (design, canonical):
            setting = space.setting_of(known)
            assert setting is not None
            assert list(setting) == [v.name for v in space.open_values if active(v, setting)]
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
def test_no_setting_is_found_for_a_design_of_another_space(change):
    space = space_of(MAPPING)
    data = space.closed(sample(space.open_values, np.random.default_rng(1)))
    assert space.setting_of(Design.from_dict(data)) is not None
    assert space.setting_of(Design.from_dict({**data, **change})) is None


def test_training_values_are_matched_as_near_as_can_be():
    space = space_of(MAPPING)
    design = space.design(sample(space.open_values, np.random.default_rng(1)))
    other = Design(
        architecture=design.architecture, training=Training(learning_rate=0.3, optimizer="rmsprop")
    )
    setting = space.setting_of(other)
    assert setting["training.learning_rate"] == 0.01
    assert setting["training.optimizer"] == "adam"


def test_a_shipped_space_is_found_by_name_and_a_file_by_path(tmp_path):
    assert SearchSpace.load("xception_like").name == "xception_like"
    path = tmp_path / "mine.yaml"
    path.write_text(LISTED)
    assert SearchSpace.load(path).name == "mine"
    assert SearchSpace.load("vgg_small").open_values == ()
    assert "xception_like" in shipped()


B = "stages: {count: 2, width: 8}\n"

BAD = {
    "stages: {count: many, width: 8}": "stages.count must be a whole number, got 'many'",
    "stages: {count: {choice: [2, x]}, width: 8}": "stages.count must be a whole number, got 'x'",
    "stages: {count: {choice: [0, 1]}, width: 8}": "from 1 to 64, got 0",
    "stages: {cuont: 2, width: 8}": "did you mean 'count'?",
    "stages: 5": "stages must be a list, or a mapping",
    "stages: {width: {choice: [4, 5], per: stage}, growth: 2, count: 2}": "stages.growth needs one width",
    "stages: {width: 5000, growth: {choice: [1, 2]}, count: 2}": "at the choice 2 of stages.growth",
    "stages: {count: {choice: [1, 2], per: stage}, width: 8}": "per: stage is for values of block",
    "stages: [{width: {choice: [8, 9], per: stage}}]": "got stages.1.width; leave it out",
    "stages: [{widht: {choice: [8, 9]}}]": "stages.1 has no value named 'widht'; did you mean 'width'?",
    B + "stem: {width: {choice: [8], per: stage}}": "got stem.width; leave it out",
    B + "block: {convs: {choice: [1, 2], per: layer}}": "must be stage or left out, got 'layer'",
    B + "block: {convs: {choice: [1, 2], pre: stage}}": "block.convs has no 'pre'; did you mean 'per'?",
    B + "block: {convs: {chioce: [1, 2]}}": "an open value is written {choice: [...]}",
    B + "block: {convs: {choice: [1, 2], range: [1, 2, 1]}}": "a choice or a range, got both",
    B + "block: {convs: {choice: []}}": "must be a list of values, got []",
    B + "block: {convs: {choice: [1, 1]}}": "must hold each value once, got 1 twice",
    B + "block: {convs: {choice: [1, [2]]}}": "must hold plain values, got [2]",
    B + "block: {convs: {range: [1, 2]}}": "must be [low, high, step], got [1, 2]",
    B + "block: {convs: {range: [2, 1, 1]}}": "must rise by a step over 0, got [2, 1, 1]",
    B + "block: {convs: {range: [1, 2, 0]}}": "must rise by a step over 0",
    B + "block: {dropout: {range: [0, 1, 1e-6]}}": "at most 10,000 values, got 1,000,001",
    B + "block: {kernel_size: {choice: [3, 4]}}": "use 3 or 5 (in 'it.yaml', at the choice 4 of",
    B + "block: {shrink: {choice: [none, maxpool]}}": "did you mean 'max_pool'?",
    B + "block: {kernel_size: [3, 5, 3]}": "one for each of 2 stages, got 3",
    B + "block: {convs: {choice: ['1', '2']}}": "must be a whole number, got '1'",
    B + "block: 3": "block must be a mapping",
    B + "hed: {}": "did you mean 'head'?",
    B + "head: {dense: {choice: [8, -1]}}": "head.dense.1 must be at least 0, got -1",
    B + "classes: {choice: [2, 3]}": "classes must not be open, the data set decides it",
    B + "classes: 7": "'it.yaml' is for classes 7, but the data has 4; leave classes out",
    B + "input_shape: [9, 9, 3]": "is for input_shape [9, 9, 3], but the data has [8, 8, 3]",
    B + "task: segmentation": "is for task segmentation, but the data has classification",
    B + "task: binary": "task binary needs classes 2, got 4",
    B + "decoder: {}": "a decoder needs task segmentation",
    B + "training: {flp: true}": "training has no value named 'flp'; did you mean 'flip'?",
    B + "training: {learning_rate: {choice: [0.1, 11]}}": "at the choice 11 of training.learning_rate",
}


@pytest.mark.parametrize("text", BAD, ids=list(BAD.values()))
def test_a_bad_space_is_one_sentence(text):
    with pytest.raises(SpaceError) as error:
        SearchSpace(read_yaml(text, "it"), "'it.yaml'").bind((8, 8, 3), 4)
    assert BAD[text] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {flip: {choice: [false, true]}}", "training.flip needs images"),
        ("training: {zoom: {range: [0, 0.2, 0.1]}}", "training.zoom needs images"),
    ],
)
def test_augmentation_of_signals_is_refused(text, said):
    with pytest.raises(SpaceError, match=said):
        SearchSpace(read_yaml(B + text, "it")).bind((16, 3), 4)


def test_unknown_and_unreadable_files(tmp_path):
    with pytest.raises(SpaceError, match="got 'xception'; did you mean 'xception_like'"):
        SearchSpace.load("xception")
    with pytest.raises(SpaceError, match="No such file"):
        SearchSpace.load(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpaceError, match="Is a directory"):
        SearchSpace.load(tmp_path / "folder.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match="it is no text"):
        SearchSpace.load(tmp_path / "bytes.yaml")


def test_a_list_for_the_greatest_depth_serves_the_others():
    space = space_of("stages: {count: {choice: [1, 3]}, width: 4}\nblock: {convs: [1, 2, 3]}")
    assert [stage.convs for stage in space.design({"stages.count": 1}).architecture.stages] == [1]
    assert [stage.convs for stage in space.design({"stages.count": 3}).architecture.stages] == [1, 2, 3]
