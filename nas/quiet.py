"""Converters that keep their talk to themselves."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

__all__ = ["silence_output", "silence_stderr"]

LOGGERS = ("absl", "tensorflow", "tf2onnx")


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Keep off the terminal what Python and C++ code write to stdout and stderr, logs and warnings included.

    Errors are raised as ever. Acts on the whole process.
    """
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(tempfile.TemporaryFile())
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            stack.callback(stream.flush)
            os.dup2(sink.fileno(), number)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name, level in levels.items():
            logging.getLogger(name).setLevel(logging.CRITICAL)
            stack.callback(logging.getLogger(name).setLevel, level)
        yield


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Drop what native code writes to the standard error stream, for a library that offers no setting."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
