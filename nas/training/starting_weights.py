"""The weights that a training starts from: of a checkpoint, a Keras file, another training, or a trial."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.backends import TargetScale, build_model, initial_weights, weight_specs
from nas.errors import EvaluationError, InputError
from nas.evaluation import State, read_state
from nas.export import read_from_keras
from nas.record import SearchRecord, parse_trial_reference, recorded_trial
from nas.searching import Plan
from nas.tensorflow_imports import import_keras

__all__ = ["StartingWeights", "starting_weights"]

SHOWN_CLASSES = 6
"""Number of class names that a message lists."""


@dataclass(frozen=True)
class StartingWeights:
    """Weights to start from, and what became of the last layer."""

    state: State
    has_new_head: bool  # the last layer is initialized
    note: str  # a sentence about the last layer, '' if the weights are known to be for the same classes


def starting_weights(
    source: str,
    architecture: Architecture,
    classes: Sequence[str],
    seed: int,
    scale: TargetScale | None = None,
) -> StartingWeights:
    """Return starting weights for a network whose outputs have these class names.

    The last layer is initialized if its shape differs, or if the weights are for other classes or for the
    same ones in another order. Weights that do not say for which classes they are count as for the same ones.

    source: a checkpoint (.npz), a .weights.h5 or .keras file, the folder of a training, or NAME:TRIAL.
    scale: of the numbers that a network for regression predicts.

    Raises InputError if the source cannot be read, or belongs to a network that differs in more than the last
    layer.
    """
    specs = weight_specs(architecture.layers)
    given = _read(source, architecture)
    initial = initial_weights(specs, seed)
    if scale is not None:
        initial = scale.fold(initial)
    values = list(initial)
    if len(given) != len(values):
        raise InputError(
            f"--from must contain the weights of the same network, got '{source}' with {len(given)} arrays "
            f"for a network with {len(values)}; use the weights of that network"
        )
    last = specs[-1].name.rpartition("/")[0]
    before = _class_names(source)
    has_new_head = before is not None and list(before) != list(classes)
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
        values = [
            new if spec.name.rpartition("/")[0] == last else value
            for spec, value, new in zip(specs, values, initial, strict=True)
        ]
    state = State([spec.name for spec in specs], values)
    return StartingWeights(state, has_new_head, _note(has_new_head, before, classes))


def _note(has_new_head: bool, before: Sequence[str] | None, classes: Sequence[str]) -> str:
    if has_new_head:
        given = "other classes" if before is None else f"the classes {_listed(before)}"
        return (
            f"The last layer starts with new weights: the given ones are for {given}, not {_listed(classes)}."
        )
    if before is None:
        return (
            "The last layer is kept, but the given weights do not say for which classes they are: "
            f"make sure that these are {_listed(classes)}, in this order."
        )
    return ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_CLASSES])
    return shown if len(names) <= SHOWN_CLASSES else f"{shown}, ... ({len(names)})"


def _class_names(source: str) -> Sequence[str] | None:
    """Return the names of the classes that weights are for, in the order of the outputs; None if unknown.

    They are in the plan of a search, in a `.keras` file, and beside other files: in the `training.json` of a
    training's folder, else in `labels.txt`.
    """
    reference = parse_trial_reference(source)
    if reference is not None:
        signature = Plan.parse(SearchRecord.open(reference[0]).config).signature
        return None if signature is None else signature.classes
    path = Path(source).expanduser()
    if path.suffix == ".keras" and (written := read_from_keras(path)) is not None:
        return written.classes
    folder = path if path.is_dir() else path.parent
    training, labels = folder / "training.json", folder / "labels.txt"
    if (path.is_dir() or path.suffix == ".npz") and training.is_file():
        recorded = json.loads(training.read_text(encoding="utf-8")).get("classes")
        if recorded is not None:
            return [str(name) for name in recorded]
    return labels.read_text(encoding="utf-8").split("\n")[:-1] if labels.is_file() else None


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
