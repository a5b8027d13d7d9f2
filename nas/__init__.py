"""Search for small, fast, accurate convolutional networks for your images and your device.

import nas

if __name__ == "__main__":
    result = nas.search("xception_like", data="digits", trials=10)
    best = nas.find(result.name).pick("knee")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import Found, find, resume, search
    from nas.architecture import Architecture, Design
    from nas.errors import NasError
    from nas.space import SearchSpace

__all__ = [
    "Architecture",
    "Design",
    "Found",
    "NasError",
    "SearchSpace",
    "find",
    "resume",
    "search",
]

_PACKAGE_OF = {
    "Architecture": "architecture",
    "Design": "architecture",
    "Found": "api",
    "NasError": "errors",
    "SearchSpace": "space",
    "find": "api",
    "resume": "api",
    "search": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import nas` stays fast."""
    if name not in _PACKAGE_OF:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(importlib.import_module(f"nas.{_PACKAGE_OF[name]}"), name)
