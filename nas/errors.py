"""What can go wrong for a user, as one small tree.

NasError                 one sentence: the rule, the value, the fix
├── InputError           what was asked for cannot be done as asked (exit code 2)
│   ├── SpaceError       a search space or an architecture breaks a rule
│   ├── DataError        the images, labels or files of a data set
│   └── LimitError       a limit that nothing in the space can meet
└── RunError             something failed while working (exit code 1)
    ├── RecordError      MLflow's record cannot be read or written
    ├── EvaluationError  a network could not be trained
    └── ConversionError  a runtime cannot convert or run a network
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConversionError",
    "DataError",
    "EvaluationError",
    "InputError",
    "LimitError",
    "NasError",
    "RecordError",
    "RunError",
    "SpaceError",
    "nearest",
]


class NasError(Exception):
    """An error that its message explains to a user in full; never shown with a traceback."""

    exit_code = 1


class InputError(NasError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class SpaceError(InputError):
    """A search space or an architecture breaks a rule."""


class DataError(InputError):
    """The images, labels or files of a data set cannot be used."""


class LimitError(InputError):
    """A limit that nothing in the space can meet."""


class RunError(NasError):
    """Something failed while working."""


class RecordError(RunError):
    """MLflow's record cannot be read or written."""


class EvaluationError(RunError):
    """A network could not be trained."""


class ConversionError(RunError):
    """A runtime cannot convert or run a network."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names comes nearest, as the end of an error's sentence."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known)
    return f"did you mean '{close[0]}'? Known: {listed}" if close else f"known: {listed}"
