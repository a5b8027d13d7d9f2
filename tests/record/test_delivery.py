"""Nothing is lost: killed processes, a full disk, a server that goes away and comes back."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_trials import Digits, deliver, free_port, run_of, serve, stop, trial

from nas.errors import InputError, RecordError
from nas.record import SearchRecord
from nas.trials import Trial

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


WRITER = """
    import sys
    from dataclasses import replace
    sys.path.insert(0, {tests!r})
    from recorded_trials import trial
    from nas.record import SearchRecord
    record = SearchRecord.create("killed", {{"seed": 1}})
    print("name", flush=True)
    for number in range(10_000):
        record.log_over_limit([trial(2 * number + 1, state="over_limit", epochs=0, curve=())])
        record.log(trial(2 * number, epochs=40))
        print(number, flush=True)
"""


def without_runs(trials: list[Trial]) -> list[Trial]:
    return [replace(each, run_id="") for each in trials]


def start_writer(code: str, **options: object) -> subprocess.Popen[str]:
    text = textwrap.dedent(code.format(tests=str(Path(__file__).parents[1])))
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_the_record_of_a_killed_process_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = start_writer(WRITER)
    lines = []
    for line in writer.stdout:
        lines.append(line.strip())
        if line.strip() == "8":
            with pytest.raises(InputError, match="but another one runs"):
                SearchRecord.resume("killed")
            SearchRecord.open("killed").trials()  # reading meanwhile changes nothing
        if line.strip() == "30":
            break
    time.sleep(0.012)  # in the middle of the next trial
    os.kill(writer.pid, signal.SIGKILL)
    with writer:
        rest = writer.stdout.read()  # communicate() would skip what the iteration has buffered
        errors = writer.stderr.read()
    assert writer.returncode == -signal.SIGKILL
    assert errors == ""  # nothing of MLflow's own, though the database was made
    returned = [int(line) for line in [*lines, *rest.split()] if line != "name"]

    record = SearchRecord.resume()
    found = record.trials()
    assert {each.number for each in found} >= {n for k in returned for n in (2 * k, 2 * k + 1)}
    assert len(found) <= 2 * len(returned) + 2
    assert not record.notices
    for each in found:
        over_limit = {"state": "over_limit", "epochs": 0, "curve": ()} if each.number % 2 else {"epochs": 40}
        assert replace(each, run_id="") == trial(each.number, **{"epochs": 40, **over_limit})
    _, search = run_of(record.run_id)
    assert search.info.status == "RUNNING"
    resumed = deliver(record, trial(99_999))
    record.finish("complete")
    after = SearchRecord.open("killed").trials()
    assert without_runs(after) == without_runs([*found, resumed])
    assert all(each.run_id for each in after if each.state == "complete")


FULL = """
    import os, resource, signal, sys
    sys.path.insert(0, {tests!r})
    from recorded_trials import trial
    from nas.errors import StorageError
    from nas.record import SearchRecord
    record = SearchRecord.create("full", {{}})
    record.log(trial(0))
    record.flush()
    size = os.path.getsize("mlruns/mlflow.db")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for number in range(1, 60):
        record.log(trial(number, epochs=50))
        if not record.flush():
            break
    print(number, record.delivery_problem, sep="|", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        record.log(trial(number + 1))
    except StorageError as error:
        print(error, flush=True)
    os._exit(0)
"""


def test_no_trial_is_lost_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, errors = start_writer(FULL).communicate()
    assert errors == ""
    spooled, refused = out.splitlines()
    number, problem = spooled.split("|")
    assert "cannot be written" in problem
    assert refused.startswith("results must be written to disk before they count, but '/")
    assert "/spool/full' cannot be written (File too large); free some space" in refused
    assert errors == ""
    assert [each.number for each in SearchRecord.open().trials()] == list(range(int(number) + 1))
    record = SearchRecord.resume()
    assert record.flush()
    assert record.undelivered == 0
    record.finish("complete")
    assert all(each.run_id for each in SearchRecord.open().trials())
    assert not Path("mlruns/spool/full").exists()


def test_no_trial_is_lost_while_a_server_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"weights")
    server = serve(tmp_path, port)
    try:
        record = SearchRecord.create("far", {"seed": 5}, Digits())
        first = deliver(record, trial(0), {"checkpoint.npz": tmp_path / "weights"})
        record.log_over_limit([trial(1, state="over_limit", epochs=0, curve=())])
        record.flush()
        run_page = f"http://127.0.0.1:{port}/#/experiments/1/runs/{first.run_id}"
        assert record.link(first.run_id).startswith(run_page)
        assert record.file(first).read_bytes() == b"weights"
    finally:
        stop(server)

    wild = {"accuracy": 0.1 + 0.2, "gain": math.inf, "loss": -math.inf}
    second = deliver(record, trial(2, epochs=5, values=wild), {"checkpoint.npz": tmp_path / "weights"})
    third = deliver(record, trial(0, epochs=9))
    record.log_over_limit([trial(3, state="over_limit", epochs=0, curve=())])
    record.mark_front([2], 0.5, 4)
    record.attach({"front.csv": "trial\n2\n"})
    record.finish("interrupted")
    assert "nothing answers there; start the server" in record.delivery_problem
    assert record.undelivered == 2
    assert record.file(second).read_bytes() == b"weights"
    with pytest.raises(RecordError, match="be opened: nothing answers there"):
        SearchRecord.open("far")

    server = serve(tmp_path, port)
    try:
        assert [each.number for each in SearchRecord.open("far").trials()] == [0, 1, 2, 3]
        again = SearchRecord.resume("far")
        again.flush()
        assert (again.undelivered, again.delivery_problem) == (0, "")
        again.finish("complete")
        found = SearchRecord.open("far").trials()
        assert found[0] == third
        assert replace(found[2], run_id="") == second
        assert all(found[n].run_id for n in (0, 2))
        assert again.file(found[2]).read_bytes() == b"weights"
        assert not Path("mlruns/spool/far").exists()
        assert not Path("mlruns/mlflow.db").exists()
    finally:
        stop(server)
