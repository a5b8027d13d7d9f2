"""The record against real MLflow: a database, a server, processes that are killed."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Architecture, Training
from nas.errors import InputError, RecordError
from nas.record import Record, tracking_uri, ui_command
from nas.trials import Trial

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ARCHITECTURE = Architecture.from_dict(
    {"input_shape": [16, 16, 1], "classes": 10, "stages": [{"width": 8, "conv": "separable"}, {"width": 16}]}
)
NAMES = (f"search-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Digits:
    name: str = "digits"
    source: str = "scikit-learn"
    fingerprint: str = "5f3c0ffee"


def curve(epochs: int) -> tuple[dict[str, float], ...]:
    rng = np.random.default_rng(7)
    return tuple({"loss": float(rng.random()), "val_accuracy": float(rng.random())} for _ in range(epochs))


def trial(number: int, epochs: int = 3, **changes: object) -> Trial:
    """Make a trial with values that only an exact record gives back."""
    made = Trial(
        number,
        {
            "stages.count": 2,
            "block.conv": "separable",
            "block.bias": True,
            "training.learning_rate": 0.1 + 0.2,
        },
        ARCHITECTURE.id,
        "complete",
        {"accuracy": 1 / 3 + number, "params": 1234, "latency_ms": 5e-324},
        epochs,
        curve=curve(epochs),
        seconds={"train": 1.25},
        architecture=ARCHITECTURE,
        training=Training(optimizer="sgd", learning_rate=0.1 + 0.2),
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def _working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)


@pytest.fixture
def record() -> Iterator[Record]:
    made = Record.create(
        next(NAMES), {"seed": 3, "space": "stages: []\n" * 900, "engine": "random"}, Digits()
    )
    yield made
    made.close()


def run_of(record: Record, run_id: str):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{Path('mlruns/mlflow.db').absolute()}")
    return client, client.get_run(run_id)


def test_trials_come_back_exactly(record: Record) -> None:
    told = [
        trial(0),
        trial(1, epochs=400),
        trial(2, state="failed", reason="the loss is no number\nat epoch 2", values={}, epochs=0, curve=()),
        trial(3, state="stopped", epochs=1, curve=curve(1)),
        trial(4, architecture=None, training=Training()),
        trial(5, values={"accuracy": np.float32(0.1), "params": np.int64(2**40)}),
    ]
    logged = [record.log(each) for each in told]
    record.finish("complete")

    again = Record.open(record.name)
    assert again.trials() == [
        *logged[:5],
        replace(logged[5], values={"accuracy": float(np.float32(0.1)), "params": 2**40}),
    ]
    assert [type(value) for value in again.trials()[0].setting.values()] == [int, str, bool, float]
    assert again.config == {"seed": 3, "space": "stages: []\n" * 900, "engine": "random"}
    assert len({each.run_id for each in logged}) == 6


def test_the_config_can_be_amended(record: Record) -> None:
    record.amend({"epochs": 27})
    assert Record.open(record.name).config == record.config == {"epochs": 27}


def test_a_value_that_is_no_number_comes_back_as_such(record: Record) -> None:
    record.log(trial(0, values={"accuracy": math.nan, "params": math.inf}))
    (back,) = Record.open(record.name).trials()
    assert math.isnan(back.values["accuracy"])
    assert back.values["params"] == math.inf


def test_mlflow_shows_a_trial(record: Record, tmp_path: Path) -> None:
    (tmp_path / "17.npz").write_bytes(b"weights")
    logged = record.log(trial(7), {"checkpoint.npz": tmp_path / "17.npz"})
    client, run = run_of(record, logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == record.run_id
    assert {key: run.data.tags[key] for key in ("state", "on_front", "number", "architecture")} == {
        "state": "complete", "on_front": "false", "number": "7", "architecture": ARCHITECTURE.id,
    }  # fmt: skip
    assert run.data.params["block.conv"] == "separable"
    assert run.data.params["architecture.stages.1.conv"] == "separable"
    assert run.data.params["training.optimizer"] == "sgd"
    assert run.data.metrics["accuracy"] == 1 / 3 + 7
    steps = client.get_metric_history(logged.run_id, "epoch/loss")
    assert [(point.step, point.value) for point in steps] == [
        (n, e["loss"]) for n, e in enumerate(curve(3), 1)
    ]
    assert {item.path for item in client.list_artifacts(logged.run_id)} == {"architecture.yaml", "epochs-3"}
    path = client.download_artifacts(logged.run_id, "architecture.yaml")
    assert Architecture.from_yaml(Path(path).read_text()) == ARCHITECTURE
    assert record.file(logged).read_bytes() == b"weights"


def test_mlflow_shows_the_search(record: Record) -> None:
    record.attach({"front.csv": "trial\n1\n"})
    record.attach({"front.csv": "trial\n2\n"})
    record.finish("complete")
    client, run = run_of(record, record.run_id)
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits", "5f3c0ffee")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3", "engine": "random"}
    assert Path(client.download_artifacts(record.run_id, "front.csv")).read_text() == "trial\n2\n"


def test_a_trial_that_goes_further_keeps_its_run(record: Record, tmp_path: Path) -> None:
    for epochs in (3, 9):
        (tmp_path / f"{epochs}.npz").write_bytes(b"x" * epochs)
    first = record.log(trial(0, state="stopped"), {"checkpoint.npz": tmp_path / "3.npz"})
    assert record.file(first).read_bytes() == b"xxx"
    second = record.log(trial(0, epochs=9), {"checkpoint.npz": tmp_path / "9.npz"})
    assert second.run_id == first.run_id
    client, run = run_of(record, first.run_id)
    assert [point.step for point in client.get_metric_history(first.run_id, "epoch/loss")] == list(
        range(1, 10)
    )
    assert run.data.tags["state"] == "complete"
    record.close()

    again = Record.resume(record.name)
    assert again.trials() == [second]
    assert again.file(second).read_bytes() == b"x" * 9
    third = again.log(trial(0, epochs=12))
    assert len(client.get_metric_history(first.run_id, "epoch/loss")) == 12
    assert again.trials() == [third]
    again.close()


def test_over_limit_trials_are_one_table(record: Record) -> None:
    over = [
        trial(
            n, state="over_limit", epochs=0, curve=(), reason=f'params is {n}, over "5", by far',
            values={"params": n} if n % 2 else {"params": n, "flops": n / 3},
        )
        for n in range(1, 2402)
    ]  # fmt: skip
    logged = record.log(trial(0))
    for start in range(0, 2400, 300):
        record.log_over_limit(over[start : start + 300])
        record.flush()
    record.close()
    again = Record.resume(record.name)
    assert again.trials() == [logged, *over[:2400]]
    again.log_over_limit(over[2400:])
    again.finish("complete")
    assert Record.open(record.name).trials() == [logged, *over]

    client, _ = run_of(record, record.run_id)
    assert len(client.list_artifacts(record.run_id, "over_limit")) == 3
    children = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{record.run_id}'")
    assert len(children) == 1


def test_front_tags_follow_the_front(record: Record) -> None:
    ids = {n: record.log(trial(n)).run_id for n in range(4)}
    client, _ = run_of(record, record.run_id)

    def marked() -> set[int]:
        return {n for n, run_id in ids.items() if client.get_run(run_id).data.tags["on_front"] == "true"}

    record.mark_front([0, 1], 0.25, 2)
    record.flush()
    assert marked() == {0, 1}
    record.mark_front([1, 3], 0.5, 4)
    record.close()  # as a killed process would leave it
    again = Record.resume(record.name)
    again.mark_front([1, 3], 0.75, 5)
    again.finish("interrupted")
    assert marked() == {1, 3}
    points = client.get_metric_history(record.run_id, "hypervolume")
    assert [(point.step, point.value) for point in points] == [(2, 0.25), (4, 0.5), (5, 0.75)]
    assert client.get_run(record.run_id).info.status == "KILLED"


def test_names(record: Record) -> None:
    later = Record.create(next(NAMES), {})
    assert Record.names()[:2] == [later.name, record.name]
    assert Record.open().name == later.name
    later.close()
    with pytest.raises(
        InputError, match=f"in use; go on with --resume {later.name}, or choose another --name"
    ):
        Record.create(later.name, {})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda record: Record.create("a/b", {}), "must be of letters, digits.*got 'a/b'"),
        (lambda record: Record.open(record.name[:-1] + "x"), "did you mean 'search-"),
        (lambda record: Record.resume(record.name), "which another one runs now"),
        (lambda record: Record.create(record.name, {}), "which is in use; go on with --resume search-"),
    ],
)
def test_bad_input(record: Record, call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(record)


def test_no_search_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"got none in sqlite:///mlruns/mlflow.db; start with: nas search"):
        Record.open()
    assert Record.names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(InputError, match=r"must be writable, got '.*mlruns"):
        Record.create("x", {})


def test_a_damaged_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RecordError, match="cannot be opened: the file is no MLflow database"):
        Record.open()


def test_a_file_that_is_not_there(record: Record) -> None:
    logged = record.log(trial(4))
    with pytest.raises(RecordError, match=r"trial 4 of '.*' has no file epochs-3/checkpoint.npz"):
        record.file(logged)


def test_threads_write_one_record(record: Record) -> None:
    threads = [
        threading.Thread(target=lambda start=n: [record.log(trial(k)) for k in range(start, 12, 3)])
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.number for each in Record.open(record.name).trials()] == list(range(12))


WRITER = """
    import sys
    from dataclasses import replace
    sys.path.insert(0, {tests!r})
    from test_tracking import Record, trial
    record = Record.create("killed", {{"seed": 1}})
    print("name", flush=True)
    for number in range(10_000):
        record.log_over_limit([trial(2 * number + 1, state="over_limit", epochs=0, curve=())])
        record.log(trial(2 * number, epochs=40))
        print(number, flush=True)
