"""Trials with values that only an exact record restores, and an MLflow server to record them on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.architecture import Architecture, Training
from nas.record import SearchRecord
from nas.trials import Trial

ARCHITECTURE = Architecture.from_dict(
    {"input_shape": [16, 16, 1], "classes": 10, "stages": [{"width": 8, "conv": "separable"}, {"width": 16}]}
)


@dataclass(frozen=True)
class Digits:
    name: str = "digits"
    source: str = "scikit-learn"
    fingerprint: str = "5f3c0ffee"


def curve(epochs: int) -> tuple[dict[str, float], ...]:
    rng = np.random.default_rng(7)
    return tuple(
        {"epoch": float(epoch), "loss": float(rng.random()), "val_accuracy": float(rng.random())}
        for epoch in range(1, epochs + 1)
    )


def trial(number: int, epochs: int = 3, **changes: object) -> Trial:
    """Return a trial with values that only an exact record restores."""
    created = Trial(
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
    return replace(created, **changes)


def deliver(record: SearchRecord, each: Trial, files: dict[str, Path] | None = None) -> Trial:
    """Write a trial, deliver it, and return it with the id of its run, '' if MLflow does not have it."""
    record.log(each, files)
    record.flush()
    return replace(each, run_id=record.trial_run(each))


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


def run_of(run_id: str):
    """Return a client and a run of the database in the working folder."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{Path('mlruns/mlflow.db').absolute()}")
    return client, client.get_run(run_id)
