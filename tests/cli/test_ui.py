"""`nas ui` takes its server with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from recorded_trials import free_port

from nas.cli import main
from nas.record import SearchRecord

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    SearchRecord.create("photos", {}).finish("complete")
    port = free_port()
    command = [sys.executable, "-c", "from nas.cli import main; main()", "ui", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
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
