"""Architectures: what they take, their names for networks, YAML both ways."""

import pickle

import pytest

from nas.architecture import Architecture, Design, Head, Training
from nas.architecture.architecture import MOST_LISTED
from nas.errors import SpaceError

SMALL = {"input_shape": [8, 8, 3], "classes": 4, "stages": [{"width": 4}]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clases": 3}, "the file has no value named 'clases'; did you mean 'classes'?"),
        ({"blok": {}}, "the file has no value named 'blok'; did you mean 'block'?"),
        (
            {"stages": [{"width": 8}, {"widht": 8}]},
            "stages.2 has no value named 'widht'; did you mean 'width'?",
        ),
        ({"stages": {"cuont": 2, "width": 8}}, "stages.1 has no value named 'cuont'; did you mean 'count'?"),
        ({"block": {"kernel": 3}}, "stages.1 has no value named 'kernel'; did you mean 'kernel_size'?"),
        ({"stem": 3}, "stem must be a mapping of names to values, got 3"),
        ({"stem": {"widht": 3}}, "stem has no value named 'widht'; did you mean 'width'?"),
        (
            {"head": {"pooling": "flaten"}},
            "head.pooling must be one of its values, got 'flaten'; did you mean 'flatten'?",
        ),
        ({"decoder": {}}, "a decoder needs task segmentation, got classification"),
        ({"input_shape": [3]}, "input_shape must have at least 2 values, got [3]"),
        ({"input_shape": [3, 3, 3, 3]}, "input_shape must have at most 3 values"),
        ({"input_shape": [8, 0, 3]}, "input_shape.2 must be at least 1, got 0"),
        ({"input_shape": "8x8x3"}, "input_shape must be a list, got '8x8x3'"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"task": "binary"}, "task binary needs classes 2, got 4; write task: classification"),
        ({"task": "detection"}, "task must be one of its values, got 'detection'"),
        (
            {"task": "segmentation", "input_shape": [8, 3]},
            "task segmentation needs input_shape [height, width, channels]",
        ),
        ({"task": "segmentation", "block": {"padding": "valid"}}, "needs padding same everywhere, got valid"),
        (
            {"task": "segmentation", "stem": {"width": 4, "padding": "valid"}},
            "needs padding same everywhere, got valid",
        ),
        ({"training": {"flp": True}}, "training has no value named 'flp'; did you mean 'flip'?"),
        ({"training": 3}, "training must be a mapping"),
        (
            {"training": {"flip": True}, "input_shape": [8, 3]},
            "training.flip needs images, got True for input_shape [8, 3]",
        ),
        (
            {"training": {"zoom": 0.1}, "task": "segmentation"},
            "training.zoom must be left out where the task is segmentation",
        ),
        ({"training": {"rotation": 0.1}, "task": "segmentation"}, "it would move the image and not its mask"),
    ],
)
def test_a_refused_file_is_one_sentence(values, said):
    with pytest.raises(SpaceError) as error:
        Design.from_dict({**SMALL, **values})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_null_stays_null():
    network = Architecture.from_dict({**SMALL, "stem": None, "head": None})
    again = Architecture.from_yaml(network.to_yaml())
    assert again.head is None
    assert again.stem is None or network.canonical().stem is not None
    assert again == network
    assert Architecture.from_dict(SMALL).head == Head()


def test_yaml_says_what_is_special_only():
    text = Architecture.from_dict(
        {
            **SMALL,
            "name": "it",
            "stages": [{"width": 4, "convs": 2, "shrink": "max_pool"}, {"width": 8, "dropout": 0}],
        }
    ).to_yaml(Training(learning_rate=0.01, flip=True))
    assert text == (
        "name: it\ntask: classification\ninput_shape: [8, 8, 3]\nclasses: 4\nstages:\n"
        "- {width: 4, convs: 2, shrink: max_pool}\n- {width: 8}\n"
        "training: {learning_rate: 0.01, flip: true}\n"
    )


def test_training_survives_the_round_trip_and_is_no_part_of_the_id():
    from nas.architecture import read_yaml

    training = Training(optimizer="sgd", learning_rate=1e-4, weight_decay=0.01)
    plain = Design.from_dict(SMALL)
    design = Design.from_dict(read_yaml(plain.architecture.to_yaml(training), "it"))
    assert design.training == training
    assert design.architecture == plain.architecture
    assert design.key != plain.key
    assert plain.key == plain.architecture.id


def test_a_weight_decay_that_the_optimizer_does_not_take_changes_nothing():
    plain = Design.from_dict({**SMALL, "training": {"optimizer": "adam"}})
    decayed = Design.from_dict({**SMALL, "training": {"optimizer": "adam", "weight_decay": 0.1}})
    assert plain.key == decayed.key
    other = Design.from_dict({**SMALL, "training": {"optimizer": "adamw", "weight_decay": 0.1}})
    assert other.key != Design.from_dict({**SMALL, "training": {"optimizer": "adamw"}}).key


def test_an_id_is_the_networks_not_the_files():
    one = Architecture.from_dict({**SMALL, "name": "one", "about": "it", "source": "here"})
    other = Architecture.from_dict(SMALL)
    assert (one.id, len(one.id)) == (other.id, 12)
    assert {one, other} == {one}
    assert one != Architecture.from_dict({**SMALL, "classes": 5})


def test_an_architecture_goes_through_pickle():
    network = Architecture.from_dict(SMALL)
    again = pickle.loads(pickle.dumps(network))
    assert again == network
    assert again.layers == network.layers


def test_layers_are_let_go_and_found_again() -> None:
    first = Architecture.from_dict({"input_shape": [8, 8, 1], "stages": [{"width": 3}]})
    layers = first.layers
    assert first.layers is layers
    for width in range(1, MOST_LISTED + 1):
        assert Architecture.from_dict({"input_shape": [8, 8, 1], "stages": [{"width": width}]}).layers
    assert first.layers is not layers
    assert first.layers == layers


def test_a_compact_design_is_equal_and_shares_its_parts_with_others() -> None:
    stages = [{"width": 3}, {"width": 4}]
    data = {"input_shape": [8, 8, 1], "stages": stages, "training": {"optimizer": "sgd"}}
    whole = Design.from_dict(data)
    one, other = (Design.from_dict(data).compact() for _ in range(2))
    assert one == other == whole
    assert one.key == whole.key
    assert one.architecture.to_dict(one.training) == whole.architecture.to_dict(whole.training)
    assert all(a is b for a, b in zip(one.architecture.stages, other.architecture.stages, strict=True))
    assert one.architecture.head is other.architecture.head
    assert one.training is other.training
    wider = one.architecture.stages[0].model_copy(update={"width": 5})
    assert (wider.width, one.architecture.stages[0].width) == (5, 3)
