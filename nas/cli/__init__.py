"""The command line: `nas search | front | show | export | train | measure | calibrate | space | ui`."""

from nas.cli.main import app, main

__all__ = ["app", "main"]
