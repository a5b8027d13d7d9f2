"""Checkpoints: the weights of a network, the state of its optimizer and its answers in one `.npz` file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import EvaluationError, StorageError
from nas.files import replace_file

if TYPE_CHECKING:
    import keras

__all__ = ["State", "load_weights", "read_answers", "read_state", "write_state"]


@dataclass(frozen=True)
class State:
    """The state of a training.

    `weights` are in the order of Keras' `model.weights`, and `names` are their paths there; they are those
    that were validated. `slots` are the moving averages of the optimizer, each a vector over all trained
    weights; empty before the first step. `last` are the trained weights after the last step, as a vector, if
    `weights` are an average: training continues from them. `answers` are the arrays of `saved` of the answers
    to the validation split.
    """

    names: Sequence[str]
    weights: Sequence[np.ndarray]
    slots: Sequence[np.ndarray] = ()
    steps: int = 0
    epochs: int = 0
    last: np.ndarray | None = None
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)


def write_state(path: Path, state: State) -> None:
    """Write a checkpoint; if the process is killed, the file is complete or unchanged.

    Raises StorageError.
    """
    arrays = {f"weights/{name}": value for name, value in zip(state.names, state.weights, strict=True)}
    arrays |= {f"optimizer/{number}": slot for number, slot in enumerate(state.slots)}
    if state.last is not None:
        arrays["last"] = state.last
    arrays |= {f"answers/{name}": value for name, value in state.answers.items()}
    arrays["progress"] = np.array([state.epochs, state.steps])
    try:
        with replace_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub mistakes the arrays for a flag
    except OSError as error:
        raise StorageError(
            f"a checkpoint must be writable, got '{path}': {error.strerror}; "
            "free space or choose another folder"
        ) from None


def read_state(path: Path) -> State:
    """Read a checkpoint; raises EvaluationError if the file is missing or not a checkpoint."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = {name: file[name] for name in file.files}
        epochs, steps = (int(value) for value in arrays.pop("progress"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise EvaluationError(
            f"a checkpoint must be an .npz file that a trial wrote, got '{path}' ({type(error).__name__}); "
            "train from the start"
        ) from None
    weights = {name.removeprefix("weights/"): a for name, a in arrays.items() if name.startswith("weights/")}
    slots = [a for name, a in arrays.items() if name.startswith("optimizer/")]
    answers = {name.removeprefix("answers/"): a for name, a in arrays.items() if name.startswith("answers/")}
    last = arrays.get("last")
    return State(tuple(weights), tuple(weights.values()), tuple(slots), steps, epochs, last, answers)


def read_answers(path: Path) -> dict[str, np.ndarray]:
    """Read only the answers of a checkpoint; empty if it has none or the file is damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            names = [name for name in file.files if name.startswith("answers/")]
            return {name.removeprefix("answers/"): file[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def load_weights(model: keras.Model, checkpoint: Path) -> None:
    """Load the weights of a checkpoint into a Keras model of the same architecture.

    Raises EvaluationError if the checkpoint is of another network.
    """
    state = read_state(checkpoint)
    expected = [tuple(weight.shape) for weight in model.weights]
    if expected != [value.shape for value in state.weights]:
        raise EvaluationError(
            f"a checkpoint must be of the same network, got '{checkpoint}' with {len(state.weights)} weights "
            f"for a model with {len(expected)}; build the model from the same architecture"
        )
    model.set_weights(list(state.weights))
