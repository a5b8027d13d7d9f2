"""One damaged trial does not make a whole search unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_trials import deliver, trial

from nas.errors import RecordError
from nas.record import SearchRecord

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

DAMAGES = {
    "no text": ({"nas.trial.0": ""}, "Expecting value"),
    "no JSON": ({"nas.trial.0": "{"}, "Expecting property name"),
    "another type": ({"nas.trial.0": "[1, 2]"}, "the text of a trial is damaged"),
    "parts": ({"nas.trial.parts": "many"}, "invalid literal"),
    "missing part": ({"nas.trial.parts": "9"}, "nas.trial."),
    "number": ({"nas.trial.0": ('"number":1', '"number":"one"')}, "damaged: number"),
    "state": ({"nas.trial.0": ('"complete"', '"finished"')}, "damaged: state"),
    "values": ({"nas.trial.0": ('"params":1234', '"params":"[/b]"')}, "damaged: values"),
    "negative number": ({"nas.trial.0": ('"number":1', '"number":-1')}, "damaged: number"),
    "huge integer": ({"nas.trial.0": ('"params":1234', f'"params":1{"0" * 400}')}, "damaged: values"),
    "no epoch": ({"nas.trial.0": ('"epoch":', '"epocs":')}, "damaged: curve"),
    "network": ({"nas.trial.0": ('"stages":[', '"stages":[{"width":-1},')}, ""),
    "depth": ({"nas.trial.0": "[" * 4000}, ""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_left_out_and_named(record: SearchRecord, damage: str) -> None:
    trials = [deliver(record, trial(number)) for number in range(3)]
    changes, why = DAMAGES[damage]
    client = record._store.client
    tags = client.get_run(trials[1].run_id).data.tags
    for key, change in changes.items():
        text = tags[key].replace(*change) if isinstance(change, tuple) else change
        assert text != tags[key]
        client.set_tag(trials[1].run_id, key, text)
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
    record._store.client.set_tag(record.run_id, "nas.config.0", "{")
    with pytest.raises(RecordError, match=f"those of run {record.run_id} are damaged; restore a copy"):
        SearchRecord.open(record.name)
