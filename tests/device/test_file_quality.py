"""Files of four kinds, judged on a test split in their own runtime: they agree with the Keras model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.backends import initial_weights, weight_specs
from nas.data import Dataset, Feeding, Signature, Split
from nas.device.file_quality import judge_file, plan_feed
from nas.device.input_values import InputValues, litert_input_values
from nas.device.latency import LatencyOptions
from nas.device.model_files import litert_precision
from nas.device.opened_model import open_architecture, open_model_file
from nas.errors import InputError
from nas.export import LitertOptions, export_litert

RNG = np.random.default_rng(0)
OPTIONS = LatencyOptions()
ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 3, "stages": [{"width": 8}]})


def made(x: np.ndarray, feeding: Feeding | None = None) -> Dataset:
    split = Split(x, np.arange(len(x)) % 3)
    classes = ("a", "b", "c")
    one = Dataset("made", "made", "classification", x.shape[1:], classes, split, split, split)
    return replace(one, feeding=feeding or Feeding())


BYTES = made(RNG.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8))


@pytest.fixture(scope="module")
def keras_models(tmp_path_factory):
    """Models that take 0..255, 0..1 and 0..255 in float16: the folder of their files."""
    from nas.tensorflow_imports import import_keras

    keras = import_keras()
    layers, folder = keras.layers, tmp_path_factory.mktemp("models")
    for name, policy in (("bytes", "float32"), ("shares", "float32"), ("half", "mixed_float16")):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        scaling = [] if name == "shares" else [layers.Rescaling(1 / 255)]
        convolution = layers.Conv2D(6, 3, activation="relu")
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), *scaling, convolution, layers.Flatten(), layers.Dense(3)]
        )
        keras.config.set_dtype_policy("float32")
        model.save(folder / f"{name}.keras")
        if name == "bytes":
            model.export(folder / "saved", verbose=False)
    return folder


def accuracy(path: Path, x: np.ndarray) -> float:
    from nas.tensorflow_imports import import_keras

    outputs = np.asarray(import_keras().models.load_model(path)(x.astype(np.float32)))
    return float(np.mean(outputs.argmax(axis=1) == np.arange(len(x)) % 3))


def judged(path: Path, data: Dataset, input_range: str | None = None, precision: str = "float32"):
    model = open_model_file(path, OPTIONS)
    feed = plan_feed(model, data, input_range)
    content = model.content(precision, feed.apply(data.train.x))
    return judge_file(model, content, data, feed), litert_precision(content)


@pytest.mark.trains  # loads TensorFlow
def test_a_keras_file_and_a_saved_model_say_that_they_take_bytes(keras_models, capfd):
    expected = accuracy(keras_models / "bytes.keras", BYTES.test.x)
    capfd.readouterr()
    for name in ("bytes.keras", "saved", "half.keras"):
        quality, _ = judged(keras_models / name, BYTES)
        assert quality.fed == "values 0..255, as its first operator divides by 255", name
        assert quality.values["accuracy"] == pytest.approx(expected, abs=0.04), name
        assert quality.examples == 30
    assert capfd.readouterr() == ("", "")  # nothing about saved artifacts


@pytest.mark.trains  # loads TensorFlow
@pytest.mark.parametrize("precision", ["float16", "dynamic_int8", "int8"])
def test_a_keras_file_is_converted_to_other_precisions(keras_models, precision):
    quality, found = judged(keras_models / "bytes.keras", BYTES, precision=precision)
    assert found == ("float32" if precision == "dynamic_int8" else precision)  # small kernels stay float32
    assert quality.values["accuracy"] == pytest.approx(
        accuracy(keras_models / "bytes.keras", BYTES.test.x), abs=0.1
    )
    model = open_model_file(keras_models / "bytes.keras", OPTIONS)
    with pytest.raises(InputError, match="int8 must be calibrated on images, got none; add --data"):
        model.content("int8", None)


@pytest.mark.trains  # loads TensorFlow
def test_a_file_that_does_not_say_its_range_is_refused_until_the_user_says_it(keras_models):
    path = keras_models / "shares.keras"
    with pytest.raises(InputError, match=r"must say which values its input takes, .* add --input-range"):
        judged(path, BYTES)
    quality, _ = judged(path, BYTES, "0..1")
    assert quality.fed == "values 0..1, as --input-range says"
    assert quality.values["accuracy"] == accuracy(path, BYTES.test.x / 255)
    shares = made((BYTES.test.x / 255).astype(np.float32), Feeding(rescale=False, value_range=(0.0, 1.0)))
    assert judged(path, shares, "0..1")[0] == quality
    with pytest.raises(InputError, match=r"must be that of the network, got 0\.\.1 .* which takes 0\.\.255"):
        judged(keras_models / "bytes.keras", BYTES, "0..1")
    with pytest.raises(InputError, match="unknown input range '0-1'"):
        judged(path, BYTES, "0-1")


@pytest.mark.trains  # loads TensorFlow
def test_a_keras_file_quantized_by_keras_is_one_sentence(keras_models, tmp_path):
    from nas.tensorflow_imports import import_keras

    model = import_keras().models.load_model(keras_models / "bytes.keras")
    model.layers[-1].quantize("int8")
    model.save(tmp_path / "quantized.keras")
    with pytest.raises(InputError, match=r"must not be quantized by Keras .* with int8"):
        open_model_file(tmp_path / "quantized.keras", OPTIONS)


def test_an_exported_file_says_how_to_feed_it(tmp_path):
    signature = BYTES.signature
    path = export_litert(ARCHITECTURE, None, tmp_path / "a.tflite", signature=signature)
    model = open_model_file(path, OPTIONS)
    assert model.signature == signature
    assert model.input_values == InputValues("0..255", "as its signature says")
    quality, _ = judged(path, BYTES)
    shares = made((BYTES.test.x / 255).astype(np.float32), Feeding(rescale=False, value_range=(0.0, 1.0)))
    assert judged(path, shares)[0].values == quality.values
    others = replace(BYTES, classes=("b", "a", "c"))
    with pytest.raises(
        InputError, match="must have the outputs of the network, got classification of b, a, c"
    ):
        judged(path, others)
    mapped = signature.model_copy(update={"feeding": Feeding(value_range=(0.0, 4095.0))})
    other = export_litert(ARCHITECTURE, None, tmp_path / "b.tflite", signature=mapped)
    with pytest.raises(InputError, match=r"values of the network's training, got 0\.\.255 .* of 0\.\.4095"):
        judged(other, BYTES)


def test_a_file_without_a_signature_is_not_fed_by_guessing(tmp_path):
    path = export_litert(ARCHITECTURE, None, tmp_path / "a.tflite")
    assert open_model_file(path, OPTIONS).signature is None
    with pytest.raises(InputError, match="add --input-range"):
        judged(path, BYTES)
    assert judged(path, BYTES, "0..255")[0].examples == 30


@pytest.mark.trains  # loads TensorFlow
def test_the_quantization_of_an_int8_file_gives_its_range(tmp_path):
    images = RNG.uniform(0, 255, (50, 8, 8, 1)).astype(np.float32)
    path = export_litert(ARCHITECTURE, None, tmp_path / "a.tflite", LitertOptions("int8", images))
    assert litert_input_values(path.read_bytes()) == InputValues("0..255", "as its quantization says")
    dark = export_litert(ARCHITECTURE, None, tmp_path / "b.tflite", LitertOptions("int8", images / 2))
    assert litert_input_values(dark.read_bytes()) is None


@pytest.mark.trains  # loads TensorFlow
def test_an_onnx_file_is_judged_in_its_runtime(tmp_path):
    from nas.export import export_onnx

    weights, signature = initial_weights(weight_specs(ARCHITECTURE.layers), seed=0), BYTES.signature
    path = export_onnx(ARCHITECTURE, weights, tmp_path / "a.onnx", signature)
    model = open_model_file(path, OPTIONS)
    feed = plan_feed(model, BYTES)
    found = judge_file(model, model.content("float32", None), BYTES, feed)
    lite_path = export_litert(ARCHITECTURE, weights, tmp_path / "a.tflite", signature=signature)
    lite = open_model_file(lite_path, OPTIONS)
    assert found.values == judge_file(lite, lite.content("float32", None), BYTES, feed).values


def test_grey_data_for_an_input_of_three_channels_and_other_shapes():
    coloured = Architecture.from_dict({"input_shape": [8, 8, 3], "classes": 3, "stages": [{"width": 8}]})
    model = open_architecture("network", coloured, OPTIONS)
    feed = plan_feed(model, BYTES)
    assert feed.text == "values 0..255, as its first layer divides by 255, grey values as each of 3 channels"
    np.testing.assert_array_equal(feed.apply(BYTES.test.x), np.repeat(BYTES.test.x, 3, axis=-1))
    first = replace(model, runtime="onnx", input_shape=(3, 8, 8))
    assert plan_feed(first, BYTES).apply(BYTES.test.x).shape == (30, 3, 8, 8)
    larger = replace(model, input_shape=(16, 16, 3))
    with pytest.raises(InputError, match="shape of the network's input, got 8x8x1 for 'network' of 16x16x3"):
        plan_feed(larger, BYTES)


def test_what_is_no_model_is_one_sentence(tmp_path):
    for name, match in (("a.h5", "must end in"), ("a.tflite", "LiteRT FlatBuffer"), ("a.keras", "can load")):
        (tmp_path / name).write_bytes(b"no model" * 50)
        with pytest.raises(InputError, match=match):
            open_model_file(tmp_path / name, OPTIONS)
    with pytest.raises(InputError, match="must exist"):
        open_model_file(tmp_path / "none.keras", OPTIONS)
    with pytest.raises(InputError, match="is measured with the runtime litert, got"):
        open_model_file(tmp_path / "a.keras", LatencyOptions(runtime="onnx"))


def test_a_signature_without_rescaling_names_the_range():
    values = {"task": "classification", "input_shape": (8, 8, 1), "classes": ("a", "b", "c")}
    for value_range, name in (((0.0, 0.9), "0..1"), ((-0.5, 1.0), "-1..1"), ((-3.0, 2.0), "data")):
        feeding = Feeding(rescale=False, value_range=value_range)
        model = open_architecture("n", ARCHITECTURE, OPTIONS, None, Signature(**values, feeding=feeding))
        assert model.input_values.name == name
