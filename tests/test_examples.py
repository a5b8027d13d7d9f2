"""The examples run, with fewer trials and epochs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.trains
def test_the_first_example_searches_and_returns_a_model(tmp_path):
    example = str(EXAMPLES / "01_search.py")
    script = f"import runpy; runpy.run_path({example!r})['main'](trials=2, epochs=1, workers=0)"
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert process.returncode == 0, process.stderr
    assert "parameters" in process.stdout
    assert "Total params" in process.stdout
