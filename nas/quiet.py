"""Suppress what libraries print."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import TextIO

__all__ = ["silence_output", "silence_stderr"]

LOGGERS = ("absl", "tensorflow", "tf2onnx")


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Drop everything written to stdout and stderr by Python and native code, and logs and warnings.

    Exceptions pass through. Acts on the whole process.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_redirect(sys.stdout, 1, re.compile(b"")))
        stack.enter_context(silence_stderr())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name in LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        yield


def silence_stderr(pattern: str = "") -> contextlib.AbstractContextManager[None]:
    """Drop the lines of stderr whose start matches a regular expression, by default all of them.

    The other lines are written when the context ends. Acts on the whole process, native code included.
    """
    return _redirect(sys.stderr, 2, re.compile(pattern.encode()))


@contextlib.contextmanager
def _redirect(stream: TextIO, descriptor: int, dropped: re.Pattern[bytes]) -> Iterator[None]:
    """Collect what is written to a file descriptor; at the end write the lines that are not dropped."""
    with tempfile.TemporaryFile() as collected:
        stream.flush()
        original = os.dup(descriptor)
        os.dup2(collected.fileno(), descriptor)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(original, descriptor)
            collected.seek(0)
            os.write(original, b"".join(line for line in collected if not dropped.match(line)))
            os.close(original)
