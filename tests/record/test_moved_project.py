"""A project that was moved or copied: its record is read and written where the database lies now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recorded_trials import ARCHITECTURE, Digits, deliver, free_port, trial

from nas.architecture import Design, Training
from nas.record import SearchRecord, TrainingRecord, TrainingRun, mlflow_server_command, tracking_uri

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

TRAINING = TrainingRun(
    "key", "tiny", Design.model_construct(architecture=ARCHITECTURE, training=Training()), Digits(), {}
)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(params=["", "sqlite:///store/trials.db"], ids=["default", "other database"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, with a space in its name, that holds a search of two trials and a training."""
    if request.param:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.param)
    folder = tmp_path / "my project"
    folder.mkdir()
    (tmp_path / "weights.npz").write_bytes(b"weights")
    with inside(folder):
        record = SearchRecord.create("photos", {"seed": 3}, Digits())
        record.log(trial(0), {"checkpoint.npz": tmp_path / "weights.npz"})
        record.log_over_limit([trial(1, state="over_limit", curve=(), epochs=0)])
        record.attach({"front.csv": "0\n"})
        record.finish("interrupted")
        TrainingRecord.open(TRAINING).finish("interrupted", (), {})
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def from_mlflow(run_id: str, path: str) -> bytes:
    """Return the content of a file that MLflow's own client downloads."""
    from mlflow import MlflowClient

    database = Path(tracking_uri().removeprefix("sqlite:///")).absolute()  # MLflow caches stores by address
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    return Path(client.download_artifacts(run_id, path)).read_bytes()


def test_a_moved_project_is_read_without_a_change(project: Path, tmp_path: Path) -> None:
    moved = project.rename(tmp_path / "moved")
    before = contents(moved)
    with inside(moved):
        found = SearchRecord.open("photos")
        first, over_limit = found.trials()
        assert over_limit.state == "over_limit"
        assert found.file(first).read_bytes() == b"weights"
        assert found.file(first).is_relative_to(moved)
    assert contents(moved) == before


def test_a_moved_project_is_shown_by_mlflow(project: Path, tmp_path: Path) -> None:
    moved = project.rename(tmp_path / "moved")
    with inside(moved):
        (first, _), run_id = SearchRecord.open("photos").trials(), SearchRecord.open("photos").run_id
        mlflow_server_command(free_port())
        assert from_mlflow(first.run_id, "epochs-3/checkpoint.npz") == b"weights"
        assert from_mlflow(run_id, "front.csv") == b"0\n"


def test_a_copied_project_never_writes_into_the_original(project: Path, tmp_path: Path) -> None:
    before = contents(project)
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    with inside(copy):
        record = SearchRecord.resume("photos")
        logged = deliver(record, trial(2), {"checkpoint.npz": tmp_path / "weights.npz"})
        record.log_over_limit([trial(3, state="over_limit", curve=(), epochs=0)])
        record.attach({"front.csv": "0\n2\n"})
        record.finish("complete")
        assert [each.number for each in SearchRecord.open("photos").trials()] == [0, 1, 2, 3]
        assert from_mlflow(logged.run_id, "epochs-3/checkpoint.npz") == b"weights"
        assert from_mlflow(record.run_id, "front.csv") == b"0\n2\n"
        (tmp_path / "classes.csv").write_text("class\n")
        training = TrainingRecord.open(TRAINING)
        training.finish("complete", (), {}, [tmp_path / "classes.csv"])
        assert from_mlflow(training.run_id, "classes.csv") == b"class\n"
    assert contents(project) == before
    with inside(project):
        assert [each.number for each in SearchRecord.open("photos").trials()] == [0, 1]
