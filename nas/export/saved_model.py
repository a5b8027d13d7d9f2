"""A network as a TensorFlow SavedModel: a folder with a plain serving signature."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Architecture
from nas.backends import build_model
from nas.data import Signature
from nas.export.keras_file import set_weights
from nas.export.signature_metadata import metadata
from nas.files import TEMPORARY_PREFIX, output_file
from nas.quiet import silence_output
from nas.tensorflow_imports import import_keras, keras_settings

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_saved_model"]

EXTRA = Path("assets.extra", "nas.json")
"""Where the signature's texts are; TensorFlow leaves `assets.extra` to the user."""


@keras_settings()
def export_saved_model(
    architecture: Architecture,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    signature: Signature | None = None,
) -> Path:
    """Write a SavedModel to the folder `path`, which is replaced; with initial weights if `weights` is None.

    Its signature `serving_default` takes `input` (batch, *input_shape) float32, with any batch size, and
    returns `output_0`, at inference. Raises InputError if the weights do not fit or the folder can't be
    written.
    """
    model = build_model(architecture)
    set_weights(model, weights, architecture)
    entry = import_keras().InputSpec(shape=(None, *architecture.input_shape), dtype="float32", name="input")
    unfinished = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        with output_file(unfinished / EXTRA) as extra:  # raises the errors of a folder that can't be written
            extra.write_text(json.dumps(metadata(signature) if signature else {}, indent=1), encoding="utf-8")
        with silence_output():
            model.export(unfinished, format="tf_saved_model", input_signature=[entry], verbose=False)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path
