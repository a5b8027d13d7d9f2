"""The descriptions of searches in MLflow: links to the reports first."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_trials import run_of

from nas.record import SearchRecord, descriptions

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

NOTE = "mlflow.note.content"


def report_of(record: SearchRecord) -> str:
    address = f"#/experiments/1/runs/{record.run_id}/artifacts/report.html?workflowType=machine_learning"
    return f"]({address})"


def note_of(record: SearchRecord) -> str:
    return str(run_of(record.run_id)[1].data.tags[NOTE])


def test_the_description_of_a_search_begins_with_the_link_to_its_report(record: SearchRecord) -> None:
    record.describe("| answer |")
    record.describe("| another |")
    assert record.flush()
    first, _, rest = note_of(record).partition("\n")
    assert first.startswith("[Report")
    assert first.endswith(report_of(record))
    assert rest == "\n| another |"
    assert not record._search._artifacts.list_artifacts()
    record._store.client.set_tag(record.run_id, NOTE, "[mine]")
    record.describe("| again |")
    record.finish("complete")
    assert note_of(record) == "[mine]"


def test_a_description_that_could_not_be_delivered_is_delivered_later(record: SearchRecord) -> None:
    record._delivery._stop()
    record.describe("| last |")
    record.close()
    assert SearchRecord.deliver(record.name) == 0
    assert note_of(record).endswith("\n\n| last |")


def test_the_description_of_the_experiment_lists_the_latest_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(descriptions, "LISTED", 3)
    first = SearchRecord.create("first", {})
    client, _ = run_of(first.run_id)
    client.set_tag(first.run_id, NOTE, "The front: artifacts front.html and front.csv, or `nas front first`.")
    first.describe("x")  # in place of what version 0.1 wrote
    first.finish("complete")
    assert note_of(first).startswith("[Report")
    for number in range(3):
        SearchRecord.create(f"s{number}", {}).close()
    second = SearchRecord.create("second", {})
    lines = client.get_experiment("1").tags[NOTE].splitlines()
    assert lines[0] == f"[Report of second{report_of(second)}, the latest search"
    listed = [line.split("]")[0].removeprefix("| [") for line in lines if line.startswith("| [")]
    assert listed == ["second", "s2", "s1"]
    assert "| not ended |" in lines[4]
    second.finish("interrupted")
    assert "| interrupted |" in client.get_experiment("1").tags[NOTE].splitlines()[4]
    SearchRecord.resume("second").close()
    assert "| not ended |" in client.get_experiment("1").tags[NOTE].splitlines()[4]
    client.set_experiment_tag("1", NOTE, "Ours.")
    SearchRecord.create("third", {}).close()
    assert client.get_experiment("1").tags[NOTE] == "Ours."
