"""Samplers: which setting is tried next."""

from nas.engines.engine import Engine

__all__ = ["Engine"]
