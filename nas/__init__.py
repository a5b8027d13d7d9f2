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
    from nas.api import Found, Measurement, calibrate, find, measure, measure_all, resume, search, train
    from nas.architecture import Architecture, Design
    from nas.errors import NasError
    from nas.searching import Result
    from nas.space import SearchSpace
    from nas.training import TrainingResult
    from nas.trials import Trial

__all__ = [
    "Architecture",
    "Design",
    "Found",
    "Measurement",
    "NasError",
    "Result",
    "SearchSpace",
    "TrainingResult",
    "Trial",
    "calibrate",
    "find",
    "measure",
    "measure_all",
    "resume",
    "search",
    "train",
]

_PACKAGE_OF = {
    "Architecture": "architecture",
    "Design": "architecture",
    "Found": "api",
    "Measurement": "api",
    "NasError": "errors",
    "Result": "searching",
    "SearchSpace": "space",
    "TrainingResult": "training",
    "Trial": "trials",
    "calibrate": "api",
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
