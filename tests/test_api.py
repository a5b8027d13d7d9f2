"""The Python interface: typed parameters that equal the options, and the examples in its docstrings."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import nas
from nas.data import load_dataset
from nas.errors import InputError
from nas.searching import SearchOptions
from nas.tensorflow_imports import import_keras


def test_parameters_of_search_are_the_options_with_their_defaults():
    parameters = inspect.signature(nas.search).parameters
    for name, field in SearchOptions.model_fields.items():
        assert name in parameters, name
        expected = None if name == "limits" else field.default
        assert parameters[name].default == expected, name
    others = {"space", "start_from", "name", "workers", "show", "progress"}
    assert set(parameters) == set(SearchOptions.model_fields) | others


@pytest.mark.parametrize("name", nas.__all__)
def test_public_names_are_documented_and_typed(name):
    thing = getattr(nas, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
        assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())


def example(thing: object) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(thing) or "", flags=re.DOTALL)
    return code


@pytest.mark.trains
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_the_examples_in_the_docstrings_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names: dict[str, object] = {"nas": nas}
    exec(example(nas.search), names)
    result = names["result"]
    assert len(result.trials) == 2
    exec(example(nas.Found), names)
    assert (tmp_path / "best" / "model.keras").exists()
    found = names["found"]
    trial = found.pick(0)
    assert trial.number == 0
    outputs = found.model(trial)(np.zeros((1, 16, 16, 1)))
    assert outputs.shape == (1, 10)
    measured = nas.measure(f"{found.name}:0", data="digits")
    assert measured.summary.params == trial.values["params"]
    test = load_dataset("digits").test
    right = found.model(trial).predict(test.x, verbose=0).argmax(axis=1) == test.y
    assert measured.quality.values["accuracy"] == pytest.approx(np.mean(right), abs=0.003)
    assert measured.quality.fed == "values 0..255, as its signature says"
    exec(example(nas.train), names)
    exec(example(nas.measure), names)
    exec(example(nas.measure_all), names)
    resumed = nas.resume(result.name, trials=3, workers=0)
    assert len(resumed.trials) == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nas.search("xception_like", trials=0), "trials must be at least 1, got 0"),
        (lambda: nas.search("xception_like", workers=-1, data="digits"), "must be 0 or more, got -1"),
        (lambda: nas.measure("none.tflite"), "a model file must exist, got 'none.tflite'"),
        (lambda: nas.measure("xception_like"), "nas measure takes one network, got 'xception_like' with"),
        (lambda: nas.measure("vgg_small", precision="int4"), "int4"),
        (lambda: nas.train("mnist_cn"), "did you mean 'mnist_cnn'"),
    ],
)
def test_bad_input_is_one_sentence(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nas.search("xception_like", trails=3),
            "nas.search has no parameter 'trails'; did you mean 't",
        ),
        (lambda: nas.search(space="x", max_trials=3), "'max_trials'; did you mean 'trials'?"),
        (lambda: nas.resume("x", epochs=3), "nas.resume has no parameter 'epochs'; known: flat, front_seeds"),
        (
            lambda: nas.train("mnist_cnn", epoch=3),
            "nas.train has no parameter 'epoch'; did you mean 'epochs'?",
        ),
    ],
)
@pytest.mark.parametrize("kind", [InputError, TypeError])
def test_an_unknown_keyword_is_one_sentence_with_the_nearest_name(call, message, kind):
    with pytest.raises(kind, match=re.escape(message)):
        call()


def run_litert(path, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for example in inputs:
        interpreter.set_tensor(taken["index"], example[None].astype(np.float32))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(given["index"])[0])
    return np.stack(outputs)


@pytest.mark.trains
def test_arrays_are_searched_resumed_trained_and_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = rng.integers(0, 128, (80, 3, 16, 16)).astype(np.float32)  # channels first, values 0..255
    x[y == 1] += 127
    space = {"stem": {"width": 4}, "stages": [{"width": {"choice": [4, 6]}}]}
    options = {"objectives": ("accuracy", "params"), "workers": 0, "epochs": 2, "repeats": 1}
    result = nas.search(space, data=(x, y), trials=1, **options)
    found = nas.find(result.name)
    assert found.plan.data.startswith("mlruns/data/arrays-")
    assert nas.resume(result.name, trials=2, workers=0).trials[0].id == result.trials[0].id
    trial = found.pick(0)
    architecture = trial.design.architecture
    assert architecture.rescale
    assert architecture.input_shape == (16, 16, 3)
    files = found.export(trial, tmp_path / "out", formats=("keras", "litert")).files
    inputs = np.moveaxis(x, 1, -1)
    expected = found.model(trial).predict(inputs, verbose=0)
    reloaded = import_keras().models.load_model(files["keras"], compile=False)
    np.testing.assert_allclose(reloaded.predict(inputs, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(run_litert(files["litert"], inputs[:8]), expected[:8], atol=1e-4)
    trained = nas.train(f"{result.name}:0", epochs=1)
    assert trained.test["test_accuracy"] >= 0


@pytest.mark.trains
@pytest.mark.parametrize("scale", [1, 255])
def test_the_type_of_images_does_not_change_what_is_learnt(tmp_path, monkeypatch, scale):
    """Images of 0 and 1 as uint8, and of 0 and 255 as floating-point numbers, are learnt."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (rng.random((200, 12, 12)) < np.where(y, 0.65, 0.35)[:, None, None]).astype(np.uint8)
    x = x if scale == 1 else x.astype(np.float32) * scale
    trained = nas.train("mnist_cnn", data=(x, y), epochs=4, formats=("keras", "litert"))
    assert trained.test["test_accuracy"] > 0.9
    model = import_keras().models.load_model(trained.files["keras"], compile=False)
    assert any(isinstance(layer, import_keras().layers.Rescaling) for layer in model.layers) == (scale == 255)
    outputs = run_litert(trained.files["litert"], x[:40, ..., None])
    np.testing.assert_allclose(outputs, model.predict(x[:40, ..., None], verbose=0), atol=1e-4)
    assert np.mean(outputs.argmax(axis=1) == y[:40]) > 0.9
