"""The store: its address, its failures as one sentence, its user interface."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from recorded_trials import ARCHITECTURE, deliver, free_port, trial

from nas.architecture import Architecture, read_yaml
from nas.errors import InputError, RecordError, StorageError
from nas.record import SearchRecord, mlflow_server_command, tracking_uri

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_a_file_named_mlruns_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(InputError, match=r"must be writable, got '.*mlruns"):
        SearchRecord.create("x", {})


def test_a_damaged_database_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RecordError, match="cannot be opened: the file is not an MLflow database"):
        SearchRecord.open()


@pytest.mark.trains
@pytest.mark.parametrize("moment", range(4))
def test_a_process_killed_while_it_creates_the_database_leaves_none_or_all(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    writer = subprocess.Popen(
        [sys.executable, "-c", "from nas.record import SearchRecord; SearchRecord.create('killed', {})"]
    )
    folder = tmp_path / "mlruns"
    while not [*folder.glob("*mlflow.db"), *folder.glob("*-mlflow.db")]:
        assert writer.poll() is None
        time.sleep(0.01)
    time.sleep(0.3 * moment)
    writer.kill()
    writer.wait()
    with contextlib.suppress(InputError):  # if it was created
        SearchRecord.create("killed", {}).finish("complete")
    assert SearchRecord.open("killed").name == "killed"
    assert not [*folder.glob(".unfinished-*")]


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StorageError, match="is full; free some space: `nas clean --free`"):
        SearchRecord.create("full", {})
    assert not [*tmp_path.glob("mlruns/.*probe*")]


@pytest.mark.trains
def test_the_command_serves_the_record(record: SearchRecord) -> None:
    logged = deliver(record, trial(0))
    port = free_port()
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ui = subprocess.Popen(mlflow_server_command(port), **silent, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        path = f"/get-artifact?run_uuid={logged.run_id}&path=architecture.yaml"
        for _ in range(2400):
            try:
                with urllib.request.urlopen(address + path, timeout=5) as answer:
                    assert (
                        Architecture.from_dict(read_yaml(answer.read().decode(), "the file")) == ARCHITECTURE
                    )
                break
            except OSError:
                assert ui.poll() is None
                time.sleep(0.1)
        with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={record.run_id}") as answer:
            assert json.load(answer)["run"]["info"]["run_name"] == record.name
    finally:
        os.killpg(ui.pid, signal.SIGKILL)
        ui.wait()


def test_settings_of_the_user_have_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri() == "sqlite:///mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:1")
    assert tracking_uri() == "http://elsewhere:1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
