"""Checking and cleaning a record never harms a search that runs, and frees space before it needs any."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from recorded_trials import deliver, trial

from nas.cli import main
from nas.errors import InputError
from nas.record import SearchRecord
from nas.searching import Plan, find_problems, find_waste
from nas.searching.health import scratch_folder

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

CONFIG = Plan.parse({"space": {}, "objectives": ("accuracy", "params")}).model_dump(mode="json")

WRITER = """
    import json, sys
    from nas.record import SearchRecord
    record = SearchRecord.create("runs", json.loads(sys.argv[1]))
    print("created", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield


def leave_scratch(name):
    folder = scratch_folder(name)
    folder.mkdir(parents=True)
    (folder / "data").write_text("data")
    return folder


@pytest.mark.trains  # starts a process
def test_a_search_that_runs_in_this_folder_is_left_alone():
    import json

    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), json.dumps(CONFIG)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with writer:
        assert writer.stdout.readline() == b"created\n"
        folder = leave_scratch("runs")
        assert find_problems("runs") == []
        with pytest.raises(InputError, match="another process runs 'runs'"):
            find_waste("runs")
        writer.kill()
    left, is_open = find_problems("runs")
    assert str(folder) in left.text
    assert is_open.text == "The run is open, but no process writes the record."
    for problem in (left, is_open):
        problem.repair()
    assert not folder.exists()
    assert find_problems("runs") == []
    assert SearchRecord.open("runs").state == "interrupted"


def test_space_is_freed_before_what_needs_space():
    record = SearchRecord.create("left", CONFIG)
    record.log(replace(trial(0), state="stopped"))
    record._delivery._stop()
    record.close()
    leave_scratch("left")
    assert ["left by" in each.text for each in find_problems("left")] == [True, False]
    assert "scratch" in find_waste("left")[0].text


def test_a_number_that_no_search_reaches_is_no_long_work():
    record = SearchRecord.create("far", CONFIG)
    deliver(record, replace(trial(10**15), state="stopped"))
    record.finish("complete")
    (problem,) = find_problems("far")
    assert problem.text.startswith("The record has no trial 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...:")


def test_a_search_stays_complete_when_nothing_is_left_to_deliver(capsys):
    SearchRecord.create("done", CONFIG).finish("complete")
    with pytest.raises(SystemExit) as end:
        main(["sync", "done"])
    assert end.value.code == 0
    assert SearchRecord.open("done").state == "complete"
