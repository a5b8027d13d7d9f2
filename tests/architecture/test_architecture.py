"""Reading and writing architectures and designs, their ids, and the layer cache."""

import pickle

import pytest

from nas.architecture import Architecture, Design, Head, Training, read_yaml
from nas.architecture.architecture import LAYER_CACHE, LayerCache
from nas.errors import SpaceError

SMALL = {"input_shape": [8, 8, 3], "classes": 4, "stages": [{"width": 4}]}


@pytest.mark.parametrize(
    ("values", "message"),
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
        ({"task": "multi_label", "classes": 1}, "classes must be at least 2, got 1"),
        ({"task": "regression", "classes": 0}, "classes must be at least 1, got 0"),
        ({"task": "regression", "decoder": {}}, "a decoder needs task segmentation, got regression"),
        (
            {"task": "multi_label", "training": {"class_weight": "balanced"}},
            "training.class_weight must be left out where the task is multi_label, got 'balanced'",
        ),
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
            {"training": {"cutout": 0.2}, "input_shape": [8, 3]},
            "training.cutout needs images, got 0.2 for input_shape [8, 3]; leave it out",
        ),
        ({"training": {"cutuot": 0.2}}, "training has no value named 'cutuot'; did you mean 'cutout'?"),
        ({"training": {"crop": 8}}, "training.crop must be under the image's size, got 8 for input_shape"),
        ({"training": {"crop": 0.1}}, "training.crop must be a whole number, got 0.1; write for example 3"),
        ({"training": {"brightness": 1.5}}, "training.brightness must be at most 1.0, got 1.5"),
        ({"training": {"label_smoothing": 1}}, "training.label_smoothing must be under 1.0, got 1"),
        (
            {"training": {"mixup": 0.2}, "task": "segmentation"},
            "training.mixup must be left out where the task is segmentation, got 0.2: it mixes the classes",
        ),
        (
            {"training": {"contrast": 0.1}, "rescale": False},
            "training.contrast needs the range of the images' values where rescale is false, "
            "got value_range null; write for example value_range: [0, 1]",
        ),
        (
            {"training": {"value_range": [1, 0]}},
            "training.value_range must be [least, greatest], got [1.0, 0.0]; write for example [0, 1]",
        ),
        ({"training": {"value_range": [1]}}, "training.value_range must have at least 2 values, got [1]"),
    ],
)
def test_an_invalid_file_raises_one_sentence(values, message):
    with pytest.raises(SpaceError) as error:
        Design.from_dict({**SMALL, **values})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def reread(architecture):
    return Architecture.from_dict(read_yaml(architecture.to_yaml(), "the architecture"))


def test_null_parts_stay_null():
    network = Architecture.from_dict({**SMALL, "stem": None, "head": None})
    again = reread(network)
    assert again.head is None
    assert again.stem is None or network.canonical().stem is not None
    assert again == network
    assert Architecture.from_dict(SMALL).head == Head()


def test_yaml_leaves_out_defaults():
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


def test_training_survives_the_round_trip_and_is_not_part_of_the_id():
    training = Training(optimizer="sgd", learning_rate=1e-4, weight_decay=0.01)
    plain = Design.from_dict(SMALL)
    design = Design.from_dict(read_yaml(plain.architecture.to_yaml(training), "it"))
    assert design.training == training
    assert design.architecture == plain.architecture
    assert design.key != plain.key
    assert plain.key == plain.architecture.id


def test_weight_decay_does_not_change_the_key_of_an_optimizer_without_it():
    plain = Design.from_dict({**SMALL, "training": {"optimizer": "adam"}})
    decayed = Design.from_dict({**SMALL, "training": {"optimizer": "adam", "weight_decay": 0.1}})
    assert plain.key == decayed.key
    other = Design.from_dict({**SMALL, "training": {"optimizer": "adamw", "weight_decay": 0.1}})
    assert other.key != Design.from_dict({**SMALL, "training": {"optimizer": "adamw"}}).key


def test_the_id_depends_on_the_network_and_not_on_the_description():
    one = Architecture.from_dict({**SMALL, "name": "one", "about": "it", "source": "here"})
    other = Architecture.from_dict(SMALL)
    assert (one.id, len(one.id)) == (other.id, 12)
    assert {one, other} == {one}
    assert one != Architecture.from_dict({**SMALL, "classes": 5})


def test_the_ids_of_recorded_networks_stay() -> None:
    """Ids identify networks in records of earlier versions."""
    tasks = {"classification": "23218864eae7", "binary": "4f7b7ec86b8f", "segmentation": "a57715e68eaf"}
    found = {task: Architecture.from_dict({**SMALL, "task": task, "classes": 2}).id for task in tasks}
    assert found == tasks


def test_an_architecture_survives_pickle():
    network = Architecture.from_dict(SMALL)
    again = pickle.loads(pickle.dumps(network))
    assert again == network
    assert again.layers == network.layers


def narrow(width):
    return Architecture.from_dict({"input_shape": [8, 8, 1], "stages": [{"width": width}]})


def test_the_layer_cache_keeps_the_layers_built_last_and_rebuilds_others() -> None:
    cache = LayerCache(max_size=2)
    first, second, third = (narrow(width) for width in (1, 2, 3))
    layers = cache.get(first)
    assert cache.get(first) is layers
    second_layers = cache.get(second)
    cache.get(third)
    assert cache.get(second) is second_layers
    assert cache.get(first) is not layers
    assert cache.get(first) == layers


def test_architectures_read_their_layers_from_the_cache() -> None:
    architecture = narrow(4)
    assert architecture.layers is LAYER_CACHE.get(architecture)
    assert architecture.layers[1].filters == 0  # rescale
    assert architecture.layers[2].filters == 4


def test_compact_designs_are_equal_and_share_equal_parts() -> None:
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


def test_the_range_of_values_is_that_of_bytes_where_the_network_rescales():
    training = {"brightness": 0.1, "value_range": [-1, 1]}
    scaled = Design.from_dict({**SMALL, "rescale": False, "training": training})
    assert scaled.value_range == (-1.0, 1.0)
    assert Design.from_dict({**SMALL, "training": training}).value_range == (0.0, 255.0)
    text = scaled.architecture.to_yaml(scaled.training)
    assert Design.from_dict(read_yaml(text, "it")) == scaled


def test_segmentation_takes_augmentation_that_moves_pixels():
    training = {"flip": True, "crop": 2, "rotation": 0.1, "label_smoothing": 0.1}
    assert Design.from_dict({**SMALL, "task": "segmentation", "training": training}).training.moves_pixels
