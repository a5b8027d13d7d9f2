"""Real confirmations of a small search: stopped, killed, resumed, and their results in the record."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_trials import run_of

import nas
from nas.cli.main import main
from nas.errors import DataError, InputError
from nas.record import SearchRecord
from nas.searching import confirming, find_problems, recorded_data
from nas.searching.confirmed_trainings import read_trainings

pytestmark = [
    pytest.mark.trains,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
SPACE = {
    "name": "small",
    "stages": [{"width": {"choice": [2, 4, 8]}, "shrink": "max_pool"}],
    "training": {"learning_rate": 0.01, "batch_size": 32},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a folder with a search of three networks, all of them on the front."""
    folder = tmp_path_factory.mktemp("confirm")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with contextlib.chdir(folder):
        result = nas.search(
            SPACE, data="digits", image_size=8, train_limit=200, trials=3, epochs=3, halving=False,
            min_quality=0.0, objectives=("accuracy", "params"), name="small", workers=0,
        )  # fmt: skip
        assert len(result.front) >= 2
    return folder


@pytest.fixture
def folder(searched, tmp_path, monkeypatch):
    """Return a copy of the folder of the search, to work in."""
    shutil.copytree(searched, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "copy"


def kept() -> dict[tuple[int, int], float]:
    """Return the test accuracies that the record keeps, by trial and seed."""
    text = SearchRecord.open("small").text("confirmed_trainings.json")
    return {(one.trial, one.seed): one.test["accuracy"] for one in read_trainings(text)}


def test_a_confirmation_that_is_stopped_goes_on_and_equals_an_uninterrupted_one(folder):
    before = nas.find("small")
    shown, numbers = [], {trial.number for trial in before.front}

    def stop(step):
        shown.append(step)
        if len(shown) == 2:
            raise KeyboardInterrupt

    first = before.confirm(seeds=2, workers=0, show=stop)
    assert first.missing == 2 * len(numbers) - 2
    assert len(kept()) == 2
    lines: list[str] = []
    second = before.confirm(seeds=2, workers=0, progress=lines.append)
    assert "resumed     with 2 trainings" in lines[0]
    assert second.missing == 0
    assert kept().keys() == {(number, seed) for number in numbers for seed in range(2)}
    number, seed = shown[1].training.trial, shown[1].training.seed
    member = next(member for member in second.members if member.trial.number == number)
    assert member.trainings[seed].test["accuracy"] == shown[1].training.test["accuracy"]

    found = nas.find("small")
    assert found.record.state == "complete"
    for member in second.members:
        trial = next(trial for trial in found.trials if trial.number == member.trial.number)
        assert trial.values["test_accuracy"] == member.test.mean
        assert trial.values["accuracy"] == member.search
        _, run = run_of(trial.run_id)
        assert run.data.metrics["test_accuracy"] == member.test.mean
        assert run.data.metrics["confirmed_accuracy"] == member.validation.mean
    data = json.loads(found.record.text("confirmed.json"))
    assert data == json.loads(json.dumps(second.as_data()))
    assert [trial.number for trial in found.front] == [trial.number for trial in before.front]
    assert "test_accuracy" not in str(before.plan.objectives)


def test_a_confirmation_that_is_killed_keeps_every_training(folder):
    command = [*NAS, "confirm", "small", "--seeds", "12", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if sum(": trial" in one for one in lines) == 3:
                process.send_signal(signal.SIGKILL)
                break
    assert sum(": trial" in one for one in lines) == 3, lines
    done = kept()
    assert len(done) >= 3
    assert SearchRecord.open("small").state == "complete"
    problems = [problem.text for problem in find_problems("small")]
    assert all("scratch/small" in text or "Files of the search wait" in text for text in problems)
    lines = []
    found = nas.find("small").confirm(seeds=2, top=2, workers=0, progress=lines.append)
    values = {(member.trial.number, one.seed): one for member in found.members for one in member.trainings}
    assert {pair: values[pair].test["accuracy"] for pair in done} == done
    assert found.missing == 0
    numbers = [trial.number for trial in nas.find("small").front[:2]]
    missing = {(number, seed) for number in numbers for seed in range(2)} - done.keys()
    assert f"  trainings   {len(missing)}, by 1 process" in lines[0]


def test_the_time_limit_leaves_what_does_not_fit(folder):
    found = nas.find("small").confirm(seeds=2, seconds=1e-9, workers=0)
    assert found.members == ()
    assert found.missing == 2 * len(nas.find("small").front)
    assert kept() == {}


def test_members_can_be_chosen(folder):
    front = nas.find("small").front
    found = nas.find("small").confirm(
        seeds=2, top=1, where=f"params < {front[0].values['params']}", workers=0
    )
    assert [member.trial.number for member in found.members] == [front[1].number]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"seeds": 1}, "--seeds must be at least 2, got 1"),
        ({"top": 0}, "--top must be at least 1, got 0"),
        ({"where": "params < 1"}, "needs a member of the front"),
        ({"where": "pramas < 1"}, "did you mean 'params'"),
    ],
)
def test_options_are_checked(folder, options, rule):
    with pytest.raises(InputError, match=rule):
        nas.find("small").confirm(workers=0, **options)
    SearchRecord.resume("small", is_search=False).close()  # it was closed


def test_data_must_be_unchanged_and_have_a_test_split(folder, monkeypatch):
    load = recorded_data.load_dataset

    def loaded(change):
        return lambda *args: change(load(*args))

    def without_test(data):
        changed = replace(data, test=None)
        object.__setattr__(changed, "saved_fingerprint", data.fingerprint)
        return changed

    monkeypatch.setattr(recorded_data, "load_dataset", loaded(without_test))
    with pytest.raises(DataError, match="a confirmation needs a test split, but 'digits' has none"):
        nas.find("small").confirm(workers=0)
    changed = loaded(lambda data: replace(data, classes=tuple("abcdefghij")))
    monkeypatch.setattr(recorded_data, "load_dataset", changed)
    with pytest.raises(DataError, match="the content of 'digits' has changed"):
        nas.find("small").confirm(workers=0)


def test_a_search_that_runs_is_not_confirmed(folder):
    record = SearchRecord.resume("small")
    try:
        with pytest.raises(InputError, match="another one runs 'small'"):
            nas.find("small").confirm(workers=0)
    finally:
        record.finish("complete")


def test_a_network_that_cannot_be_trained_is_named_and_tried_again(folder, monkeypatch):
    from nas.errors import EvaluationError
    from nas.evaluation import Evaluator

    evaluate = Evaluator.evaluate

    def fail(self, job, *rest):
        if job.seed == confirming.FIRST_SEED:
            raise EvaluationError("the loss must stay finite, got nan")
        return evaluate(self, job, *rest)

    monkeypatch.setattr(Evaluator, "evaluate", fail)
    steps = []
    found = nas.find("small").confirm(seeds=2, top=1, workers=0, show=steps.append)
    assert [bool(step.training.failed) for step in steps] == [True, False]
    assert (found.missing, found.members[0].failed, found.members[0].ties) == (1, 1, None)
    monkeypatch.undo()
    os.chdir(folder)
    again = nas.find("small").confirm(seeds=2, top=1, workers=0)
    assert (again.missing, again.members[0].failed) == (0, 0)


def test_the_command_prints_members_and_what_follows(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["confirm", "small", "--seeds", "2", "--top", "2", "--workers", "0"])
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert "Confirmed members of the front of small: accuracy" in out
    assert "Optimism of the search" in out
    assert "Best on the test split: trial" in out
    assert err.count(": trial") == 4
    assert not Path("mlruns/scratch/small").exists()
