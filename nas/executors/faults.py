"""Whose fault it is that a job raised an error: of its network, of the memory, of a folder, or of none."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

from nas.errors import EvaluationError, NasError, RunError, SpaceError, StorageError
from nas.evaluation import Job

__all__ = ["OUT_OF_MEMORY", "Fault"]

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG)
"""Errors of a file system that may be repaired while a search waits: it is full, read-only, broken."""

OUT_OF_MEMORY = "out of memory"
"""Start of the reason of a trial that needs more memory than a worker has."""

MAX_REASON = 500  # characters


@dataclass(frozen=True)
class Fault:
    """An error of a job, as a worker reports it.

    kind: "network": equal jobs have equal errors; "memory": it needs more memory than the process had;
    "storage": a folder cannot be written; "unknown": anything else, for example an internal error of
    TensorFlow.
    """

    kind: Literal["network", "memory", "storage", "unknown"]
    reason: str

    @classmethod
    def of(cls, error: Exception, job: Job) -> Fault:
        """Return whose fault an error of a job is."""
        name = type(error).__name__
        lines = str(error).strip().splitlines()
        line = lines[0][:MAX_REASON] if lines else "no message"
        if isinstance(error, MemoryError) or name == "ResourceExhaustedError":  # of TensorFlow
            return cls("memory", f"{OUT_OF_MEMORY}: {line if lines else name}")
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return cls("memory", f"{OUT_OF_MEMORY}: {line}")
        if isinstance(error, StorageError):
            return cls("storage", str(error))
        if isinstance(error, OSError) and error.errno in STORAGE:
            path = error.filename or job.folder
            rule = f"the folders of a search must be writable, got '{path}': {error.strerror}"
            return cls("storage", f"{rule}; free space or set the permissions")
        if isinstance(error, NasError):
            return cls(
                "network" if isinstance(error, EvaluationError | SpaceError) else "unknown", str(error)
            )
        return cls("unknown", f"{name}: {line}")

    def to_error(self) -> RunError:
        """Return the error that the future of the job raises."""
        return StorageError(self.reason) if self.kind == "storage" else EvaluationError(self.reason)
