"""Finds small, fast, accurate convolutional networks for your images and your device.

import nas

if __name__ == "__main__":  # worker processes import the calling script
    result = nas.search("xception_like", data="digits", trials=10)
    found = nas.find(result.name)
    found.export(found.pick("best"), "best")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import (
        Found,
        Measurement,
        calibrate,
        compare,
        find,
        measure,
        measure_all,
        resume,
        search,
        train,
    )
    from nas.architecture import Architecture, Design
    from nas.errors import NasError
    from nas.searching import Confirmation, Result, SearchComparison
    from nas.space import SearchSpace
    from nas.training import TrainingResult
    from nas.trials import Trial

__all__ = [
    "Architecture",
    "Confirmation",
    "Design",
    "Found",
    "Measurement",
    "NasError",
    "Result",
    "SearchComparison",
    "SearchSpace",
    "TrainingResult",
    "Trial",
    "calibrate",
    "compare",
    "find",
    "measure",
    "measure_all",
    "resume",
    "search",
    "train",
]

_PACKAGE_OF = {
    "Architecture": "architecture",
    "Confirmation": "searching",
    "Design": "architecture",
    "Found": "api",
    "Measurement": "api",
    "NasError": "errors",
    "Result": "searching",
    "SearchComparison": "searching",
    "SearchSpace": "space",
    "TrainingResult": "training",
    "Trial": "trials",
    "calibrate": "api",
    "compare": "api",
    "find": "api",
    "measure": "api",
    "measure_all": "api",
    "resume": "api",
    "search": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import nas` is fast."""
    if name not in _PACKAGE_OF:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(importlib.import_module(f"nas.{_PACKAGE_OF[name]}"), name)
