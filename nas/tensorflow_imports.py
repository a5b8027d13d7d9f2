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

from nas.errors import InputError
from nas.quiet import silence_stderr

__all__ = ["import_keras", "import_tensorflow", "keras_settings"]

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
        # TensorFlow skips Keras if the first variable selects Keras 2, which is not installed. It reads the
        # user's keras.json by itself, and fails for unknown values, unless the second is no folder.
        during_import = {"TF_USE_LEGACY_KERAS": "1", "KERAS_HOME": os.devnull}
        if platform.machine() in ("x86_64", "AMD64"):
            own = "0" if task == "segmentation" else "1"
            during_import["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", own)
        with silence_stderr(LOG_LINES), _environment(during_import):  # child processes differ
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.constant(0)  # reads the number of threads
        tensorflow.get_logger().setLevel("ERROR")  # it warns of each network that is traced
        gc.collect()
        gc.freeze()  # the libraries' objects live forever; later collections skip them
    return importlib.import_module("tensorflow")


def import_keras() -> Any:
    """Return Keras with the backend TensorFlow, which `import_tensorflow` sets up.

    The backend that `KERAS_BACKEND` or `~/.keras/keras.json` names does not count. Raises InputError if the
    process has imported Keras with another one, or if Keras refuses that file.
    """
    if "keras" not in sys.modules:
        import_tensorflow()
        try:
            with _environment({"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "0"}):
                importlib.import_module("keras")
        except (ValueError, AttributeError) as error:
            raise InputError(
                f"Keras' file of settings, ~/.keras/keras.json, must have valid values, got: {error}; "
                "correct or delete it"
            ) from error
    keras = importlib.import_module("keras")
    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"Keras must run on TensorFlow here, got Keras with the backend {keras.config.backend()}, which "
            "this process has imported; set KERAS_BACKEND=tensorflow before, or use another process"
        )
    return keras


@contextmanager
def keras_settings() -> Iterator[None]:
    """Build Keras objects of float32 with channels last; the process has its own settings again afterwards.

    Such settings come from `~/.keras/keras.json`, or from calls of `keras.config` in the user's process.
    """
    config = import_keras().config
    floatx, epsilon, policy = config.floatx(), config.epsilon(), config.dtype_policy()
    image_data_format = config.image_data_format()
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_dtype_policy("float32")
    config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        config.set_floatx(floatx)
        config.set_epsilon(epsilon)
        config.set_dtype_policy(policy)
        config.set_image_data_format(image_data_format)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