"""


def start(code: str, **options: object) -> subprocess.Popen[str]:
    text = textwrap.dedent(code.format(tests=str(Path(__file__).parent)))
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_killed_process_leaves_a_record_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = start(WRITER)
    lines = []
    for line in writer.stdout:
        lines.append(line.strip())
        if line.strip() == "8":
            with pytest.raises(InputError, match="which another one runs now"):
                Record.resume("killed")
            Record.open("killed").trials()  # reading in between takes nothing away
        if line.strip() == "30":
            break
    time.sleep(0.012)  # in the middle of the next trial
    os.kill(writer.pid, signal.SIGKILL)
    rest, said = writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    assert said == ""  # nothing of MLflow's own, though the database was made
    returned = [int(line) for line in [*lines, *rest.split()] if line != "name"]

    record = Record.resume()
    found = record.trials()
    assert {each.number for each in found} >= {n for k in returned for n in (2 * k, 2 * k + 1)}
    assert len(found) <= 2 * len(returned) + 2
    for each in found:
        expected = trial(each.number, epochs=40) if each.number % 2 == 0 else None
        assert expected is None or replace(each, run_id="") == expected
    _, search = run_of(record, record.run_id)
    assert search.info.status == "RUNNING"
    going_on = record.log(trial(99_999))
    record.finish("complete")
    assert Record.open("killed").trials() == [*found, going_on]


FULL = """
    import os, resource, signal, sys
    sys.path.insert(0, {tests!r})
    from test_tracking import Record, RecordError, trial
    record = Record.create("full", {{}})
    record.log(trial(0))
    size = os.path.getsize("mlruns/mlflow.db")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for number in range(1, 60):
        logged = record.log(trial(number, epochs=50))
        if record.delivery_problem:
            break
    print(number, record.delivery_problem, sep="|", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        record.log(trial(number + 1))
    except RecordError as error:
        print(error, flush=True)
    os._exit(0)
"""


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, said = start(FULL).communicate()
    spooled, refused = out.splitlines()
    number, problem = spooled.split("|")
    assert "cannot be written" in problem
    assert refused.startswith(f"trial {int(number) + 1} must be recorded, but ")
    assert said == ""
    assert [each.number for each in Record.open().trials()] == list(range(int(number) + 1))
    record = Record.resume()
    assert record.undelivered == 0
    record.finish("complete")
    assert all(each.run_id for each in Record.open().trials())
    assert not Path("mlruns/spool/full").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder
    )
    for _ in range(2400):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except OSError:
            assert server.poll() is None
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def stop(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_server_that_dies_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"weights")
    server = serve(tmp_path, port)
    try:
        record = Record.create("far", {"seed": 5}, Digits())
        first = record.log(trial(0), {"checkpoint.npz": tmp_path / "weights"})
        record.log_over_limit([trial(1, state="over_limit", epochs=0, curve=())])
        record.flush()
        with pytest.raises(InputError, match=f"open http://127.0.0.1:{port} in a browser"):
            ui_command()
        run_page = f"http://127.0.0.1:{port}/#/experiments/1/runs/{first.run_id}"
        assert record.link(first.run_id).startswith(run_page)
        assert record.file(first).read_bytes() == b"weights"
    finally:
        stop(server)

    wild = {"accuracy": 0.1 + 0.2, "gain": math.inf, "loss": -math.inf}
    second = record.log(trial(2, epochs=5, values=wild), {"checkpoint.npz": tmp_path / "weights"})
    third = record.log(trial(0, epochs=9))
    record.log_over_limit([trial(3, state="over_limit", epochs=0, curve=())])
    record.mark_front([2], 0.5, 4)
    record.attach({"front.csv": "trial\n2\n"})
    record.finish("interrupted")
    assert "nothing answers there; start the server" in record.delivery_problem
    assert record.undelivered == 2
    assert record.file(second).read_bytes() == b"weights"
    with pytest.raises(RecordError, match="be opened: nothing answers there"):
        Record.open("far")

    server = serve(tmp_path, port)
    try:
        assert [each.number for each in Record.open("far").trials()] == [0, 1, 2, 3]
        again = Record.resume("far")
        assert (again.undelivered, again.delivery_problem) == (0, "")
        again.finish("complete")
        found = Record.open("far").trials()
        assert found[0] == third
        assert replace(found[2], run_id="") == second
        assert all(found[n].run_id for n in (0, 2))
        assert again.file(found[2]).read_bytes() == b"weights"
        assert not Path("mlruns/spool/far").exists()
        assert not Path("mlruns/mlflow.db").exists()
    finally:
        stop(server)


def test_the_ui_command_serves_the_record(record: Record) -> None:
    logged = record.log(trial(0))
    port = free_port()
    ui = subprocess.Popen(
        ui_command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        address = f"http://127.0.0.1:{port}"
        path = f"/get-artifact?run_uuid={logged.run_id}&path=architecture.yaml"
        for _ in range(2400):
            try:
                with urllib.request.urlopen(address + path, timeout=5) as answer:
                    assert Architecture.from_yaml(answer.read().decode()) == ARCHITECTURE
                break
            except OSError:
                assert ui.poll() is None
                time.sleep(0.1)
        with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={record.run_id}") as answer:
            assert json.load(answer)["run"]["info"]["run_name"] == record.name
    finally:
        os.killpg(ui.pid, signal.SIGKILL)
        ui.wait()


def test_the_users_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri() == "sqlite:///mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:1")
    assert tracking_uri() == "http://elsewhere:1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
