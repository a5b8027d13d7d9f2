"""The record of a search in MLflow: Trials in, Trials out, exactly; a resumed search is replayed from it.

A search is a run; each trial is a run beneath it, ended only once everything of it is written, so that
a run which has not ended is what a killed process left behind. What MLflow cannot take at the moment
waits in `mlruns/spool/NAME/` and is delivered at the next occasion.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from nas import _mlflow_runs as runs
from nas._spool import Entry, Point, Spool, encode, locked
from nas._store import Store, connect, page, telling, tracking_uri, ui_command
from nas.errors import InputError, RecordError, nearest
from nas.trial import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["DataSource", "Record", "tracking_uri", "ui_command"]

FLUSH_SECONDS = 5.0
"""How often the search's own run is brought up to date while trials come in."""

PAUSE_SECONDS = (5.0, 60.0)
"""After a failed delivery the next is tried after the first, doubled at each failure up to the second."""


class DataSource(Protocol):
    """What the record keeps of a data set."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102


class Record:
    """One search's record.

    `create` and `resume` give one that is written, by this process alone, until `finish`; `open` gives
    one that is only read, also while another process writes it. Safe to be called from several threads.
    """
