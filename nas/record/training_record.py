"""The record of one training in MLflow: a run with the learning curve, identified by a key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Design, dump_yaml, network_cost
from nas.errors import RecordError
from nas.record import mlflow_runs as runs
from nas.record.artifacts import write_text
from nas.record.data_source import DataSource, dataset_input
from nas.record.mlflow_store import (
    RUN_STATUS,
    RunState,
    Store,
    connect,
    create_store,
    record_errors,
    run_url,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["TrainingRecord", "TrainingRun", "find_training_run"]


@dataclass(frozen=True)
class TrainingRun:
    """What the run of a training describes."""

    key: str  # identifies the run when the training is resumed
    name: str
    design: Design
    data: DataSource
    settings: Mapping[str, Any]  # epochs, seed, ...: short values


class TrainingRecord:
    """A training's run in MLflow, which need not answer all the time.

    `problem` states what could not be written. It is written with the next call, or when the training is
    resumed: each call writes all epochs that the run lacks.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.run_id: str = run.info.run_id
        self.problem = ""
        self._store = store
        self._artifacts = store.artifacts(run.info)
        self._written_epochs: int | None = None

    @classmethod
    def open(cls, training: TrainingRun) -> TrainingRecord:
        """Find the run of a training, or create it.

        Raises InputError if `mlruns` cannot be written, RecordError if the store cannot be reached.
        """
        store = create_store()
        with record_errors("written"):
            run = _find_run(store, training.key) or _create_run(store, training)
            store.client.update_run(run.info.run_id, status="RUNNING")
        return cls(store, run)

    @property
    def link(self) -> str:
        """The address of the run's page on MLflow's server; '' if the record is not on one."""
        return run_url(self.run_id, self._store.experiment_id)

    def write_curve(self, curve: Sequence[Mapping[str, float]]) -> None:
        """Write the epochs that the run lacks."""
        with self._keep_problem():
            self._write_curve(curve)

    def finish(
        self,
        state: RunState,
        curve: Sequence[Mapping[str, float]],
        values: Mapping[str, float],
        files: Sequence[Path] = (),
    ) -> None:
        """Write what the run lacks, the final values and files, and end the run."""
        from mlflow.entities import Metric

        with self._keep_problem():
            self._write_curve(curve)
            now = _now_ms()
            final = [
                Metric(_best_metric(name), float(value), now, len(curve)) for name, value in values.items()
            ]
            self._store.client.log_batch(self.run_id, final)
            for path in files:
                self._artifacts.log_artifact(str(path))  # type: ignore[no-untyped-call]
            self._store.client.set_terminated(self.run_id, RUN_STATUS[state])

    def _write_curve(self, curve: Sequence[Mapping[str, float]]) -> None:
        from mlflow.entities import Metric

        client = self._store.client
        if self._written_epochs is None:
            steps = [point.step for point in client.get_metric_history(self.run_id, "seconds_epoch")]
            self._written_epochs = max(steps, default=0)
        for epoch, row in enumerate(curve[self._written_epochs :], start=self._written_epochs + 1):
            now = _now_ms()
            named = {runs.curve_metric(name): value for name, value in row.items() if name != "epoch"}
            points = [Metric(name, float(value), now, epoch) for name, value in named.items()]
            client.log_batch(self.run_id, points)
            self._written_epochs = epoch

    @contextmanager
    def _keep_problem(self) -> Iterator[None]:
        """Keep a failure of MLflow as `problem`: the training continues without it."""
        self.problem = ""
        try:
            with record_errors("written"):
                yield
        except RecordError as error:
            self.problem, self._written_epochs = str(error), None


def find_training_run(key: str) -> str:
    """Return the id of the run of a training, '' if there is none; raises RecordError."""
    store = connect()
    with record_errors("read"):
        run = _find_run(store, key) if store is not None else None
    return "" if run is None else str(run.info.run_id)


def _find_run(store: Store, key: str) -> Run | None:
    found = store.client.search_runs([store.experiment_id], f"tags.`nas.training` = '{key}'", max_results=1)
    return found[0] if found else None


def _create_run(store: Store, training: TrainingRun) -> Run:
    from mlflow.entities import Metric, Param

    architecture = training.design.architecture
    run = store.client.create_run(
        store.experiment_id,
        run_name=f"train {training.name}",
        tags={
            "nas.kind": "training",
            "nas.training": training.key,
            "id": architecture.id,
            "mlflow.source.name": "nas train",
        },
    )
    run_id = run.info.run_id
    closed = architecture.to_dict(training.design.training)
    texts = {
        **{key: str(value) for key, value in training.settings.items()},
        **runs.run_params({}, closed, training.design.training),
    }
    params = iter([Param(key, text[: runs.MAX_TEXT]) for key, text in texts.items()])
    while some := list(islice(params, runs.MAX_PARAMS)):
        store.client.log_batch(run_id, params=some)
    costs = network_cost(architecture)
    values = {"params": costs.params, "flops": costs.flops, "peak_bytes": costs.peak_bytes}
    now = _now_ms()
    store.client.log_batch(run_id, [Metric(name, float(value), now, 0) for name, value in values.items()])
    store.client.log_inputs(run_id, [dataset_input(training.data)])
    write_text(store.artifacts(run.info), dump_yaml(closed), "architecture.yaml")
    return run


def _best_metric(name: str) -> str:
    """Return the metric of a final value: a quality gets `best_`, for it is that of the best epoch."""
    metric = runs.value_metric(name)
    return f"best_{metric}" if metric.startswith("val_") else metric


def _now_ms() -> int:
    return int(1000 * time.time())
