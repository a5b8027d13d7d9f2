"""One damaged trial does not make a whole search unreadable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_trials import deliver, trial

from nas.errors import RecordError
from nas.record import SearchRecord
from nas.record.packed_text import pack_text, unpack_text

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

DAMAGES = {
    "no text": ("", "Expecting value"),
    "no JSON": ("{", "Expecting property name"),
    "another type": ("[1, 2]", "the text of a trial is damaged"),
    "number": (('"number":1', '"number":"one"'), "damaged: number"),
    "state": (('"complete"', '"finished"'), "damaged: state"),
    "values": (('"params":1234', '"params":"[/b]"'), "damaged: values"),
    "negative number": (('"number":1', '"number":-1'), "damaged: number"),
    "huge integer": (('"params":1234', f'"params":1{"0" * 400}'), "damaged: values"),
    "no epoch": (('"epoch":', '"epocs":'), "damaged: curve"),
    "network": (('"stages":[', '"stages":[{"width":-1},'), ""),
    "depth": ("[" * 100_000, ""),
}
"""Changes of the text of a trial, and what a notice says about each."""


def without_packing(tags: dict[str, str]) -> dict[str, str]:
    """Return a trial's tags as version 0.1 wrote them."""
    text = unpack_text("nas.trial", tags)
    return {"nas.trial.parts": "2", "nas.trial.0": text[:100], "nas.trial.1": text[100:]}


TAG_DAMAGES = {
    "no number of parts": (lambda tags: {"mlflow.nas.trial": "1"}, "the number of its parts"),
    "no number": (lambda tags: {"mlflow.nas.trial": "x:AA=="}, "invalid literal"),
    "missing part": (lambda tags: {"mlflow.nas.trial": "9:AAAA"}, "nas.trial.1"),
    "other characters": (lambda tags: {"mlflow.nas.trial": '1:""'}, ""),
    "cut": (lambda tags: {"mlflow.nas.trial": tags["mlflow.nas.trial"][:-48]}, "compressed text is"),
    "changed": (lambda tags: {"mlflow.nas.trial": "1:" + "0" * 48}, "compressed text is damaged"),
    "parts of 0.1": (lambda tags: {**without_packing(tags), "nas.trial.parts": "many"}, "invalid literal"),
    "missing part of 0.1": (lambda tags: {**without_packing(tags), "nas.trial.parts": "9"}, "nas.trial.2"),
}
"""Tags of a trial as something may leave them, and what a notice says about each."""


def change_tags(record: SearchRecord, run_id: str, changes: dict[str, str]) -> None:
    client = record._store.client
    if "nas.trial.parts" in changes:
        client.delete_tag(run_id, "mlflow.nas.trial")
    for key, value in changes.items():
        client.set_tag(run_id, key, value)


@pytest.mark.parametrize("damage", [*DAMAGES, *TAG_DAMAGES])
def test_a_damaged_run_is_left_out_and_named(record: SearchRecord, damage: str) -> None:
    trials = [deliver(record, trial(number)) for number in range(3)]
    tags = record._store.client.get_run(trials[1].run_id).data.tags
    if damage in DAMAGES:
        change, why = DAMAGES[damage]
        before = unpack_text("nas.trial", tags)
        text = before.replace(*change) if isinstance(change, tuple) else change
        assert text != before
        changes = pack_text("nas.trial", text)
    else:
        create, why = TAG_DAMAGES[damage]
        changes = create(tags)
    change_tags(record, trials[1].run_id, changes)
    record.finish("complete")
    again = SearchRecord.resume(record.name)
    assert again.trials() == [trials[0], trials[2]]
    (notice,) = again.notices
    assert notice.startswith(f"The record of '{record.name}' is read without 1 damaged part (run ")
    assert trials[1].run_id in notice
    assert why in notice
    again.damage[0].set_aside()
    again.finish("complete")
    after = SearchRecord.open(record.name)
    assert after.trials() == [trials[0], trials[2]]
    assert not after.notices


