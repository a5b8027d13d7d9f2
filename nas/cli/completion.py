"""Values that the shell completes. They are computed without loading TensorFlow or MLflow."""

from __future__ import annotations

__all__ = ["complete_engine", "complete_formats", "complete_network", "complete_space"]


def complete_space(incomplete: str) -> list[str]:
    """Return the shipped spaces that begin with a text."""
    from nas.space import shipped_files

    return [name for name in shipped_files() if name.startswith(incomplete)]


def complete_network(incomplete: str) -> list[str]:
    """Return the shipped networks that begin with a text."""
    from nas.space import shipped_files

    return [name for name in shipped_files("models") if name.startswith(incomplete)]


def complete_engine(incomplete: str) -> list[str]:
    """Return the engines that begin with a text."""
    from nas.engines import ENGINES

    return [name for name in ENGINES if name.startswith(incomplete)]


def complete_formats(incomplete: str) -> list[str]:
    """Return the export formats that continue a comma-separated list."""
    from nas.export import FORMATS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in FORMATS if name.startswith(last)]
