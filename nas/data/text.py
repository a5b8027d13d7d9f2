"""Text from files of others that appears in messages and in the names of classes."""

from __future__ import annotations

import re

__all__ = ["one_line"]

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Replace control characters, line breaks and what is not Unicode, so that a message stays one line."""
    return CONTROL.sub("\ufffd", text)
