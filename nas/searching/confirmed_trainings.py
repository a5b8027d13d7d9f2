"""Trainings of front members with new seeds, and the file that keeps them: a confirmation resumes from it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.errors import RecordError

__all__ = ["TRAININGS_FILE", "ConfirmedTraining", "read_trainings", "trainings_text"]

TRAININGS_FILE = "confirmed_trainings.json"


@dataclass(frozen=True, eq=False)
class ConfirmedTraining:
    """One training of a front member with a new seed."""

    trial: int
    id: str  # of the architecture
    seed: int  # number of the seed, from 0
    validation: Mapping[str, float]  # qualities on the validation split, by metric: accuracy, loss
    test: Mapping[str, float]  # the same on the test split
    validation_examples: np.ndarray  # (n,) contributions to the first quality, see `Answers.contributions`
    test_examples: np.ndarray
    seconds: float = 0.0
    failed: str = ""  # why it failed; then the rest is empty


def trainings_text(trainings: Iterable[ConfirmedTraining]) -> str:
    """Return the content of `confirmed_trainings.json`."""
    rows = [
        {
            **{name: value for name, value in vars(one).items() if not name.endswith("_examples")},
            "validation_examples": _pack(one.validation_examples),
            "test_examples": _pack(one.test_examples),
        }
        for one in trainings
    ]
    return json.dumps({"trainings": rows})


def read_trainings(text: str) -> list[ConfirmedTraining]:
    """Return what `trainings_text` wrote, nothing for an empty text; raises RecordError."""
    if not text:
        return []
    try:
        rows = json.loads(text)["trainings"]
        return [
            ConfirmedTraining(
                **{name: value for name, value in row.items() if not name.endswith("_examples")},
                validation_examples=_unpack(row["validation_examples"]),
                test_examples=_unpack(row["test_examples"]),
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise RecordError(
            f"{TRAININGS_FILE} must hold trainings, but it is damaged ({error}); delete it in MLflow"
        ) from None


def _pack(values: np.ndarray) -> dict[str, Any]:
    """Return values as JSON: 0 and 1 as bits, others as float32, compressed."""
    is_bits = bool(np.isin(values, (0.0, 1.0)).all())
    content = np.packbits(values.astype(bool)) if is_bits else values.astype("<f4")
    packed = base64.b64encode(zlib.compress(content.tobytes())).decode()
    return {"kind": "bits" if is_bits else "float32", "count": len(values), "data": packed}


def _unpack(packed: Mapping[str, Any]) -> np.ndarray:
    content = zlib.decompress(base64.b64decode(packed["data"]))
    if packed["kind"] == "bits":
        return np.unpackbits(np.frombuffer(content, np.uint8), count=int(packed["count"])).astype(float)
    return np.frombuffer(content, "<f4").astype(float)
