"""Reading, binding, checking and closing spaces."""

import pytest
from example_spaces import LISTED, MAPPING, space_of

from nas.architecture import Training, read_yaml
from nas.errors import SpaceError
from nas.space import SearchSpace, shipped_files


def test_open_values_are_named_by_their_key_path():
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


def test_a_setting_replaces_the_open_values():
    space = space_of(MAPPING)
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


def test_a_setting_without_an_active_value_is_rejected():
    with pytest.raises(SpaceError, match=r"a setting needs a value for stages\.count"):
        space_of(MAPPING).design({})


def test_a_shipped_space_is_loaded_by_name_and_a_file_by_path(tmp_path):
    assert SearchSpace.load("xception_like").name == "xception_like"
    path = tmp_path / "mine.yaml"
    path.write_text(LISTED)
    assert SearchSpace.load(path).name == "mine"
    assert SearchSpace.load("vgg_small").open_values == ()
    assert "xception_like" in shipped_files()


B = "stages: {count: 2, width: 8}\n"

INVALID = {
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
    B + "block: {convs: {choice: [1, 1]}}": "must contain each value once, got 1 twice",
    B + "block: {convs: {choice: [1, [2]]}}": "must contain plain values, got [2]",
    B + "block: {convs: {range: [1, 2]}}": "must be [low, high, step], got [1, 2]",
    B + "block: {convs: {range: [2, 1, 1]}}": "needs high >= low and step > 0, got [2, 1, 1]",
    B + "block: {convs: {range: [1, 2, 0]}}": "needs high >= low and step > 0",
    B + "block: {dropout: {range: [0, 1, 1e-6]}}": "at most 1,000 values, got 1,000,001",
    B + "block: {kernel_size: {choice: [3, 4]}}": "use 3 or 5 (in 'it.yaml', at the choice 4 of",
    B + "block: {shrink: {choice: [none, maxpool]}}": "did you mean 'max_pool'?",
    B + "block: {kernel_size: [3, 5, 3]}": "one for each of 2 stages, got 3",
    B + "block: {convs: {choice: ['1', '2']}}": "must be a whole number, got '1'",
    B + "block: 3": "block must be a mapping",
    B + "hed: {}": "did you mean 'head'?",
    B + "head: {dense: {choice: [8, -1]}}": "head.dense.1 must be at least 0, got -1",
    B + "classes: {choice: [2, 3]}": "classes must not be open, the data set determines it",
    B + "classes: 7": "'it.yaml' is for classes 7, but the data has 4; leave classes out",
    B + "input_shape: [9, 9, 3]": "is for input_shape [9, 9, 3], but the data has [8, 8, 3]",
    B + "task: segmentation": "is for task segmentation, but the data has classification",
    B + "task: binary": "task binary needs classes 2, got 4",
    B + "decoder: {}": "a decoder needs task segmentation",
    B + "training: {flp: true}": "training has no value named 'flp'; did you mean 'flip'?",
    B + "training: {learning_rate: {choice: [0.1, 11]}}": "at the choice 11 of training.learning_rate",
}


@pytest.mark.parametrize("text", INVALID, ids=list(INVALID.values()))
def test_an_invalid_space_raises_one_sentence(text):
    with pytest.raises(SpaceError) as error:
        SearchSpace(read_yaml(text, "it"), "'it.yaml'").bind((8, 8, 3), 4)
    assert INVALID[text] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {flip: {choice: [false, true]}}", "training.flip needs images"),
        ("training: {zoom: {range: [0, 0.2, 0.1]}}", "training.zoom needs images"),
        ("training: {cutout: {choice: [0, 0.3]}}", "training.cutout needs images"),
    ],
)
def test_augmentation_of_signals_is_rejected(text, message):
    with pytest.raises(SpaceError, match=message):
        SearchSpace(read_yaml(B + text, "it")).bind((16, 3), 4)


AUGMENTATION = """
training:
  crop: {range: [0, 2, 1]}
  brightness: {choice: [0, 0.2]}
  cutout: {range: [0.0, 0.5, 0.25]}
  mixup: {choice: [0, 0.2, 0.4]}
  label_smoothing: {range: [0, 0.2, 0.1]}
"""


def test_augmentation_is_open_like_every_value_and_takes_the_range_of_the_data():
    space = SearchSpace(read_yaml(B + AUGMENTATION, "it")).bind(
        (8, 8, 3), 4, rescale=False, value_range=(0, 1)
    )
    assert space.settings_count() == 3 * 2 * 3 * 3 * 3
    setting = next(iter(space.settings())) | {"training.crop": 2, "training.mixup": 0.4}
    training = space.design(setting).training
    assert (training.crop, training.mixup, training.value_range) == (2, 0.4, (0.0, 1.0))
    rescaled = SearchSpace(read_yaml(B + AUGMENTATION, "it")).bind((8, 8, 3), 4, value_range=(0, 255))
    assert rescaled.design(setting).training.value_range is None


def test_the_range_of_the_data_must_be_in_that_of_the_file():
    text = B + "training: {contrast: 0.1, value_range: [0, 1]}"
    space = SearchSpace(read_yaml(text, "it"), "'it.yaml'")
    with pytest.raises(SpaceError, match=r"of 'it.yaml' must contain .* got \[0, 1\] for data from -1 to 1"):
        space.bind((8, 8, 3), 4, rescale=False, value_range=(-1, 1))
    bound = space.bind((8, 8, 3), 4, rescale=False, value_range=(0.2, 0.9))
    assert bound.design({}).value_range == (0.0, 1.0)
    plain = SearchSpace(read_yaml(B + "training: {flip: true}", "it"))
    assert (
        plain.bind((8, 8, 3), 4, rescale=False, value_range=(-3, 4)).design({}).training.value_range is None
    )


def test_unknown_names_and_unreadable_files_are_rejected(tmp_path):
    with pytest.raises(SpaceError, match="got 'xception'; did you mean 'xception_like'"):
        SearchSpace.load("xception")
    with pytest.raises(SpaceError, match="No such file"):
        SearchSpace.load(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpaceError, match="it is a folder"):
        SearchSpace.load(tmp_path / "folder.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match="it is not UTF-8 text"):
        SearchSpace.load(tmp_path / "bytes.yaml")


def test_a_list_for_the_largest_number_of_stages_also_serves_smaller_ones():
    space = space_of("stages: {count: {choice: [1, 3]}, width: 4}\nblock: {convs: [1, 2, 3]}")
    assert [stage.convs for stage in space.design({"stages.count": 1}).architecture.stages] == [1]
    assert [stage.convs for stage in space.design({"stages.count": 3}).architecture.stages] == [1, 2, 3]


def test_a_network_that_divides_by_255_does_not_take_values_from_0_to_1():
    def bound(text, rescale):
        return SearchSpace(read_yaml(text, "it"), "'it.yaml'").bind((8, 8, 3), 4, rescale=rescale)

    with pytest.raises(SpaceError, match=r"divides its input by 255 .* leave rescale out"):
        bound(MAPPING + "rescale: true", False)
    assert bound(MAPPING, False).data["rescale"] is False
    assert bound(MAPPING + "rescale: false", True).data["rescale"] is False
