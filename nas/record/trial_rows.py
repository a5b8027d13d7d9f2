"""The runs of a search's trials as a replay needs them: their state and their tags.

MLflow's `search_runs` also loads all metrics and parameters, ten times as much, so that a SQLite database
is read directly; a server has only `search_runs`.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nas.record.mlflow_runs import paged_runs
from nas.record.mlflow_store import Store

__all__ = ["TrialRow", "read_trial_rows"]

QUERY = """
SELECT runs.run_uuid, runs.status, runs.end_time, runs.artifact_uri, tags.key, tags.value
FROM tags AS parents
JOIN runs ON runs.run_uuid = parents.run_uuid
JOIN tags ON tags.run_uuid = runs.run_uuid
WHERE parents.key = 'mlflow.parentRunId' AND parents.value = ?
  AND runs.lifecycle_stage = 'active' AND runs.experiment_id = ?
ORDER BY runs.start_time DESC, runs.run_uuid
"""
"""The runs in the order of `search_runs`, a row for each tag."""


class TrialRow(NamedTuple):
    """The run of a trial."""

    run_id: str
    status: str
    end_time: int  # milliseconds since 1970; 0: it has not ended
    artifact_uri: str
    tags: dict[str, str]


def read_trial_rows(store: Store, run_id: str) -> Iterator[TrialRow]:
    """Yield the runs of the trials of a search's run; may raise any error of MLflow or SQLite."""
    database = store.database
    if database is None:
        for run in paged_runs(store, f"tags.`mlflow.parentRunId` = '{run_id}'", []):
            info = run.info
            yield TrialRow(
                info.run_id, info.status, int(info.end_time or 0), info.artifact_uri, run.data.tags
            )
        return
    with contextlib.closing(_open(database)) as connection:
        found = connection.execute(QUERY, (run_id, int(store.experiment_id)))
        for (run, status, end, uri), rows in itertools.groupby(found, key=lambda row: row[:4]):
            yield TrialRow(run, status, int(end or 0), uri, {key: value for *_, key, value in rows})


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", timeout=60, uri=True)
