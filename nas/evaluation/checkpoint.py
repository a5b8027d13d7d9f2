"""What training goes on from: a network's weights and its optimizer's, in one `.npz` file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.errors import EvaluationError
from nas.files import replace_file

__all__ = ["State", "read_state", "write_state"]


@dataclass(frozen=True)
class State:
    """Where a training stands.

    `weights` are in the order of Keras' `model.weights`, `names` their paths there. `slots` are the
    optimizer's averages, each one vector over the trained weights; empty before the first step.
    """

    names: Sequence[str]
    weights: Sequence[np.ndarray]
    slots: Sequence[np.ndarray] = ()
    steps: int = 0
    epochs: int = 0


def write_state(path: Path, state: State) -> None:
    """Write a checkpoint that is either whole or not there, whenever the process is killed."""
    arrays = {f"weights/{name}": value for name, value in zip(state.names, state.weights, strict=True)}
    arrays |= {f"optimizer/{number}": slot for number, slot in enumerate(state.slots)}
    arrays["progress"] = np.array([state.epochs, state.steps])
    try:
        with replace_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the arrays for a flag
    except OSError as error:
        raise EvaluationError(
            f"a checkpoint must be writable, got '{path}': {error.strerror}; "
            "free space or choose another folder"
        ) from None


def read_state(path: Path) -> State:
    """Read a checkpoint; raises EvaluationError where there is none or it is none."""
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
    return State(tuple(weights), tuple(weights.values()), tuple(slots), steps, epochs)
