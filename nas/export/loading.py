"""Load exported files, each in its own runtime, as functions from examples to outputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.backends import Run, load_litert, load_onnx, predict
from nas.errors import ConversionError
from nas.quiet import silence_output
from nas.tensorflow_imports import import_keras, import_tensorflow, keras_settings
from nas.text import error_line

__all__ = ["load_network"]


def load_network(path: Path, format_name: str) -> Run:
    """Load an exported file of a format in its own runtime; raises ConversionError if it cannot be loaded."""
    load: Callable[[Path], Run] = {
        "keras": _load_keras,
        "python": _load_python,
        "saved_model": _load_saved_model,
        "onnx": lambda path: load_onnx(path.read_bytes()),
        "litert": lambda path: load_litert(path.read_bytes()),
    }[format_name]
    try:
        return load(path)
    except Exception as error:  # the runtimes' errors have no common type
        raise ConversionError(f"'{path.name}' must load in its runtime, but: {error_line(error)}") from error


@keras_settings()
def _load_keras(path: Path) -> Run:
    model = import_keras().saving.load_model(path)
    return lambda x: predict(model, x.astype(np.float32))


@keras_settings()
def _load_python(path: Path) -> Run:
    """Import the source as a module of its own, and load the weights beside it."""
    import_keras()
    specification = importlib.util.spec_from_file_location("exported_network", path)
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    model = module.build_model()
    model.load_weights(path.with_suffix(".weights.h5"))
    return lambda x: predict(model, x.astype(np.float32))


def _load_saved_model(path: Path) -> Run:
    tf = import_tensorflow()
    with silence_output():
        loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]

    def run(x: np.ndarray) -> np.ndarray:
        batches = [x[start : start + 64].astype(np.float32) for start in range(0, len(x), 64)]
        # The loaded model owns the variables that the signature reads.
        assert loaded is not None
        outputs = [next(iter(serve(input=tf.constant(batch)).values())).numpy() for batch in batches]
        return np.concatenate(outputs)

    return run
