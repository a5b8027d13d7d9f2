"""The exceptions for errors that a user can cause or fix, and the warning of what is wrong but not fatal.

NasError                 one sentence: the rule, the value, the fix
├── InputError           invalid input (exit code 2)
│   ├── SpaceError       a search space or an architecture breaks a rule
│   ├── DataError        the images, labels or files of a data set
│   ├── LimitError       a limit that no network of the space meets
│   └── ParameterError   a function has no such parameter; also a TypeError
└── RunError             a failure at run time (exit code 1)
    ├── RecordError      MLflow's record cannot be read or written
    ├── EvaluationError  a network could not be trained: its own fault
    ├── WorkerError      no worker can train, whatever the network
    ├── StorageError     a folder cannot be written at the moment
    └── ConversionError  a runtime cannot convert or run a network
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from nas.text import shortened

__all__ = [
    "ConversionError",
    "DataError",
    "EvaluationError",
    "InputError",
    "LimitError",
    "NasError",
    "NasWarning",
    "ParameterError",
    "RecordError",
    "RunError",
    "SpaceError",
    "StorageError",
    "WorkerError",
    "nearest",
]


LISTED = 40
"""Known names that an error's sentence lists."""


class NasError(Exception):
    """An error whose message is all that a user needs; it is shown without a traceback."""

    exit_code = 1


class InputError(NasError):
    """The input is invalid."""

    exit_code = 2


class SpaceError(InputError):
    """A search space or an architecture breaks a rule."""


class DataError(InputError):
    """The images, labels or files of a data set cannot be used."""


class LimitError(InputError):
    """A limit excludes every network of the space."""


class ParameterError(InputError, TypeError):
    """A function of the Python interface has no parameter of this name."""


class RunError(NasError):
    """Something failed at run time."""


class RecordError(RunError):
    """MLflow's record cannot be read or written."""


class EvaluationError(RunError):
    """A network could not be trained."""


class WorkerError(RunError):
    """No worker can train, whatever the network."""


class StorageError(RunError):
    """A folder cannot be written at the moment: the disk is full, or permissions are missing."""


class ConversionError(RunError):
    """A runtime cannot convert or run a network."""


class NasWarning(UserWarning):
    """Something is wrong that does not stop the call: one sentence, which the command line prints."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error's sentence: the known name that is nearest, and all known names."""
    known = sorted(known)
    close = difflib.get_close_matches(shortened(name), known, n=1, cutoff=0.5)
    listed = ", ".join(map(shortened, known[:LISTED])) + (", ..." if len(known) > LISTED else "")
    return f"did you mean '{close[0]}'? Known: {listed}" if close else f"known: {listed}"
