"""MLflow's store: its address, how it is opened silently, and its failures as one sentence."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.errors import InputError, NasError, RecordError, StorageError
from nas.files import DISK_FULL, TEMPORARY_PREFIX, lock_file, replace_file
from nas.record.artifacts import Addressed
from nas.text import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = [
    "MODEL_PAGES",
    "RUN_STATUS",
    "RunState",
    "Store",
    "connect",
    "create_store",
    "database_identity",
    "mlflow_server_command",
    "record_errors",
    "run_url",
    "shown_uri",
    "tracking_uri",
]

EXPERIMENT = "nas"
"""All searches are runs of one MLflow experiment, with their trials as child runs."""

EXPERIMENT_KIND = "custom_model_development"
"""Makes MLflow's user interface show its pages for trained models."""

MODEL_PAGES = "workflowType=machine_learning"
"""The same in an address; without it the page opens on MLflow's tools for language models."""

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

BESIDE = "nas.artifacts_beside_database"
"""Tag of an experiment whose artifacts are in `artifacts/` beside its SQLite database."""

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


def shown_uri() -> str:
    """Return the address of the record without credentials, to be shown."""
    return redacted(tracking_uri())


def database_identity() -> str:
    """Return what tells a SQLite database from a copy of it; '' for a record on a server."""
    path = _database(_absolute(tracking_uri()))
    if path is None:
        return ""
    status = path.stat()
    return f"{status.st_dev}:{status.st_ino}"


def mlflow_server_command(port: int) -> list[str]:
    """Return the command that serves MLflow's own pages of the record; run it in this process's environment.

    Updates the addresses in a database that was moved. Raises RecordError if the database cannot be read.
    """
    if (store := connect()) is not None:
        _update_addresses(store)
    _set_environment()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = tracking_uri()  # everyone can read the options of a process
    return [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]


def run_url(run_id: str, experiment_id: str, server: str = "") -> str:
    """Return the address of a run's page on MLflow's server; '' if no server is known.

    server: its address; '' is that of the record, if it is on a server.
    """
    known = server or (tracking_uri() if tracking_uri().startswith("http") else "")
    base = redacted(known).rstrip("/")
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?{MODEL_PAGES}" if base else ""


