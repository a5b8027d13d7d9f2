"""The files that a search puts on its run in the record: its report, while it runs and when it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.backends import build_compiled_model
from nas.data import Dataset, labels_text
from nas.errors import RecordError, StorageError
from nas.evaluation import load_weights
from nas.record import SearchRecord
from nas.report import draw_predictions, page_html
from nas.searching.description import describe_search
from nas.searching.plan import Plan
from nas.searching.record_writer import RecordWriter
from nas.searching.reporting import Reporter
from nas.searching.status import Status
from nas.trials import Trial, front_csv, pareto_front, pick_trial

__all__ = ["ReportFile", "best_predictions"]

PAUSE_SECONDS = 60.0
"""Least time between two reports of a running search."""

SHARE = 0.005
"""Greatest share of a search's time in which reports are made while it runs."""


class ReportFile:
    """Writes the report of a search to its run, and what MLflow shows beside the link to it."""

    def __init__(self, record: SearchRecord, plan: Plan, dataset: Dataset) -> None:
        """Set the parts; dataset: the first fold of the data."""
        self._record, self._plan, self._dataset = record, plan, dataset
        self._reporter = Reporter(record.name, plan, dataset, self._checkpoint, record.trial_link)
        self._next = 0.0

    def refresh(self, status: Status, writer: RecordWriter, workers: int) -> None:
        """Write report and description of a running search, unless the last ones are recent."""
        started = time.monotonic()
        if started < self._next:
            return
        times, trials = status.worker_time(workers), list(status.trials.values())
        data = self._reporter.data(trials, "running", writer.rejected, worker_time=times, thorough=False)
        with contextlib.suppress(StorageError):  # the search itself pauses at the next trial, and says so
            self._record.attach({"report.html": page_html(data), "time.json": json.dumps(times)})
            self._record.describe(describe_search(self._record.name, self._plan, trials))
        self._next = time.monotonic() + max(PAUSE_SECONDS, (time.monotonic() - started) / SHARE)

    def finish(
        self, trials: Sequence[Trial], state: str, writer: RecordWriter, worker_time: Mapping[str, float]
    ) -> None:
        """Write report and description, the front, the names of the outputs and the time of the workers."""
        text = ""
        with contextlib.suppress(RecordError):  # MLflow is away
            text = self._record.text("confirmed.json")
        data = self._reporter.data(
            trials,
            state,
            writer.rejected,
            worker_time=worker_time,
            confirmed=json.loads(text) if text else None,
        )
        with contextlib.suppress(RecordError):  # MLflow is away: the page goes without the picture
            data["picture"] = best_predictions(trials, self._plan, self._checkpoint, self._dataset)
        self._record.attach(
            {
                "report.html": page_html(data),
                "front.csv": front_csv(trials, self._plan.criteria),
                "labels.txt": labels_text(self._dataset.classes),
                "time.json": json.dumps(worker_time),
            }
        )
        self._record.describe(describe_search(self._record.name, self._plan, trials))

    def _checkpoint(self, trial: Trial) -> Path:
        """Return the checkpoint of a trial; raises RecordError, at once while MLflow does not answer."""
        if self._record.delivery_problem:
            raise RecordError(self._record.delivery_problem)
        return self._record.file(trial)


def best_predictions(
    trials: Sequence[Trial], plan: Plan, checkpoint: Callable[[Trial], Path], dataset: Dataset
) -> dict[str, Any] | None:
    """Return a picture of validation images, masks and predictions of the best network, for segmentation."""
    if plan.task != "segmentation" or not pareto_front(trials, plan.criteria):
        return None
    best = pick_trial(trials, plan.criteria, "best")
    model = build_compiled_model(best.design.architecture, best.training)
    load_weights(model, checkpoint(best))
    png = base64.b64encode(draw_predictions(model, dataset)).decode()
    title = f"Trial {best.number}: validation images, masks, predictions"
    return {"title": title, "source": f"data:image/png;base64,{png}"}
