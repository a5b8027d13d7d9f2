"""Trials as exact text."""

from __future__ import annotations

import json
from typing import Any, get_args

from nas.architecture import Architecture, Training
from nas.errors import NasError
from nas.trials import State, Trial

__all__ = ["decode", "encode"]

STATES = get_args(State)
LARGEST = 2**63 - 1
"""Greatest integer of a trial: greater ones cannot be converted to a float."""


def encode(trial: Trial) -> str:
    """Encode a trial as one line of JSON. `decode` restores it except for `run_id` and `ended_ms`."""
    architecture = trial.architecture
    data = {
        "number": trial.number,
        "setting": dict(trial.setting),
        "id": trial.id,
        "state": trial.state,
        "values": dict(trial.values),
        "epochs": trial.epochs,
        "reason": trial.reason,
        "curve": [dict(epoch) for epoch in trial.curve],
        "seconds": dict(trial.seconds),
        "architecture": architecture and architecture.model_dump(mode="json", exclude_defaults=True),
        "training": trial.training.model_dump(mode="json", exclude_defaults=True),
    }
    return json.dumps(data, separators=(",", ":"), default=_python_number)


def _python_number(value: Any) -> Any:
    """Convert a NumPy scalar to the Python number that equals it."""
    if not hasattr(value, "item"):
        raise TypeError(f"a trial must contain plain values, got {value!r}")
    return value.item()


def decode(text: str, run_id: str = "", ended_ms: int = 0) -> Trial:
    """Decode a trial that `encode` wrote; raises ValueError for any other text."""
    try:
        data = json.loads(text)
        architecture, training = data.pop("architecture"), data.pop("training")
        trial = Trial(
            **{**data, "curve": tuple(data["curve"])},
            architecture=architecture and Architecture.model_validate(architecture),
            training=Training.model_validate(training),
            run_id=run_id,
            ended_ms=ended_ms,
        )
    except (KeyError, TypeError, AttributeError, RecursionError, NasError) as error:
        raise ValueError(f"the text of a trial is damaged: {error}") from None
    if problem := _problem(trial):
        raise ValueError(f"the text of a trial is damaged: {problem}")
    return trial


def _problem(trial: Trial) -> str:
    """Return which field of a decoded trial has a value that no trial has, '' if none has."""
    setting = trial.setting
    valid = {
        "number": type(trial.number) is int and (trial.state == "over_limit" or _is_count(trial.number)),
        "setting": isinstance(setting, dict)
        and all(isinstance(v, str | bool) or _is_number(v) for v in setting.values()),
        "id": isinstance(trial.id, str),
        "state": trial.state in STATES,
        "values": _are_numbers(trial.values),
        "epochs": _is_count(trial.epochs),
        "reason": isinstance(trial.reason, str),
        "curve": all(_are_numbers(epoch) and "epoch" in epoch for epoch in trial.curve),
        "seconds": _are_numbers(trial.seconds),
    }
    return ", ".join(name for name, is_valid in valid.items() if not is_valid)


def _are_numbers(values: object) -> bool:
    return isinstance(values, dict) and all(_is_number(value) for value in values.values())


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= LARGEST)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST
