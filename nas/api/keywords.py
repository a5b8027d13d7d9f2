"""Refuse a keyword that a function does not have with the name that is nearest."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nas.errors import ParameterError, nearest

__all__ = ["refuse_unknown_keywords"]

P = ParamSpec("P")
R = TypeVar("R")


def refuse_unknown_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of the public interface raise ParameterError for an unknown keyword."""
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                raise ParameterError(
                    f"nas.{function.__name__} has no parameter '{name}'; {nearest(name, known)}"
                )
        return function(*args, **kwargs)

    return checked
