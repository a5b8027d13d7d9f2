"""The Python interface: the same verbs as the command line, with named and typed parameters."""

from nas.api.comparing import compare
from nas.api.networks import Measurement, calibrate, measure, train
from nas.api.searches import Found, find, resume, search

__all__ = ["Found", "Measurement", "calibrate", "compare", "find", "measure", "resume", "search", "train"]
