"""`nas ui` opens on the report, and takes MLflow's server with it, however it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from recorded_trials import free_port
from reported_search import dataset, plan, trials

from nas.cli import main
from nas.record import SearchRecord

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = SearchRecord.create("photos", plan().model_dump(mode="json"), dataset())
    record.log(trials()[0])
    record.finish("complete")
    return tmp_path


def wait_for(address: str, process: subprocess.Popen) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    raise AssertionError(address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_serves_the_report_and_mlflow_and_leaves_no_server(number, project):
    with socket.socket() as other:  # takes the port that the user asks for
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-c", "from nas.cli import main; main()", "ui", "--port", str(port)]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as process:
            said = process.stderr.readline()
            found = re.search(rf"Port {port} is in use; the next free one is (\d+)", said)
            assert found, said
            address = f"http://127.0.0.1:{found[1]}"
            assert address in process.stderr.readline()
            assert "<title>photos · nas</title>" in wait_for(address, process)
            data = wait_for(f"{address}/searches/photos/data", process)
            server = re.search(r'"mlflow":"(http://127.0.0.1:\d+)/', data)[1]
            assert wait_for(f"{server}/health", process) == "OK"
            servers = psutil.Process(process.pid).children(recursive=True)
            assert servers
            process.send_signal(number)
            assert process.wait(20) == (-number if number == signal.SIGKILL else 0)
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert alive == []


@pytest.mark.parametrize(
    ("port", "rule"), [("0", "greater than or equal to 1"), ("70000", "less than or equal to 65535")]
)
def test_a_port_that_is_none_is_refused(port, rule, capsys):
    with pytest.raises(SystemExit) as end:
        main(["ui", "--port", port])
    assert end.value.code == 2
    assert rule in capsys.readouterr().err


def test_an_unknown_search_is_refused_at_once(project, capsys):
    with pytest.raises(SystemExit) as end:
        main(["ui", "fotos"])
    assert end.value.code == 2
    assert "photos" in capsys.readouterr().err


def test_the_report_is_a_file(project, capsys):
    with pytest.raises(SystemExit) as end:
        main(["report", "--out", "report/page.html"])
    assert end.value.code == 0
    assert "report/page.html" in capsys.readouterr().out
    assert "photos · nas" in (project / "report/page.html").read_text(encoding="utf-8")
