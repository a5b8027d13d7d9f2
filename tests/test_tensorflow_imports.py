"""The settings of TensorFlow, and the only place that imports it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nas

ROOT = Path(nas.__file__).parent

SETTINGS = """
import json, os, sys
from nas.tensorflow_imports import import_keras, import_tensorflow
before = dict(os.environ)
import_tensorflow(sys.argv[1])
from tensorflow.python.util._pywrap_util_port import IsMklEnabled
result = {"onednn": IsMklEnabled(), "keras": "keras" in sys.modules,
          "added": sorted(set(os.environ) - set(before))}
import_keras()
import keras_tuner
print(json.dumps(result))
"""


def settings(task, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, task], env=inherited | environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.trains
@pytest.mark.parametrize(
    ("task", "environment", "onednn"),
    [
        ("segmentation", {}, False),
        ("classification", {"TF_ENABLE_ONEDNN_OPTS": "0"}, False),
        ("segmentation", {"TF_ENABLE_ONEDNN_OPTS": "1"}, True),
    ],
)
def test_onednn_depends_on_the_environment_then_on_the_task(task, environment, onednn):
    result = settings(task, **environment)
    assert result["onednn"] == onednn
    assert not result["keras"]
    # A worker process decides about oneDNN itself: it may train for another task.
    assert "TF_ENABLE_ONEDNN_OPTS" not in result["added"]


def test_no_other_module_imports_tensorflow_or_keras():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "served_network.py":  # MLflow runs a copy of it without nas
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = [
            node
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for node in block.body
        ]
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if node not in for_types and {"keras", "tensorflow"} & set(names):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


EXPORT = """
import json, os
from pathlib import Path
from nas.architecture import Design
from nas.export import ExportOptions, export_files
before = dict(os.environ)
network = {"input_shape": [16, 12, 3], "classes": 4, "stages": [{"width": 8, "normalization": "after"}]}
design = Design.from_dict(network)
export_files(design, None, Path("files"), ExportOptions(("keras", "python", "litert")))
added = [name for name in os.environ if os.environ[name] != before.get(name)]
print(json.dumps([name for name in added if name.startswith("KERAS")]))
"""

USE_FILE = """
import keras, numpy as np
model = keras.models.load_model("files/model.keras")
outputs = model(np.zeros((1, 16, 12, 3)))
print(outputs.shape)
print({str(v.dtype) for v in model.weights}, {str(v.dtype) for v in model.optimizer.variables})
print({layer.compute_dtype for layer in model.layers})
print({getattr(layer, "data_format", "channels_last") for layer in model.layers})
"""


def run_in_home(script, folder, settings, **environment):
    """Run a script with a home folder whose `keras.json` holds these settings."""
    (folder / ".keras").mkdir(exist_ok=True)
    (folder / ".keras" / "keras.json").write_text(json.dumps(settings))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
    return subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | {"HOME": str(folder), "PYTHONPATH": str(ROOT.parent)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.trains
def test_settings_of_the_user_s_keras_do_not_reach_exported_files(tmp_path):
    unusual = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1, "backend": "jax"}
    environment = {"KERAS_BACKEND": "torch", "KERAS_NNX_ENABLED": "1"}
    done = run_in_home(EXPORT, tmp_path, unusual, **environment)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[]\n")
    used = run_in_home(USE_FILE, tmp_path, {})
    assert used.returncode == 0, used.stderr
    assert used.stdout.replace("{'int64', 'float32'}", "{'float32', 'int64'}").splitlines() == [
        "(1, 4)", "{'float32'} {'float32', 'int64'}", "{'float32'}", "{'channels_last'}",
    ]  # fmt: skip


OWN_PROCESS = """
import keras
keras.config.set_floatx("float64")
keras.config.set_image_data_format("channels_first")
keras.config.set_dtype_policy("mixed_float16")
from nas.architecture import Architecture
from nas.backends import build_model
network = {"input_shape": [16, 12, 3], "classes": 4, "stages": [{"width": 8}]}
model = build_model(Architecture.from_dict(network))
print({layer.compute_dtype for layer in model.layers}, model.output_shape)
config = keras.config
print(config.floatx(), config.image_data_format(), config.epsilon(), config.dtype_policy().name)
"""


@pytest.mark.trains
def test_the_user_s_process_keeps_its_settings(tmp_path):
    done = run_in_home(OWN_PROCESS, tmp_path, {"epsilon": 0.1})
    assert done.stdout.splitlines() == [
        "{'float32'} (None, 4)",
        "float64 channels_first 0.1 mixed_float16",
    ], done.stderr


REFUSED = """
if {imported}:
    import keras
    keras.config.backend = lambda: "jax"  # as after the import of Keras with KERAS_BACKEND=jax
from nas.errors import InputError
from nas.tensorflow_imports import import_keras
try:
    import_keras()
except InputError as error:
    print(error)
"""


@pytest.mark.trains
@pytest.mark.parametrize(
    ("imported", "settings", "message"),
    [
        (True, {}, "Keras must run on TensorFlow here, got Keras with the backend jax, which"),
        (False, {"floatx": "bfloat16"}, "~/.keras/keras.json, must have valid values, got: Invalid"),
    ],
)
def test_keras_that_cannot_be_used_is_refused(tmp_path, imported, settings, message):
    done = run_in_home(REFUSED.replace("{imported}", str(imported)), tmp_path, settings)
    assert message in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
