"""Engines propose the settings that a search tries, and learn from the results."""

from nas.engines.engine import ENGINES, Engine
from nas.engines.factory import create_engine
from nas.engines.posterior import sample_error_levels

__all__ = ["ENGINES", "Engine", "create_engine", "sample_error_levels"]
