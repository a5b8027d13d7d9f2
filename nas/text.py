"""Text from outside, as it may be shown: without control characters, credentials and excess length."""

from __future__ import annotations

import os
import re
import unicodedata

__all__ = ["error_line", "printable", "redacted", "shortened"]

ECHOED = 80
"""Characters of a value that an error's sentence repeats."""

REASON = 300
"""Characters of a library's error that a sentence repeats."""

REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that change the direction of the text that follows."""

CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/'\"@]*|[^\s/:@]+:(?!\d+(?:/|$))[^\s@]*)@(?:[^\s/'\"@]*@)*")
"""What stands before the last `@` of an address; a password may contain slashes, but a port is none."""
QUERY_SECRET = re.compile(
    r"(?i)([?&;](?:[\w-]*(?:token|password|passwd|pwd|secret|key|signature))=)[^\s&'\"]+"
)
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY")
SHORTEST_SECRET = 4


def printable(text: str) -> str:
    """Return a text with its control characters escaped, which could change what a terminal shows.

    >>> printable("red \\x1b[31m")
    'red \\\\x1b[31m'
    """
    return "".join(character if _is_printable(character) else _escape(character) for character in text)


def _is_printable(character: str) -> bool:
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in REORDERING


def _escape(character: str) -> str:
    return repr(character)[1:-1] if not character.isprintable() else f"\\u{ord(character):04x}"


def redacted(text: str) -> str:
    """Return a text without the credentials in the addresses that it contains, and those of the environment.

    >>> redacted("no answer from https://me:secret@host/x?token=abc")
    'no answer from https://host/x?token=***'
    """
    text = QUERY_SECRET.sub(r"\1***", CREDENTIALS.sub("", text))
    for name in SECRET_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def error_line(error: BaseException) -> str:
    """Return the line of a library's message that states the error: that with `error:`, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return shortened((errors or lines or [type(error).__name__])[0], REASON)


def shortened(text: object, length: int = ECHOED) -> str:
    """Return the start of a text, to be repeated in an error's sentence."""
    full = str(text)
    return full if len(full) <= length else f"{full[: length - 1]}…"
