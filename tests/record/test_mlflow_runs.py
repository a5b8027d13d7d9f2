"""What MLflow shows of a search and its trials."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_trials import ARCHITECTURE, curve, deliver, run_of, trial

from nas.architecture import Architecture, read_yaml
from nas.record import SearchRecord
from nas.record.mlflow_runs import curve_metric, value_metric

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_mlflow_shows_a_trial(record: SearchRecord, tmp_path: Path) -> None:
    (tmp_path / "17.npz").write_bytes(b"weights")
    logged = deliver(record, trial(7), {"checkpoint.npz": tmp_path / "17.npz"})
    client, run = run_of(logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == record.run_id
    assert run.info.run_name == "007 sep/conv 8-16 · 1.2k · 733.3 %"
    assert {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")} == {
        "state": "complete", "on_front": "false", "id": ARCHITECTURE.id, "epochs": "3",
    }  # fmt: skip
    assert run.data.params["block.conv"] == "separable"
    assert run.data.params["architecture.stages.1.conv"] == "separable"
    assert run.data.params["training.optimizer"] == "sgd"
    assert run.data.metrics["val_accuracy"] == 1 / 3 + 7  # the final value, not the last of the curve
    steps = client.get_metric_history(logged.run_id, "loss")
    assert [(point.step, point.value) for point in steps] == [
        (n, e["loss"]) for n, e in enumerate(curve(3), 1)
    ]
    assert {item.path for item in client.list_artifacts(logged.run_id)} == {"architecture.yaml", "epochs-3"}
    path = client.download_artifacts(logged.run_id, "architecture.yaml")
    assert Architecture.from_dict(read_yaml(Path(path).read_text(), "the file")) == ARCHITECTURE
    assert record.file(logged).read_bytes() == b"weights"


def test_mlflow_shows_the_search(record: SearchRecord) -> None:
    record.attach({"front.csv": "trial\n1\n"})
    record.attach({"front.csv": "trial\n2\n"})
    record.finish("complete")
    client, run = run_of(record.run_id)
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits", "5f3c0ffee")
    assert run.info.status == "FINISHED"
    assert re.fullmatch(r"process \d+ on .*, \d{4}-.* UTC, \w{8}", run.data.params.pop("session.1"))
    assert run.data.params == {"seed": "3", "engine": "random", "objectives": "accuracy params"}
    assert Path(client.download_artifacts(record.run_id, "front.csv")).read_text() == "trial\n2\n"


def test_front_tags_follow_the_front(record: SearchRecord) -> None:
    ids = {n: deliver(record, trial(n)).run_id for n in range(4)}
    client, _ = run_of(record.run_id)

    def marked() -> set[int]:
        return {n for n, run_id in ids.items() if client.get_run(run_id).data.tags["on_front"] == "true"}

    record.mark_front([0, 1], 0.25, 2)
    record.flush()
    assert marked() == {0, 1}
    record.mark_front([1, 3], 0.5, 4)
    record.close()  # as a killed process would leave it
    again = SearchRecord.resume(record.name)
    again.mark_front([1, 3], 0.75, 5)
    again.finish("interrupted")
    assert marked() == {1, 3}
    points = client.get_metric_history(record.run_id, "hypervolume")
    assert [(point.step, point.value) for point in points] == [(2, 0.25), (4, 0.5), (5, 0.75)]
    assert client.get_run(record.run_id).info.status == "KILLED"


def test_the_names_of_metrics_are_those_that_keras_gives() -> None:
    values = ["accuracy", "accuracy_se", "map_std", "val_loss", "val_loss_se"]
    assert [value_metric(name) for name in values] == [
        "val_accuracy", "val_accuracy_se", "val_map_std", "val_loss", "val_loss_se",
    ]  # fmt: skip
    costs = ["params", "latency_ms", "peak_bytes", "trainings", "loss", "float_accuracy"]
    assert [value_metric(name) for name in costs] == costs
    assert [curve_metric(name) for name in ("loss", "accuracy", "val_accuracy", "seconds")] == [
        "loss", "accuracy", "val_accuracy", "seconds_epoch",
    ]  # fmt: skip


def test_a_value_that_is_measured_again_is_the_one_that_is_shown(record: SearchRecord) -> None:
    slow = deliver(record, trial(0, values={"accuracy": 0.5, "latency_ms": 2.0}, ended_ms=1_700_000_000_000))
    deliver(record, replace(slow, values={"accuracy": 0.4, "latency_ms": 1.0}))
    _, run = run_of(slow.run_id)
    assert (run.data.metrics["latency_ms"], run.data.metrics["val_accuracy"]) == (1.0, 0.4)
    assert run.info.end_time == 1_700_000_000_000
    assert run.info.run_name.endswith("· 40.0 %")


def test_the_final_value_is_written_once_if_it_is_that_of_the_curve(record: SearchRecord) -> None:
    last = curve(3)[-1]["val_accuracy"]
    logged = deliver(record, trial(0, values={"accuracy": last}))
    client, _ = run_of(logged.run_id)
    assert len(client.get_metric_history(logged.run_id, "val_accuracy")) == 3
