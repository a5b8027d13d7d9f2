"""The weights that a training starts from: of a checkpoint, a Keras file, another training, or a trial."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.backends import build_model, initial_weights, weight_specs
from nas.errors import EvaluationError, InputError
from nas.evaluation import State, read_state
from nas.record import SearchRecord
from nas.tensorflow_imports import import_keras
from nas.training.trial_reference import parse_trial_reference, recorded_trial

__all__ = ["starting_state"]


def starting_state(source: str, architecture: Architecture, seed: int) -> tuple[State, bool]:
    """Return starting weights for a network, and whether its last layer is initialized instead.

    The last layer is initialized if its shape differs, as for other classes.

    source: a checkpoint (.npz), a .weights.h5 or .keras file, the folder of a training, or NAME:TRIAL.

    Raises InputError if the source cannot be read, or belongs to a network that differs in more than the last
    layer.
    """
    specs = weight_specs(architecture.layers)
    given = _read(source, architecture)
    values = initial_weights(specs, seed)
    if len(given) != len(values):
        raise InputError(
            f"--from must contain the weights of the same network, got '{source}' with {len(given)} arrays "
            f"for a network with {len(values)}; use the weights of that network"
        )
    last = specs[-1].name.rpartition("/")[0]
    has_new_head = False
    for index, (spec, array) in enumerate(zip(specs, given, strict=True)):
        if array is not None and array.shape == spec.shape:
            values[index] = np.asarray(array, np.float32)
        elif spec.name.rpartition("/")[0] == last:
            has_new_head = True
        else:
            shape = "none" if array is None else str(list(array.shape))
            raise InputError(
                f"--from must contain the weights of the same network, got '{source}' with {shape} for "
                f"{spec.name} of {list(spec.shape)}; use the weights of that network"
            )
    if has_new_head:
        initial = initial_weights(specs, seed)
        values = [
            new if spec.name.rpartition("/")[0] == last else value
            for spec, value, new in zip(specs, values, initial, strict=True)
        ]
    return State([spec.name for spec in specs], values), has_new_head


def _read(source: str, architecture: Architecture) -> Sequence[np.ndarray | None]:
    reference = parse_trial_reference(source)
    if reference is not None:
        record = SearchRecord.open(reference[0])
        return list(read_state(record.file(recorded_trial(record, reference[1]))).weights)
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / "best.npz"
    if not path.is_file():
        raise InputError(
            f"--from must be a file or NAME:TRIAL, got '{source}', which does not exist; check the path"
        )
    if path.suffix == ".npz":
        try:
            return list(read_state(path).weights)
        except EvaluationError:
            raise InputError(
                f"--from must be a checkpoint of nas, got '{source}'; use another file"
            ) from None
    if path.name.endswith(".weights.h5"):
        return _from_h5(path, architecture)
    if path.suffix == ".keras":
        return _from_keras(path)
    raise InputError(
        f"--from must be a .npz, .weights.h5 or .keras file or NAME:TRIAL, got '{source}'; use one of these"
    )


def _from_h5(path: Path, architecture: Architecture) -> list[np.ndarray | None]:
    """Return the weights of a file as Keras assigns them; None for weights that it does not assign."""
    model = build_model(architecture)
    model.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in model.weights])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # skipped weights are NaN below
            model.load_weights(path, skip_mismatch=True)
    except Exception as error:  # Keras and h5py raise many types
        raise _unreadable(path, error) from None
    return [None if np.isnan(array).all() else array for array in model.get_weights()]


def _from_keras(path: Path) -> list[np.ndarray | None]:
    keras = import_keras()
    try:
        return list(keras.saving.load_model(path, compile=False).get_weights())
    except Exception as error:  # Keras, zipfile and h5py raise many types
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(f"--from must be a file that Keras can read, got '{path}' ({first}); use another file")
