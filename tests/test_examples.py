"""The examples run as they stand, with less to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_first_example_searches_and_hands_over_a_model(tmp_path):
    script = f"import runpy; runpy.run_path({str(EXAMPLES / '01_search.py')!r})['main'](trials=2, epochs=1)"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert ended.returncode == 0, ended.stderr
    assert "parameters" in ended.stdout
    assert "Total params" in ended.stdout
