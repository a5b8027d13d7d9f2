"""The command line: the commands of `nas`, one module for each group."""

from nas.cli.main import app, main

__all__ = ["app", "main"]
