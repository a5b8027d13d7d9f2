"""A design as a compiled `.keras` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Architecture, Design
from nas.backends import build_compiled_model, build_model, moving_layers
from nas.data import Signature
from nas.errors import InputError
from nas.export.signature_metadata import add_to_keras
from nas.files import output_file
from nas.tensorflow_imports import keras_settings

if TYPE_CHECKING:
    import keras
    import numpy as np

__all__ = ["check_weights", "export_keras", "missing_augmentation", "set_weights"]


@keras_settings()
def export_keras(
    design: Design,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    signature: Signature | None = None,
) -> Path:
    """Write a `.keras` file that is compiled and ready for `fit`.

    `weights` have the order of `nas.backends.build_model`; None for initial weights. A network without a head
    cannot be trained and is saved without compilation. Raises InputError if the weights do not fit the
    network or the file can't be written.
    """
    architecture = design.architecture
    if architecture.head is None:
        model = build_model(architecture, design.training)
    else:
        model = build_compiled_model(architecture, design.training)
        model.optimizer.build(model.trainable_variables)  # else Keras loads the file without its state
    set_weights(model, weights, architecture)
    with output_file(path) as unfinished:
        model.save(unfinished)
        if signature is not None:
            add_to_keras(unfinished, signature)
    return path


def missing_augmentation(design: Design) -> list[str]:
    """Return the values of a design's augmentation that no layer of a Keras model can apply.

    The exported Python source has batches for `fit` that apply them.
    """
    moving = design.architecture.task == "segmentation"
    moved = moving_layers(design.architecture, design.training) if moving else {}
    return [*moved, *(["mixup"] if design.training.mixup else [])]


def set_weights(model: keras.Model, weights: Sequence[np.ndarray] | None, architecture: Architecture) -> None:
    """Set the weights of a model, unless they are None; raises InputError if they do not fit."""
    if weights is None:
        return
    check_weights([tuple(weight.shape) for weight in model.weights], weights, architecture)
    model.set_weights(list(weights))


def check_weights(
    expected: Sequence[tuple[int, ...]], weights: Sequence[np.ndarray], architecture: Architecture
) -> None:
    """Raise InputError if arrays do not have the expected shapes."""
    if list(expected) != [tuple(weight.shape) for weight in weights]:
        raise InputError(
            f"the weights must be those of architecture {architecture.id} ({len(expected)} arrays), "
            f"got {len(weights)} arrays of other shapes; export with fresh weights instead"
        )
