"""The only place where TensorFlow and Keras are imported, so that both always get the same settings."""

from __future__ import annotations

import gc
import importlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nas.quiet import silence_stderr

__all__ = ["import_keras", "import_tensorflow"]

LOG_LINES = r"WARNING: All log messages before absl|[IWE]\d{4} "
"""Start of the log lines that TensorFlow writes before its log level takes effect."""


def import_tensorflow(task: str = "classification") -> Any:
    """Return TensorFlow; the first call in a process sets up how it computes.

    The settings are those with which small networks train fastest on a processor. Existing environment
    variables take precedence. The first call takes 2 s; it does not import Keras, which training does not
    need and which takes another 2 s and 170 MB.

    For segmentation oneDNN is off: with it, TensorFlow 2.21 corrupts its memory when it trains a separable
    encoder with a decoder of transposed convolutions on 90x120 images.
    """
    if "tensorflow" not in sys.modules:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # TensorFlow skips Keras if this variable selects Keras 2, which is not installed.
        during_import = {"TF_USE_LEGACY_KERAS": "1"}
        if platform.machine() in ("x86_64", "AMD64"):
            during_import["TF_ENABLE_ONEDNN_OPTS"] = "0" if task == "segmentation" else "1"
        with silence_stderr(LOG_LINES), _environment_defaults(during_import):
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.constant(0)  # reads the number of threads
        tensorflow.get_logger().setLevel("ERROR")  # it warns of each network that is traced
        gc.collect()
        gc.freeze()  # the libraries' objects live forever; later collections skip them
    return importlib.import_module("tensorflow")


def import_keras() -> Any:
    """Return Keras, with TensorFlow set up by `import_tensorflow`."""
    if "keras" not in sys.modules:
        import_tensorflow()
    return importlib.import_module("keras")


@contextmanager
def _environment_defaults(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, and remove them afterwards: child processes differ."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