def test_a_record_of_version_0_1_is_read_and_continued(record: SearchRecord) -> None:
    trials = [deliver(record, trial(0)), deliver(record, trial(1, state="stopped"))]
    record.close()
    client = record._store.client
    for each in trials:
        tags = client.get_run(each.run_id).data.tags
        change_tags(record, each.run_id, without_packing(tags))
    plan = json.dumps(record.config)
    for key in [key for key in client.get_run(record.run_id).data.tags if "nas.config" in key]:
        client.delete_tag(record.run_id, key)
    client.set_tag(record.run_id, "nas.config.parts", "1")
    client.set_tag(record.run_id, "nas.config.0", json.dumps({"seed": 4}))
    assert SearchRecord.open(record.name).config == {"seed": 4}
    client.set_tag(record.run_id, "nas.config.0", plan[:4000])
    client.set_tag(record.run_id, "nas.config.1", plan[4000:])
    client.set_tag(record.run_id, "nas.config.parts", "2")

    again = SearchRecord.resume(record.name)
    assert again.config == record.config
    assert again.trials() == trials
    further = deliver(again, trial(1, epochs=9))
    again.amend({**record.config, "seed": 5})
    again.finish("complete")
    after = SearchRecord.open(record.name)
    assert after.trials() == [trials[0], further]
    assert after.config["seed"] == 5
    # Its metrics had other names, so that all epochs are written, also the first.
    steps = [point.step for point in client.get_metric_history(further.run_id, "loss")]
    assert sorted(steps) == sorted([*range(1, 10), *range(1, 4)])


def test_a_second_run_with_the_number_of_another_is_left_out(record: SearchRecord) -> None:
    first = deliver(record, trial(0))
    record._search._runs.clear()
    second = deliver(record, trial(0))
    assert second.run_id != first.run_id
    found = SearchRecord.open(record.name)
    assert len(found.trials()) == 1
    assert "it has the number 0 of run " in found.notices[0]


def test_damaged_files_of_the_spool_and_of_over_limit_trials_are_left_out(record: SearchRecord) -> None:
    record.log_over_limit([trial(5, state="over_limit", epochs=0, curve=())])
    kept = deliver(record, trial(0))
    record._delivery._stop()
    (table,) = record._search._artifacts.list_artifacts("over_limit")
    path = Path(record._search._artifacts.download_artifacts(table.path))
    path.write_text(path.read_text().replace("record", "other"))
    for number in (1, 2):
        record.log(trial(number))
    (folder,) = record._spool.folder.glob("000002")
    (folder / "trial.json").write_text('{"time_ms": 1}')
    found = SearchRecord.open(record.name)
    assert [each.number for each in found.trials()] == [0, 2]
    assert found.trials()[0] == kept
    assert {part.name for part in found.damage} == {f"file {table.path}", f"'{folder}'"}
    for part in found.damage:
        part.set_aside()
    again = SearchRecord.open(record.name)
    assert [each.number for each in again.trials()] == [0, 2]
    assert again.damage == []


def test_a_damaged_journal_is_read_around(record: SearchRecord) -> None:
    record._delivery._stop()
    record.log_over_limit([trial(5, state="over_limit", epochs=0, curve=())])
    journal = record._spool.folder / "journal.jsonl"
    journal.write_bytes(b'\xff\xfe\n["point","x","high",1,2]\n["point"]\n\0\0\n' + journal.read_bytes())
    found = SearchRecord.open(record.name)
    assert [each.number for each in found.trials()] == [5]
    assert [part.name for part in found.damage] == [f"'{journal}'"]


def test_a_search_whose_plan_is_damaged_is_named(record: SearchRecord) -> None:
    for key, part in pack_text("nas.config", "{").items():
        record._store.client.set_tag(record.run_id, key, part)
    with pytest.raises(RecordError, match=f"those of run {record.run_id} are damaged; restore a copy"):
        SearchRecord.open(record.name)
