"""Keras models of architectures: outputs, names, training, augmentation, optimizers."""

import numpy as np
import pytest
from grammar import random_architecture

from nas.architecture import Architecture, Training
from nas.backends import build_compiled_model, build_model, predict
from nas.backends.keras_model import create_optimizer
from nas.errors import SpaceError
from nas.tensorflow_imports import import_keras

pytestmark = pytest.mark.trains

SMALL = {"input_shape": [8, 8, 3], "classes": 4, "stages": [{"width": 4}]}


def network(**values):
    return Architecture.from_dict({**SMALL, **values})


def test_a_model_has_the_outputs_of_its_task_and_the_names_of_its_layers():
    rng = np.random.default_rng(2)
    for task in ("classification", "binary", "segmentation", "multi_label", "regression"):
        for _ in range(3):
            architecture = random_architecture(rng, task)
            model = build_model(architecture)
            shape = {
                "classification": (architecture.classes,),
                "binary": (1,),
                "multi_label": (architecture.classes,),
                "regression": (architecture.classes,),
                "segmentation": (*architecture.input_shape[:-1], architecture.classes),
            }[task]
            assert model.output_shape[1:] == shape
            assert model.input_shape[1:] == architecture.input_shape
            names = [layer.name for layer in model.layers]
            assert sorted(names) == sorted({layer.name for layer in architecture.layers})
            outputs = model(rng.random((2, *architecture.input_shape), dtype=np.float32)).numpy()
            assert np.all((outputs >= 0) & (outputs <= 1)) or task == "regression"
            if task in ("classification", "segmentation"):
                np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-4)


def test_equal_architectures_compute_the_same():
    keras = import_keras()
    architecture = network(stages=[{"width": 4, "blocks": 2, "normalization": "before"}], name="one")
    canonical = architecture.canonical()
    assert [layer.name for layer in canonical.layers] != [layer.name for layer in architecture.layers]
    keras.utils.set_random_seed(3)
    model = build_model(architecture)
    keras.utils.set_random_seed(4)
    other = build_model(canonical)
    x = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32) * 255
    assert not np.allclose(model(x), other(x))
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), other(x), rtol=1e-5)


def test_initial_weights_depend_on_the_seed():
    keras = import_keras()
    outputs = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        outputs.append(build_model(network())(np.ones((1, 8, 8, 3), np.float32)).numpy())
    np.testing.assert_array_equal(*outputs)


def test_augmentation_acts_in_training_only_and_has_no_parameters():
    model = build_model(network(), Training(flip=True, rotation=0.1, zoom=0.1))
    assert {"augment_flip", "augment_rotation", "augment_zoom"} <= {layer.name for layer in model.layers}
    assert model.count_params() == build_model(network()).count_params()
    x = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32) * 255
    plain = build_model(network())
    plain.set_weights([weight.numpy() for weight in model.trainable_weights])
    np.testing.assert_allclose(model.predict(x, verbose=0), plain(x), rtol=1e-5)
    np.testing.assert_allclose(model(x, training=False), plain(x), rtol=1e-5)
    assert not np.allclose(model(x, training=True), plain(x), rtol=1e-5)


def test_a_model_for_segmentation_does_not_move_images_without_their_masks():
    training = Training(flip=True, crop=1, rotation=0.1, brightness=0.1, contrast=0.1, cutout=0.2)
    model = build_model(network(task="segmentation"), training)
    names = [layer.name for layer in model.layers if layer.name.startswith("augment")]
    assert names == ["augment_brightness", "augment_contrast", "augment_cutout"]


def test_layers_of_augmentation_have_the_range_of_the_values():
    training = Training(brightness=0.1, contrast=0.1, cutout=0.2, value_range=(-1.0, 1.0))
    scaled, rescaled = build_model(network(rescale=False), training), build_model(network(), training)
    for key in ("brightness", "contrast", "cutout"):
        assert tuple(scaled.get_layer(f"augment_{key}").value_range) == (-1.0, 1.0)
        assert tuple(rescaled.get_layer(f"augment_{key}").value_range) == (0, 255)
    assert scaled.get_layer("augment_cutout").fill_value == 0.0


def test_a_file_of_a_model_keeps_augmentation_and_label_smoothing(tmp_path):
    training = Training(crop=2, translation=0.1, cutout=0.2, contrast=0.1, label_smoothing=0.2)
    made = build_compiled_model(network(), training)
    made.optimizer.build(made.trainable_variables)
    made.save(tmp_path / "it.keras")
    model = import_keras().saving.load_model(tmp_path / "it.keras")
    assert [layer.name for layer in model.layers[1:5]] == [
        "augment_crop", "augment_translation", "augment_contrast", "augment_cutout"
    ]  # fmt: skip
    assert model.loss.get_config()["label_smoothing"] == 0.2
    history = model.fit(np.ones((4, 8, 8, 3)), np.eye(4), verbose=0).history
    assert history["loss"][0] > 0


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"stages": [{"width": 4, "groups": 2, "squeeze_excitation": 0.5}], "stem": {"width": 4}}, (8,)),
        ({"task": "binary", "classes": 2, "input_shape": [16, 2]}, (8,)),
        ({"task": "segmentation", "stages": [{"width": 4, "shrink": "strided"}]}, (8, 8, 8)),
        ({"task": "multi_label", "classes": 2}, (8, 2)),
        ({"task": "regression", "classes": 2, "rescale": True}, (8, 2)),
    ],
    ids=["grouped convolution", "signals", "segmentation", "several labels", "numbers"],
)
def test_a_compiled_model_trains(values, labels):
    architecture = network(**values)
    rng = np.random.default_rng(0)
    x = rng.random((8, *architecture.input_shape), dtype=np.float32) * 255
    y = rng.integers(0, architecture.classes, labels)
    model = build_compiled_model(architecture, Training(learning_rate=0.01))
    history = model.fit(x, y, epochs=4, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_a_network_without_a_head_cannot_be_compiled():
    with pytest.raises(SpaceError, match="needs a head to be trained, got head: null"):
        build_compiled_model(network(head=None), Training())


@pytest.mark.parametrize(("name", "decay"), [("adam", None), ("adamw", 0.1), ("sgd", 0.1), ("rmsprop", None)])
def test_the_optimizer_has_the_settings_of_the_training(name, decay):
    optimizer = create_optimizer(Training(optimizer=name, learning_rate=0.01, weight_decay=0.1))
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    assert optimizer.weight_decay == decay


def test_predictions_do_not_depend_on_the_batch_size():
    model = build_model(network())
    x = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)
    outputs = predict(model, x, batch_size=2)
    assert outputs.shape == (5, 4)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-5)
