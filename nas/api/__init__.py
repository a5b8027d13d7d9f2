"""The Python interface: the same verbs as the command line, with named and typed parameters."""

from nas.api.comparing import compare
from nas.api.measuring import Measurement, calibrate, measure, measure_all
from nas.api.searches import Found, find, resume, search
from nas.api.training import train

__all__ = [
    "Found",
    "Measurement",
    "calibrate",
    "compare",
    "find",
    "measure",
    "measure_all",
    "resume",
    "search",
    "train",
]
