"""MLflow's store: where it is, how it is opened quietly, and its failures as one sentence."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError, RecordError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["DEFAULT_URI", "EXPERIMENT", "Store", "connect", "page", "telling", "tracking_uri", "ui_command"]

EXPERIMENT = "nas"
"""All searches live in one MLflow experiment, each a run with its trials beneath it."""

KIND = "custom_model_development"
"""Which of its faces MLflow's user interface shows: that for trained models."""

FACE = "workflowType=machine_learning"
"""The same in an address; without it the page opens on MLflow's tools for language models."""

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes out
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's own 7 retries of 120 s would hold up a search
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes of its user interface that nothing here needs
}
"""What MLflow is told before it is imported, unless the user told it otherwise."""


def tracking_uri() -> str:
    """Say where MLflow keeps the record: MLFLOW_TRACKING_URI, else `mlruns/` in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def ui_command(port: int = 5000) -> list[str]:
    """Give the command that shows the record in a browser, to be run in this process's environment.

    Raises InputError where a server shows it already.
    """
    uri = tracking_uri()
    if uri.startswith("http"):
        raise InputError(
            f"the record must be a local one to be shown here, got a server; open {uri} in a browser"
        )
    prepare()
    served = ["--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *served]


def page(run_id: str, experiment_id: str) -> str:
    """Give the address of a run's page: at the user's server, else where `nas ui` serves by default.

    With run_id '' it is that of the table of all runs.
    """
    uri = tracking_uri()
    base = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    runs = f"{base}/#/experiments/{experiment_id}/runs"
    return f"{runs}/{run_id}?{FACE}" if run_id else f"{runs}?{FACE}"


@dataclass(frozen=True)
class Store:
    """An open store and the experiment in it that holds the searches."""

    client: MlflowClient
    experiment_id: str


def connect(make: bool) -> Store | None:
    """Open the store; None where there is none yet and none is to be made.

    With make, the database, the folders and the experiment are made if they are not there yet; call it
    so before worker processes exist. Raises InputError where `mlruns` cannot be written, RecordError
    where the store cannot be reached.
    """
    prepare()
    uri = absolute(tracking_uri())
    if make:
        writable(Path("mlruns"))
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        if make:
            writable(database.parent)
        elif not database.exists():
            return None
    with telling("opened"):
        from mlflow import MlflowClient

        quiet()
        client = MlflowClient(tracking_uri=uri)
        gc.freeze()  # MLflow's objects stay: no collection, nor the one at the process's end, looks at them
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None and make:
            location = None if uri.startswith("http") else str(Path("mlruns/artifacts").absolute())
            made = client.create_experiment(EXPERIMENT, location, {"mlflow.experimentKind": KIND})
            return Store(client, str(made))
    if found is None:
        return None
    if found.lifecycle_stage != "active":
        raise RecordError(
            f"MLflow's experiment '{EXPERIMENT}' must not be deleted; restore it with "
            f"'mlflow experiments restore --experiment-id {found.experiment_id}'"
        )
    return Store(client, str(found.experiment_id))


def prepare() -> None:
    """Set MLflow's environment, before it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def absolute(uri: str) -> str:
    """Make a SQLite address independent of the working directory."""
    path = uri.removeprefix("sqlite:///")
    return f"sqlite:///{Path(path).absolute()}" if uri.startswith("sqlite:///") and path else uri


def writable(folder: Path) -> None:
    """Make a folder if need be; raises InputError where files cannot be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the record's folder must be writable, got '{folder}': {error.strerror}; "
            "mend its permissions, or work in another folder"
        ) from None


def quiet() -> None:
    """Silence what MLflow and its migrations say about themselves; failures are told as errors."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def telling(doing: str) -> Iterator[None]:
    """Turn MLflow's failures within into RecordError: the record cannot be `doing` (opened, read)."""
    try:
        yield
    except (InputError, RecordError):
        raise
    except Exception as error:  # MLflow lets errors of SQLAlchemy, requests and the system through
        place = tracking_uri()
        raise RecordError(f"MLflow's record at {place} cannot be {doing}: {failure(error)}") from error


CAUSES = {
    "refused": "nothing answers there; start the server, or unset MLFLOW_TRACKING_URI",
    "timed out": "no answer in time; look at the server, or unset MLFLOW_TRACKING_URI",
    "resolve": "there is no such host; mend MLFLOW_TRACKING_URI",
    "disk is full": "the disk is full; free some space",
    "no space left": "the disk is full; free some space",
    "file too large": "the disk is full or a size limit is reached; free some space",
    "readonly database": "the database is read-only; mend its permissions",
    "read-only": "the file system is read-only; work in another folder",
    "disk i/o error": "the disk cannot be written or read; look at its space and health",
    "malformed": "the database is damaged; move mlflow.db away, or bring back a copy",
    "not a database": "the file is no MLflow database; move it away",
    "out-of-date database schema": "another version of MLflow made it; run 'mlflow db upgrade' on it",
    "can't locate revision": "a newer version of MLflow made it; install that version",
    "is locked": "another process holds the database; end it, or try again",
    "permission denied": "permission is denied; mend the permissions of its folder",
}


def failure(error: BaseException) -> str:
    """Say in a few words why MLflow failed, and the fix where it is known."""
    text = str(error)
    for mark, said in CAUSES.items():
        if mark in text.lower():
            return said
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return first if len(first) <= 200 else first[:199] + "…"
