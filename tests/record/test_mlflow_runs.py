"""What MLflow shows of a search and its trials."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from recorded_trials import ARCHITECTURE, curve, deliver, run_of, trial

from nas.architecture import Architecture, read_yaml
from nas.record import SearchRecord

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_mlflow_shows_a_trial(record: SearchRecord, tmp_path: Path) -> None:
    (tmp_path / "17.npz").write_bytes(b"weights")
    logged = deliver(record, trial(7), {"checkpoint.npz": tmp_path / "17.npz"})
    client, run = run_of(logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == record.run_id
    assert {key: run.data.tags[key] for key in ("state", "on_front", "number", "architecture")} == {
        "state": "complete", "on_front": "false", "number": "7", "architecture": ARCHITECTURE.id,
    }  # fmt: skip
    assert run.data.params["block.conv"] == "separable"
    assert run.data.params["architecture.stages.1.conv"] == "separable"
    assert run.data.params["training.optimizer"] == "sgd"
    assert run.data.metrics["accuracy"] == 1 / 3 + 7
    steps = client.get_metric_history(logged.run_id, "epoch/loss")
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
    assert run.data.params == {"seed": "3", "engine": "random"}
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
