"""A working folder for the records of a test module."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded_trials import Digits

from nas.record import SearchRecord

NAMES = (f"search-{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database is created once: MLflow's migrations take a second."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def _working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)


@pytest.fixture
def new_name() -> str:
    return next(NAMES)


@pytest.fixture
def record(new_name: str) -> Iterator[SearchRecord]:
    config = {
        "seed": 3,
        "space": "stages: []\n" * 900,
        "engine": "random",
        "objectives": ["accuracy", "params"],
    }
    created = SearchRecord.create(new_name, config, Digits())
    yield created
    created.close()
