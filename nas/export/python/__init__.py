"""Designs as readable Python source that needs only Keras."""

from nas.export.python.source import export_python, python_source

__all__ = ["export_python", "python_source"]
