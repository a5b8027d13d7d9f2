"""The environment of all tests; set before TensorFlow is imported."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the command line, where workers use the cores

if "NAS_CACHE" not in os.environ:  # not the user's: tests write to it
    os.environ["NAS_CACHE"] = tempfile.mkdtemp(prefix="nas-test-cache-")
    os.environ["XDG_CACHE_HOME"] = os.environ["NAS_CACHE"]  # of what is known of the device
    atexit.register(shutil.rmtree, os.environ["NAS_CACHE"], ignore_errors=True)
