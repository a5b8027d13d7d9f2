"""A search that cannot train anything ends with one error: no guard in the script, or only failed trials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nas
from nas.cli.main import main
from nas.errors import InputError

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

SEARCH = (
    'nas.search("xception_like", objectives=("accuracy", "params"), trials=2, epochs=1, workers=2, name="a")'
)

UNGUARDED = f"import nas\n{SEARCH}\n"

TRAINING_UNGUARDED = f"""import nas
nas.train("mnist_cnn", epochs=1, out="trained")
if __name__ == "__main__":
    {SEARCH}
"""

FAILS_IN_WORKERS = f"""import nas
if __name__ == "__main__":
    {SEARCH}
else:
    raise SystemExit("only one process may run this")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def run_script(text: str, folder: Path, by_input: bool = False) -> list[str]:
    """Run a script that ends with an error and return the lines of its stderr."""
    (folder / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-" if by_input else "script.py"],
        input=text if by_input else "",
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(nas.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    return done.stderr.strip().splitlines()


@pytest.mark.parametrize("script", [UNGUARDED, TRAINING_UNGUARDED])
def test_a_script_without_a_guard_is_one_error(script, folder):
    lines = run_script(script, folder)
    assert [line for line in lines if "Traceback" in line] == lines[:1]
    assert lines[-1] == (
        "nas.errors.InputError: worker processes import the calling script, so that it must call nas under "
        "if __name__ == \"__main__\":, got a call at the top level of 'script.py'; add that line, or use "
        "workers=0"
    )
    with pytest.raises(InputError, match="there is no search"):
        nas.find()


def test_a_script_that_workers_cannot_import_is_one_error(folder):
    lines = run_script(FAILS_IN_WORKERS, folder)
    assert "only one process may run this" in lines
    assert lines[-1].startswith(
        "nas.errors.RunError: worker processes import the calling script, got exit code 1 when one imported "
        "'script.py' (its message is above); put what only the first process may do under"
    )


def test_a_script_on_standard_input_is_one_error(folder):
    lines = run_script(UNGUARDED, folder, by_input=True)
    assert "which must be a file, got '<stdin>'; save it as a file, or use workers=0" in lines[-1]


def test_a_search_whose_trials_all_fail_is_an_error_and_stays_in_the_record(folder, capsys):
    words = ["search", "--objectives", "accuracy,params", "--trials", "2", "--epochs", "1", "--name", "slow"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--workers", "1", "--trial-time", "0.001s"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "nas: a search must train at least one network to its full length, but none of the 2 trials of 'slow'"
        " was: 2 failed, 2 of them because: it took longer than the limit of 0 s; fix that, and train them "
        "again: nas search --resume slow --retry-failed"
    )
    found = nas.find("slow")
    assert [trial.state for trial in found.trials] == ["failed", "failed"]
