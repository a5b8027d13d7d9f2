"""The record of one training in MLflow: a run with the curve by epoch, found again by its key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.architecture import Design, dump_yaml, network_cost
from nas.errors import RecordError
from nas.record import mlflow_runs as runs
from nas.record.mlflow_store import Store, connect, page, telling
from nas.record.search_record import DataSource

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["TrainingRecord", "TrainingRun"]

STATUS = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
BATCH = 100  # parameters in one call; MLflow takes no more


@dataclass(frozen=True)
class TrainingRun:
    """What a training's run says about it."""

    key: str  # by which the run is found again
    name: str
    design: Design
    data: DataSource
    settings: Mapping[str, Any]  # epochs, seed, ...: short values


class TrainingRecord:
    """A training's run in MLflow, which need not answer all the time.

    What could not be written is in `problem`, and is written with the next call, or when the training
    is opened again: each call writes whatever the run lacks of the curve.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.run_id: str = run.info.run_id
        self.problem = ""
        self._store = store
        self._known: int | None = None

    @classmethod
    def open(cls, asked: TrainingRun) -> TrainingRecord:
        """Find the training's run, or begin it.

        Raises InputError where `mlruns` cannot be written, RecordError where the store cannot be reached.
        """
        store = connect(make=True)
        assert store is not None
        with telling("written"):
            found = store.client.search_runs(
                [store.experiment_id], f"tags.`nas.training` = '{asked.key}'", max_results=1
            )
            run = found[0] if found else _begin(store, asked)
            store.client.update_run(run.info.run_id, status="RUNNING")
        return cls(store, run)

    @property
    def link(self) -> str:
        """The address of the run's page in MLflow's user interface."""
        return page(self.run_id, self._store.experiment_id)

    def deliver(self, curve: Sequence[Mapping[str, float]]) -> None:
        """Write the epochs that the run lacks."""
        with self._telling():
            self._deliver(curve)

    def finish(
        self,
        state: Literal["complete", "interrupted", "failed"],
        curve: Sequence[Mapping[str, float]],
        values: Mapping[str, float],
        files: Sequence[Path] = (),
    ) -> None:
        """Write what the run lacks, the final values and files, and end it."""
        from mlflow.entities import Metric

        with self._telling():
            self._deliver(curve)
            now = _now_ms()
            final = [Metric(name, float(value), now, len(curve)) for name, value in values.items()]
            self._store.client.log_batch(self.run_id, final)
            for path in files:
                self._store.client.log_artifact(self.run_id, str(path))
            self._store.client.set_terminated(self.run_id, STATUS[state])

    def _deliver(self, curve: Sequence[Mapping[str, float]]) -> None:
        from mlflow.entities import Metric

        client = self._store.client
        if self._known is None:
            steps = [point.step for point in client.get_metric_history(self.run_id, "epoch/seconds")]
            self._known = max(steps, default=0)
        for epoch, row in enumerate(curve[self._known :], start=self._known + 1):
            now = _now_ms()
            named = {f"epoch/{name}": value for name, value in row.items() if name != "epoch"}
            points = [Metric(name, float(value), now, epoch) for name, value in named.items()]
            client.log_batch(self.run_id, points)
            self._known = epoch

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Keep a failure of MLflow as `problem`: training goes on without it."""
        self.problem = ""
        try:
            with telling("written"):
                yield
        except RecordError as error:
            self.problem, self._known = str(error), None


def _begin(store: Store, asked: TrainingRun) -> Run:
    from mlflow.entities import Metric, Param

    architecture, training = asked.design.architecture, asked.design.training
    run = store.client.create_run(
        store.experiment_id,
        run_name=f"train {asked.name}",
        tags={
            "nas.kind": "training",
            "nas.training": asked.key,
            "architecture": architecture.id,
            "mlflow.source.name": "nas train",
        },
    )
    run_id = run.info.run_id
    closed = architecture.to_dict(training)
    shown = {
        **{key: str(value) for key, value in asked.settings.items()},
        **runs.params({}, closed, training),
    }
    params = iter([Param(key, text[: runs.TEXT]) for key, text in shown.items()])
    while some := list(islice(params, BATCH)):
        store.client.log_batch(run_id, params=some)
    counted = network_cost(architecture)
    known = {"params": counted.params, "flops": counted.flops, "peak_bytes": counted.peak_bytes}
    now = _now_ms()
    store.client.log_batch(run_id, [Metric(name, float(value), now, 0) for name, value in known.items()])
    given = runs.dataset_input(asked.data.name, asked.data.source, asked.data.fingerprint)
    store.client.log_inputs(run_id, [given])
    store.client.log_text(run_id, dump_yaml(closed), "architecture.yaml")
    return run


def _now_ms() -> int:
    return int(1000 * time.time())
