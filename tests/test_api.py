"""The Python interface: typed parameters that equal the options, and the examples in its docstrings."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import nas
from nas.errors import InputError
from nas.searching import SearchOptions


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
    assert nas.measure(f"{found.name}:0").summary.params == trial.values["params"]
    exec(example(nas.train), names)
    exec(example(nas.measure), names)
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


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'trails'"):
        nas.search("xception_like", trails=3)
