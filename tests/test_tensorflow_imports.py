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
