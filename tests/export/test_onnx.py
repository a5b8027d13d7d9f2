"""Exported ONNX files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nas.backends import build_model
from nas.errors import InputError
from nas.export import export_onnx
from tests.exported_designs import GRAMMAR, design, random_inputs, random_weights


def test_onnx_files_agree_with_keras(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    for name in ("groups", "flatten and dense", "decoder, from pools", "multi_label", "regression"):
        one = design(GRAMMAR[name])
        model = build_model(one.architecture)
        weights = random_weights(model)
        model.set_weights(weights)
        capfd.readouterr()
        path = export_onnx(one.architecture, weights, tmp_path / "model.onnx")
        assert capfd.readouterr() == ("", ""), "the converter must print nothing"
        session = onnxruntime.InferenceSession(path)
        (source,) = session.get_inputs()
        assert (source.name, source.shape) == ("input", ["batch", *one.architecture.input_shape])
        x = random_inputs(one.architecture)
        (found,) = session.run(None, {"input": x})
        np.testing.assert_allclose(found, model(x, training=False), atol=1e-4)


def test_a_missing_package_is_an_error_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match=r"install nas\[onnx\]"):
        export_onnx(design(GRAMMAR["head alone"]).architecture, None, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