@dataclass(frozen=True)
class Store:
    """An open store and its experiment.

    MLflow records absolute addresses of artifacts, which are those of another folder after a project was
    moved or copied. Artifacts beside a SQLite database are therefore found from the place of the database.
    """

    client: MlflowClient
    experiment_id: str
    location: str = ""  # of the artifacts, as MLflow has recorded it
    beside: Path | None = None  # the artifacts beside the database; None: they are at `location`
    database: Path | None = None  # a SQLite database; None: a server, or another database

    def artifacts(self, run: Addressed) -> ArtifactRepository:
        """Return the artifacts of a run; unlike the client's own calls, without asking for the run."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = run.artifact_uri
        if self.beside is not None:
            uri = (self.beside / run.run_id / "artifacts").as_uri()
        return get_artifact_repository(uri, tracking_uri=tracking_uri())


def create_store() -> Store:
    """Open the store to write; create database, folders and experiment if needed.

    Updates the addresses in a database that was moved, for MLflow's own tools. Call it before worker
    processes exist. Raises InputError or StorageError if `mlruns` cannot be written, RecordError if the store
    cannot be reached.
    """
    uri = _absolute(tracking_uri())
    _ensure_writable(Path("mlruns"))
    database = _database(uri)
    if database is not None:
        _ensure_writable(database.parent)
        _create_database(database)
    if (store := _open(uri)) is not None:
        _update_addresses(store)
        return store
    with record_errors("opened"):
        folder = Path("mlruns").absolute() if database is None else database.parent
        location = None if uri.startswith("http") else str(folder / "artifacts")
        tags = {"mlflow.experimentKind": EXPERIMENT_KIND, **({} if database is None else {BESIDE: "true"})}
        client = _client(uri)
        beside = None if database is None else folder / "artifacts"
        try:
            created = client.create_experiment(EXPERIMENT, location, tags)
        except Exception:
            if (store := _open(uri)) is None:
                raise
            return store  # another process was faster
        return Store(client, str(created), location or "", beside, database)


def _create_database(path: Path) -> None:
    """Create MLflow's SQLite database if it is absent, completely or not at all.

    MLflow creates it in many steps and can never open a database in which a killed process made some of them.
    """
    if path.exists():
        return
    lock = lock_file(path.with_name(f".{path.name}.lock"))
    try:
        for left in path.parent.glob(f"{TEMPORARY_PREFIX}*-{path.name}*"):
            left.unlink()
        if not path.exists():
            with record_errors("opened"), replace_file(path) as temporary:
                _prepare_mlflow()
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

                SqlAlchemyStore(  # type: ignore[no-untyped-call]  # MLflow's has no types
                    f"sqlite:///{temporary}", "./mlruns"
                ).engine.dispose()
    finally:
        lock.release()


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
    database = _database(uri)
    beside = _artifacts_beside(database, experiment.tags)
    return Store(client, str(experiment.experiment_id), experiment.artifact_location, beside, database)


def _artifacts_beside(database: Path | None, tags: Mapping[str, str]) -> Path | None:
    """Return the artifacts beside a database; None if those of the experiment may lie elsewhere.

    Version 0.1.0 set no tag and put them into the working folder, beside a database of the default address.
    """
    if database is None:
        return None
    beside = database.parent / "artifacts"
    is_default = tracking_uri() == DEFAULT_URI
    is_named_so = database.parts[-2:] == ("mlruns", "mlflow.db") and beside.is_dir()
    return beside if is_default or is_named_so or BESIDE in tags else None


def _update_addresses(store: Store) -> None:
    """Replace the addresses of artifacts in a SQLite database that was moved or copied."""
    path = _database(_absolute(tracking_uri()))
    if path is None or store.beside is None or store.location == str(store.beside):
        return
    with (
        record_errors("written"),
        contextlib.closing(sqlite3.connect(path, timeout=60)) as database,
        database,
    ):
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (str(store.beside), store.experiment_id),
        )
        database.execute(
            "UPDATE runs SET artifact_uri = ? || '/' || run_uuid || '/artifacts' WHERE experiment_id = ?",
            (str(store.beside), store.experiment_id),
        )


def _client(uri: str) -> MlflowClient:
    _prepare_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    gc.freeze()  # MLflow's objects stay: no collection, nor the one at the end of the process, visits them
    return client


def _prepare_mlflow() -> None:
    """Set MLflow's environment, import it, and silence its log."""
    _set_environment()
    import mlflow  # noqa: F401  # sets up its log

    for name in ("mlflow", "alembic", "urllib3"):  # failures are raised as errors
        logging.getLogger(name).setLevel(logging.CRITICAL)


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
    """Create a folder if needed; raises InputError if it is not writable, StorageError on a full disk."""
    try:
        with replace_file(folder / ".probe") as probe:
            probe.write_bytes(b"x")
        (folder / ".probe").unlink(missing_ok=True)  # another process may have removed it
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageError(
                f"the record's folder must be writable, but the disk of '{folder}' is full; free some space: "
                "`nas clean --free` deletes what a search keeps without need"
            ) from None
        raise InputError(
            f"the record's folder must be writable, got '{folder}': {error.strerror}; "
            "fix its permissions, or work in another folder"
        ) from None


@contextlib.contextmanager
def record_errors(action: Literal["opened", "read", "written"]) -> Iterator[None]:
    """Turn failures of MLflow into RecordError: the record cannot be opened, read or written."""
    try:
        yield
    except NasError:
        raise
    except Exception as error:  # MLflow lets errors of SQLAlchemy, requests and the system through
        raise RecordError(
            f"MLflow's record at {shown_uri()} cannot be {action}: {redacted(_cause(error))}"
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
    "operationalerror) table": "its creation was interrupted; move mlflow.db away, or restore a copy",
    "malformed": "the database is damaged; move mlflow.db away, or restore a copy",
    "not a database": "the file is not an MLflow database; move it away",
    "out-of-date database schema": "another version of MLflow created it; run 'mlflow db upgrade' on it",
    "can't locate revision": "a newer version of MLflow created it; install that version",
    "is locked": "another process holds the database; end it, or try again",
    "run with id=": "it has no such run; set MLFLOW_TRACKING_URI to the record of the search",
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
