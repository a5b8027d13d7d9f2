"""The search's record: trials are written and read back exactly, from a real MLflow database."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded_trials import curve, deliver, run_of, trial

from nas.architecture import Training
from nas.errors import InputError, RecordError
from nas.record import SearchRecord

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_trials_are_restored_exactly(record: SearchRecord) -> None:
    trials = [
        trial(0),
        trial(1, epochs=400),
        trial(2, state="failed", reason="the loss is no number\nat epoch 2", values={}, epochs=0, curve=()),
        trial(3, state="stopped", epochs=1, curve=curve(1)),
        trial(4, architecture=None, training=Training()),
        trial(5, values={"accuracy": np.float32(0.1), "params": np.int64(2**40)}),
    ]
    logged = [deliver(record, each) for each in trials]
    record.finish("complete")

    again = SearchRecord.open(record.name)
    assert again.trials() == [
        *logged[:5],
        replace(logged[5], values={"accuracy": float(np.float32(0.1)), "params": 2**40}),
    ]
    assert [type(value) for value in again.trials()[0].setting.values()] == [int, str, bool, float]
    assert again.config["space"] == "stages: []\n" * 900
    assert len({each.run_id for each in logged}) == 6


def test_the_config_can_be_amended(record: SearchRecord) -> None:
    record.amend({"epochs": 27})
    assert SearchRecord.open(record.name).config == record.config == {"epochs": 27}


def test_values_that_are_not_finite_are_restored(record: SearchRecord) -> None:
    record.log(trial(0, values={"accuracy": math.nan, "params": math.inf}))
    (back,) = SearchRecord.open(record.name).trials()
    assert math.isnan(back.values["accuracy"])
    assert back.values["params"] == math.inf


def test_a_trial_that_is_trained_further_keeps_its_run(record: SearchRecord, tmp_path: Path) -> None:
    for epochs in (3, 9):
        (tmp_path / f"{epochs}.npz").write_bytes(b"x" * epochs)
    first = deliver(record, trial(0, state="stopped"), {"checkpoint.npz": tmp_path / "3.npz"})
    assert record.file(first).read_bytes() == b"xxx"
    second = deliver(record, trial(0, epochs=9), {"checkpoint.npz": tmp_path / "9.npz"})
    assert second.run_id == first.run_id
    with pytest.raises(RecordError, match="has no file epochs-3"):  # training continues from the later ones
        record.file(first)
    client, run = run_of(first.run_id)
    assert [point.step for point in client.get_metric_history(first.run_id, "loss")] == list(range(1, 10))
    assert run.data.tags["state"] == "complete"
    assert run.data.tags["epochs"] == "9"
    assert run.info.run_name == run.data.tags["mlflow.runName"] == "000 sep/conv 8-16 · 1.2k · 33.3 %"
    record.close()

    again = SearchRecord.resume(record.name)
    assert again.trials() == [second]
    assert again.file(second).read_bytes() == b"x" * 9
    third = deliver(again, trial(0, epochs=12))
    assert len(client.get_metric_history(first.run_id, "loss")) == 12
    assert again.trials() == [third]
    again.close()


def test_over_limit_trials_are_restored_from_tables(record: SearchRecord) -> None:
    over = [
        trial(
            n, state="over_limit", epochs=0, curve=(), reason=f'params is {n}, over "5", by far',
            values={"params": n} if n % 2 else {"params": n, "flops": n / 3},
        )
        for n in range(1, 2402)
    ]  # fmt: skip
    logged = deliver(record, trial(0))
    for start in range(0, 2400, 300):
        record.log_over_limit(over[start : start + 300])
        record.flush()
    record.close()
    again = SearchRecord.resume(record.name)
    assert again.trials() == [logged, *over[:2400]]
    again.log_over_limit(over[2400:])
    again.finish("complete")
    assert SearchRecord.open(record.name).trials() == [logged, *over]

    client, _ = run_of(record.run_id)
    assert len(client.list_artifacts(record.run_id, "over_limit")) == 3
    children = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{record.run_id}'")
    assert len(children) == 1


def test_the_latest_search_is_the_default(record: SearchRecord) -> None:
    later = SearchRecord.create(f"{record.name}-later", {})
    assert SearchRecord.open().name == later.name
    later.close()
    with pytest.raises(
        InputError, match=f"in use; resume it with --resume {later.name}, or choose another --name"
    ):
        SearchRecord.create(later.name, {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda record: SearchRecord.create("a/b", {}), "must consist of at most 100 letters.*got 'a/b'"),
        (lambda record: SearchRecord.open(record.name[:-1] + "x"), "did you mean 'search-"),
        (lambda record: SearchRecord.resume(record.name), "but another one runs"),
        (
            lambda record: SearchRecord.create(record.name, {}),
            "is in use; resume it with --resume",
        ),
    ],
)
def test_bad_input_is_one_clear_error(record: SearchRecord, call: Callable, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(record)


def test_an_empty_folder_has_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no search in sqlite:///mlruns/mlflow.db yet; start one with"):
        SearchRecord.open()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_one_clear_error(record: SearchRecord) -> None:
    logged = deliver(record, trial(4))
    with pytest.raises(RecordError, match=r"trial 4 of '.*' has no file epochs-3/checkpoint.npz"):
        record.file(logged)


def test_several_threads_write_one_record(record: SearchRecord) -> None:
    threads = [
        threading.Thread(target=lambda start=n: [record.log(trial(k)) for k in range(start, 12, 3)])
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.number for each in SearchRecord.open(record.name).trials()] == list(range(12))


def test_the_files_of_a_trial_can_be_dropped(record: SearchRecord, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x" * 100)
    trials = [deliver(record, trial(n), {"checkpoint.npz": tmp_path / "weights"}) for n in range(2)]
    assert record.file_bytes(trials[0]) == 100
    record.drop_files(trials[:1])
    assert record.flush()
    assert [record.file_bytes(each) for each in trials] == [0, 100]
    with pytest.raises(RecordError, match=r"trial 0 of .* has no file epochs-3/checkpoint\.npz"):
        record.file(trials[0])
    assert record.file(trials[1]).read_bytes() == b"x" * 100
    record.finish("complete")
    assert SearchRecord.open(record.name).file_bytes(trials[1]) == 100


def test_the_weights_of_a_trial_survive_the_file_that_was_given(record: SearchRecord, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"weights")
    record._delivery._stop()  # nothing is delivered
    record.log(trial(0), {"checkpoint.npz": tmp_path / "weights"})
    (tmp_path / "weights").unlink()
    assert record.file(trial(0)).read_bytes() == b"weights"
