"""The report of a search from its record, also while another process writes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.data import Dataset
from nas.errors import DataError
from nas.files import output_file
from nas.record import SearchRecord
from nas.report import page_html
from nas.searching.plan import Plan
from nas.searching.record_writer import rejected_reasons
from nas.searching.recorded_data import judged_data
from nas.searching.report_file import best_predictions
from nas.searching.reporting import Reporter
from nas.trials import Trial

__all__ = ["RecordedReport"]


class RecordedReport:
    """Reads the record of a search again and again, and puts the data of its report together.

    Raises InputError for an unknown name, RecordError if the record cannot be read.
    """

    def __init__(
        self,
        name: str | None = None,
        server: str = "",
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Open the record; name: None is the latest search.

        server: the address of MLflow's server, to which the page links; '' is that of the record, if it is on
        a server.
        progress: receives a line every few seconds while examples are read.
        """
        self._record = SearchRecord.open(name)
        self.name = self._record.name
        self._plan = Plan.parse(self._record.config)
        self._dataset: Dataset | None = None
        with contextlib.suppress(DataError):  # the page says so
            self._dataset = judged_data(self._plan, progress)
        self._server = server
        self._reporter = Reporter(self.name, self._plan, self._dataset, self._file, self._link)
        self._last: dict[str, Any] = {}

    def write(self, path: Path) -> list[str]:
        """Write the page; return sentences for the user about what is damaged or missing and left out."""
        data = self.data()
        with output_file(path) as unfinished:
            unfinished.write_text(page_html(data), encoding="utf-8")
        return list(data["notices"])

    def data(self) -> dict[str, Any]:
        """Return the data of the page as the record is now; `version` is a hash of what it shows.

        What takes seconds, such as the importance of open values, is left out while the search runs.
        """
        self._record = SearchRecord.open(self.name)
        trials = self._record.trials()
        state = self._record.state or ("running" if self._record.is_written() else "interrupted")
        confirmed = self._record.text("confirmed.json")
        version = _version(trials, state, confirmed)
        if self._last.get("version") != version:
            times = self._record.text("time.json")
            data = self._reporter.data(
                trials,
                state,
                rejected_reasons(trials),
                worker_time=json.loads(times) if times else None,
                confirmed=json.loads(confirmed) if confirmed else None,
                thorough=state != "running",
            )
            if self._dataset is not None and state != "running":
                data["picture"] = best_predictions(trials, self._plan, self._file, self._dataset)
            data["notices"] += self._record.notices
            data["mlflow"] = self._record.link(self._record.run_id, self._server)
            self._last = {**data, "version": version}
        return self._last

    def _link(self, trial: Trial) -> str:
        return self._record.trial_link(trial, self._server)

    def _file(self, trial: Trial) -> Path:
        return self._record.file(trial)


def _version(trials: list[Trial], state: str, confirmed: str) -> str:
    states = [(trial.number, trial.state, trial.epochs, trial.trainings) for trial in trials]
    return hashlib.sha256(repr((states, state, confirmed)).encode()).hexdigest()[:16]
