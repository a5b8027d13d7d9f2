"""One process on one machine writes a record, and what it could not deliver is not lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from recorded_trials import deliver, free_port, serve, stop, trial

from nas.architecture import Training
from nas.errors import InputError, RecordError
from nas.record import SearchRecord, lease, waiting_searches
from nas.record.lease import Holder, Lease, LeaseLostError

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = [
    pytest.mark.trains,  # starts processes and creates databases
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

HOLD = """
    import sys, time
    from nas.record import SearchRecord
    try:
        record = SearchRecord.resume("shared")
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(1)
    print("holds", flush=True)
    sys.stdin.readline()
    record.finish("interrupted")
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    """Resume the search from another folder, in another process."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record that several folders use, with a search that has ended."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    record = SearchRecord.create("shared", {"seed": 1})
    deliver(record, trial(0))
    record.finish("complete")
    return tmp_path


def of_another_machine(record: SearchRecord, **changes: object) -> None:
    """Make the holder of the lease look like a process of another machine."""
    store = record._store
    tags = store.client.get_run(record.run_id).data.tags
    holder = Holder(**json.loads(tags[lease.TAG]))
    values = {"machine": "far:1:2", "host": "far", "folder": "/far/away", **changes}
    store.client.set_tag(record.run_id, lease.TAG, json.dumps(asdict(replace(holder, **values))))


def test_two_folders_cannot_resume_one_search(shared: Path) -> None:
    first = start_holder(shared / "a")
    assert first.stdout.readline() == "holds\n"
    second = start_holder(shared / "b")
    out, _ = second.communicate(timeout=120)
    assert out.startswith("InputError: a search is written by one process, but process ")
    assert "writes 'shared'; wait until it ends" in out
    first.communicate("\n", timeout=120)
    assert first.returncode == 0
    record = SearchRecord.resume("shared")  # it was released
    record.finish("complete")


def test_a_killed_process_of_this_machine_does_not_keep_the_lease(shared: Path) -> None:
    first = start_holder(shared / "a")
    assert first.stdout.readline() == "holds\n"
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    notes: list[str] = []
    record = SearchRecord.resume("shared", notes.append)
    record.finish("complete")
    (note,) = notes  # what the killed process kept lies in its own folder
    assert f"process {first.pid}" in note
    assert f"in {shared / 'a'}, where results may wait" in note


def test_of_processes_that_resume_at_once_one_has_the_lease(shared: Path) -> None:
    record = SearchRecord.open("shared")
    leases: list[Lease] = []

    def acquire() -> None:
        with contextlib.suppress(InputError, LeaseLostError):
            leases.append(Lease.acquire(record._store, record.run_id, "shared"))

    threads = [threading.Thread(target=acquire) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def may_write(one: Lease) -> bool:
        try:
            one.renew()
        except LeaseLostError:
            return False
        return True

    assert sum(may_write(one) for one in leases) == 1


def test_a_lease_of_another_machine_expires(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = SearchRecord.open("shared")
    of_another_machine(record, released=False, renewed=time.time(), process=77)
    with pytest.raises(
        InputError, match=r"process 77 on far writes 'shared'; wait until it ends, or \d+ s if"
    ):
        SearchRecord.resume("shared")
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.01)
    of_another_machine(record, released=False, renewed=time.time() - 3600, waiting=3)
    notes: list[str] = []
    again = SearchRecord.resume("shared", notes.append)
    assert "watching" in notes[0]
    assert (
        "on far in /far/away, where 3 results may wait to be delivered; `nas sync shared` there" in notes[1]
    )
    again.finish("complete")


def test_a_clock_that_is_wrong_does_not_take_the_lease_of_a_process_that_lives(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SearchRecord.open("shared")
    of_another_machine(record, released=False, renewed=time.time() - 3600)

    def renew(_: float) -> None:
        of_another_machine(record, renewed=time.time() - 3590)

    monkeypatch.setattr(lease.time, "sleep", renew)
    with pytest.raises(InputError, match="on far writes 'shared'; wait until it ends"):
        SearchRecord.resume("shared")


def test_a_damaged_lease_is_no_lease(shared: Path) -> None:
    record = SearchRecord.open("shared")
    for text in ("", "{", "[]", '{"session": "1"}', json.dumps({"session": 1, "released": False})):
        record._store.client.set_tag(record.run_id, lease.TAG, text)
        SearchRecord.resume("shared").finish("complete")


@pytest.mark.parametrize("process", [-1, 10**30])
def test_a_holder_that_is_no_process_is_dead(shared: Path, process: int) -> None:
    record = SearchRecord.open("shared")
    of_another_machine(record, machine=lease._machine(), process=process, released=False)
    SearchRecord.resume("shared").finish("complete")


def test_a_process_that_lost_its_lease_delivers_nothing_and_says_so(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.01)
    record = SearchRecord.resume("shared")
    deliver(record, trial(1))
    of_another_machine(record, renewed=time.time() - 3600)  # as if the server had not heard of it for an hour
    monkeypatch.chdir(shared)
    other = SearchRecord.resume("shared")
    deliver(other, trial(2))
    monkeypatch.chdir(shared / "home")
    record.log(trial(2, training=Training(optimizer="adam")))
    record._delivery._lease._renew_at = 0.0
    with pytest.raises(LeaseLostError, match=r"it was resumed by process .* `nas sync` delivers"):
        record.flush()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            record.raise_if_lost()
        except LeaseLostError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the thread does not notice that the lease is lost")
    assert record.undelivered == 1
    record.close()
    other.finish("complete")
    assert [each.number for each in SearchRecord.open("shared").trials()][:3] == [0, 1, 2]

    assert waiting_searches() == {"shared": 1}
    assert SearchRecord.deliver("shared") == 1
    trials = SearchRecord.open("shared").trials()
    assert [each.number for each in trials] == [0, 1, 2, 3]
    assert trials[3].training.optimizer == "adam"  # under a new number: 2 is a trial of the other process
    assert trials[3].run_id
    assert not (shared / "home/mlruns/spool/shared").exists()
    assert SearchRecord.open("shared")._run.info.status == "FINISHED"  # as the other process has ended it


def test_two_machines_cannot_create_one_name(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.record import mlflow_runs

    create = mlflow_runs.create_search_run

    def create_twice(store, name, config):  # another machine creates it at the same time, a little earlier
        create(store, name, {"machine": "far"})
        time.sleep(0.01)
        return create(store, name, config)

    monkeypatch.setattr(mlflow_runs, "create_search_run", create_twice)
    with pytest.raises(InputError, match="'new', which is in use"):
        SearchRecord.create("new", {"machine": "here"})
    assert SearchRecord.open("new").config == {"machine": "far"}


def test_what_waits_is_delivered_when_the_server_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.chdir(tmp_path)
    server = serve(tmp_path, port)
    try:
        record = SearchRecord.create("far", {})
        deliver(record, trial(0))
    finally:
        stop(server)
    record.log(trial(1))
    record.attach({"front.csv": "x"})
    record.finish("complete")
    assert record.undelivered == 1
    with pytest.raises(RecordError, match="nothing answers there"):
        SearchRecord.deliver("far")
    assert waiting_searches() == {"far": 1}
    server = serve(tmp_path, port)
    try:
        assert SearchRecord.deliver("far") == 1
        assert waiting_searches() == {}
        found = SearchRecord.open("far")
        assert [each.number for each in found.trials()] == [0, 1]
        assert found._run.info.status == "FINISHED"
        assert [item.path for item in found._search._artifacts.list_artifacts()] == ["front.csv"]
    finally:
        stop(server)


def test_what_waits_does_not_change_how_another_machine_ended_the_search(shared: Path) -> None:
    record = SearchRecord.resume("shared")
    record._delivery._stop()
    record.log(trial(1))
    record._delivery.close()  # killed before anything was delivered
    record._right.lock.release()
    record._store.client.set_terminated(record.run_id, "FINISHED")
    assert SearchRecord.deliver("shared") == 1
    assert SearchRecord.open("shared").state == "complete"


def test_what_waits_is_not_delivered_to_another_record(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = SearchRecord.resume("shared")
    monkeypatch.setattr(record._delivery, "flush", lambda: False)
    record.log(trial(1))
    record._delivery._stop()
    record.finish("complete")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}/other.db")
    with pytest.raises(RecordError, match="there is no record in"):
        SearchRecord.deliver("shared")
    SearchRecord.create("unrelated", {}).finish("complete")
    with pytest.raises(RecordError, match="set MLFLOW_TRACKING_URI"):
        SearchRecord.deliver("shared")
    assert waiting_searches() == {"shared": 1}


def test_a_copy_of_a_project_does_not_wait_for_the_process_that_writes_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    monkeypatch.chdir(original)
    record = SearchRecord.create("photos", {})
    shutil.copytree(original, copy)
    monkeypatch.chdir(copy)
    SearchRecord.resume("photos").finish("complete")
    monkeypatch.chdir(original)
    record.finish("interrupted")
    assert SearchRecord.open("photos").state == "interrupted"
