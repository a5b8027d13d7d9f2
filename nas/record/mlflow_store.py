"""MLflow's store: its address, how it is opened silently, and its failures as one sentence."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.errors import InputError, RecordError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "RUN_STATUS",
    "RunState",
    "Store",
    "connect",
    "create_store",
    "record_errors",
    "run_url",
    "tracking_uri",
    "ui_command",
]

EXPERIMENT = "nas"
"""All searches are runs of one MLflow experiment, with their trials as child runs."""

EXPERIMENT_KIND = "custom_model_development"
"""Makes MLflow's user interface show its pages for trained models."""

MODEL_PAGES = "workflowType=machine_learning"
"""The same in an address; without it the page opens on MLflow's tools for language models."""

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

RunState = Literal["complete", "interrupted", "failed"]

RUN_STATUS: dict[RunState, str] = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
"""MLflow's name for the status of a run that has ended."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's own 7 retries of 120 s would block a search
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes of its user interface that are not needed
}
"""Defaults for MLflow's environment variables, set before it is imported."""


def tracking_uri() -> str:
    """Return the address of the record: MLFLOW_TRACKING_URI, else `mlruns/` in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def ui_command(port: int = 5000) -> list[str]:
    """Return the command that serves the record to a browser; run it in this process's environment.

    Raises InputError if the record is on a server.
    """
    uri = tracking_uri()
    if uri.startswith("http"):
        raise InputError(f"the record is on a server, which serves it already; open {uri} in a browser")
    _set_environment()
    options = ["--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *options]


def run_url(run_id: str, experiment_id: str) -> str:
    """Return the address of a run's page: on the user's server, else where `nas ui` serves by default."""
    uri = tracking_uri()
    base = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?{MODEL_PAGES}"


@dataclass(frozen=True)
class Store:
    """An open store and the id of its experiment."""

    client: MlflowClient
    experiment_id: str


def create_store() -> Store:
    """Open the store; create database, folders and experiment if needed.

    Call it before worker processes exist. Raises InputError if `mlruns` cannot be written, RecordError if the
    store cannot be reached.
    """
    uri = _absolute(tracking_uri())
    _ensure_writable(Path("mlruns"))
    if (database := _database(uri)) is not None:
        _ensure_writable(database.parent)
    if (store := _open(uri)) is not None:
        return store
    with record_errors("opened"):
        location = None if uri.startswith("http") else str(Path("mlruns/artifacts").absolute())
        tags = {"mlflow.experimentKind": EXPERIMENT_KIND}
        client = _client(uri)
        return Store(client, str(client.create_experiment(EXPERIMENT, location, tags)))


def connect() -> Store | None:
    """Open the store if it exists, else return None; raises RecordError if it cannot be reached."""
    uri = _absolute(tracking_uri())
    database = _database(uri)
    return None if database is not None and not database.exists() else _open(uri)


def _open(uri: str) -> Store | None:
    with record_errors("opened"):
        client = _client(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return None
    if experiment.lifecycle_stage != "active":
        raise RecordError(
            f"MLflow's experiment '{EXPERIMENT}' must not be deleted; restore it with "
            f"'mlflow experiments restore --experiment-id {experiment.experiment_id}'"
        )
    return Store(client, str(experiment.experiment_id))


def _client(uri: str) -> MlflowClient:
    _set_environment()
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # failures are raised as errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = MlflowClient(tracking_uri=uri)
    gc.freeze()  # MLflow's objects stay: no collection, nor the one at the end of the process, visits them
    return client


def _set_environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _absolute(uri: str) -> str:
    """Make a SQLite address independent of the working directory."""
    path = uri.removeprefix("sqlite:///")
    return f"sqlite:///{Path(path).absolute()}" if uri.startswith("sqlite:///") and path else uri


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _ensure_writable(folder: Path) -> None:
    """Create a folder if needed; raises InputError if files cannot be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the record's folder must be writable, got '{folder}': {error.strerror}; "
            "fix its permissions, or work in another folder"
        ) from None


@contextlib.contextmanager
def record_errors(action: Literal["opened", "read", "written"]) -> Iterator[None]:
    """Turn failures of MLflow into RecordError: the record cannot be opened, read or written."""
    try:
        yield
    except (InputError, RecordError):
        raise
    except Exception as error:  # MLflow lets errors of SQLAlchemy, requests and the system through
        raise RecordError(
            f"MLflow's record at {tracking_uri()} cannot be {action}: {_cause(error)}"
        ) from error


CAUSES = {
    "refused": "nothing answers there; start the server, or unset MLFLOW_TRACKING_URI",
    "timed out": "no answer in time; check the server, or unset MLFLOW_TRACKING_URI",
    "resolve": "there is no such host; correct MLFLOW_TRACKING_URI",
    "disk is full": "the disk is full; free some space",
    "no space left": "the disk is full; free some space",
    "file too large": "the disk is full or a size limit is reached; free some space",
    "readonly database": "the database is read-only; fix its permissions",
    "read-only": "the file system is read-only; work in another folder",
    "disk i/o error": "the disk cannot be written or read; check its space and health",
    "malformed": "the database is damaged; move mlflow.db away, or restore a copy",
    "not a database": "the file is not an MLflow database; move it away",
    "out-of-date database schema": "another version of MLflow created it; run 'mlflow db upgrade' on it",
    "can't locate revision": "a newer version of MLflow created it; install that version",
    "is locked": "another process holds the database; end it, or try again",
    "permission denied": "permission denied; fix the permissions of its folder",
}
"""Cause and fix by a part of the error's text."""


def _cause(error: BaseException) -> str:
    """Return in a few words why MLflow failed, with the fix if it is known."""
    text = str(error)
    for part, cause in CAUSES.items():
        if part in text.lower():
            return cause
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return first if len(first) <= 200 else first[:199] + "…"
