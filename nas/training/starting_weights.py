"""The weights that a training begins from: a checkpoint, a Keras file, another training, or a trial's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.backends import build_model, initial_weights, weight_specs
from nas.errors import EvaluationError, InputError
from nas.evaluation import State, load_tensorflow, read_state
from nas.record import SearchRecord
from nas.trials import Trial

__all__ = ["find_trial", "starting_state", "trial_words"]


def trial_words(text: str) -> tuple[str | None, int] | None:
    """Read NAME:TRIAL, or :TRIAL of the latest search (name None); None where the text is neither."""
    match = re.fullmatch(r"(\w[\w.-]*)?:(\d+)", text)
    return (match[1], int(match[2])) if match and not Path(text).exists() else None


def find_trial(record: SearchRecord, number: int) -> Trial:
    """Give a trained trial of a search; raises InputError where there is none of that number."""
    trials = {trial.number: trial for trial in record.trials() if trial.architecture is not None}
    if number not in trials:
        known = f"0 to {max(trials)}" if trials else "none yet"
        raise InputError(
            f"a trial must be in the record of '{record.name}', got {number}; its trials are {known}, "
            f"see nas front {record.name} --all"
        )
    return trials[number]


def starting_state(source: str, architecture: Architecture, seed: int) -> tuple[State, bool]:
    """Read weights for a network; say whether its last layer keeps fresh ones, as for other classes.

    `source`: a checkpoint (.npz), a .weights.h5, a .keras, the folder of a training, or NAME:TRIAL.
    Raises InputError where it cannot be read or is another network's in more than the last layer.
    """
    listed = weight_specs(architecture.layers)
    given = _read(source, architecture)
    values = initial_weights(listed, seed)
    if len(given) != len(values):
        raise InputError(
            f"--from must hold the weights of the same network, got '{source}' with {len(given)} arrays "
            f"for a network with {len(values)}; take the weights of that network"
        )
    last = listed[-1].name.rpartition("/")[0]
    fresh = False
    for place, (weight, array) in enumerate(zip(listed, given, strict=True)):
        if array is not None and array.shape == weight.shape:
            values[place] = np.asarray(array, np.float32)
        elif weight.name.rpartition("/")[0] == last:
            fresh = True
        else:
            what = "none" if array is None else str(list(array.shape))
            raise InputError(
                f"--from must hold the weights of the same network, got '{source}' with {what} for "
                f"{weight.name} of {list(weight.shape)}; take the weights of that network"
            )
    if fresh:
        drawn = initial_weights(listed, seed)
        values = [
            new if weight.name.rpartition("/")[0] == last else value
            for weight, value, new in zip(listed, values, drawn, strict=True)
        ]
    return State([weight.name for weight in listed], values), fresh


def _read(source: str, architecture: Architecture) -> Sequence[np.ndarray | None]:
    words = trial_words(source)
    if words is not None:
        record = SearchRecord.open(words[0])
        return list(read_state(record.file(find_trial(record, words[1]))).weights)
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / "best.npz"
    if not path.is_file():
        raise InputError(
            f"--from must be a file or NAME:TRIAL, got '{source}', which is not there; check the path"
        )
    if path.suffix == ".npz":
        try:
            return list(read_state(path).weights)
        except EvaluationError:
            raise InputError(
                f"--from must be a checkpoint of nas, got '{source}'; take another file"
            ) from None
    if path.name.endswith(".weights.h5"):
        return _from_h5(path, architecture)
    if path.suffix == ".keras":
        return _from_keras(path)
    raise InputError(
        f"--from must be a .npz, .weights.h5 or .keras file or NAME:TRIAL, got '{source}'; take one of those"
    )


def _from_h5(path: Path, architecture: Architecture) -> list[np.ndarray | None]:
    """Let Keras put a file's weights into the network; what it leaves untouched is None."""
    load_tensorflow()
    model = build_model(architecture)
    model.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in model.weights])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is skipped is seen below
            model.load_weights(path, skip_mismatch=True)
    except Exception as error:  # Keras and h5py raise many kinds
        raise _unreadable(path, error) from None
    return [None if np.isnan(array).all() else array for array in model.get_weights()]


def _from_keras(path: Path) -> list[np.ndarray | None]:
    load_tensorflow()
    import keras

    try:
        return list(keras.saving.load_model(path, compile=False).get_weights())
    except Exception as error:  # Keras, zipfile and h5py raise many kinds
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(f"--from must be a file that Keras reads, got '{path}' ({first}); take another file")
