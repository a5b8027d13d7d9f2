"""A search that starts from the trials of earlier ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

import nas
from nas.architecture import dump_yaml
from nas.cli import main
from nas.errors import InputError, SpaceError
from nas.record import SearchRecord, tracking_uri
from nas.searching import Plan, SearchOptions, earlier_searches
from nas.searching.earlier_searches import read_earlier_searches
from nas.searching.planning import starting_settings
from nas.space import SearchSpace
from nas.trials import Trial

SPACE: dict[str, Any] = {
    "name": "small",
    "stem": {"width": 8, "stride": 2, "normalization": "between"},
    "stages": {"count": {"choice": [1, 2]}, "width": {"choice": [4, 8, 12]}},
    "block": {"conv": {"choice": ["standard", "separable"]}, "normalization": "between"},
}
OPTIONS = SearchOptions(objectives=("accuracy", "params"), epochs=4, start_from_search=("first",))


def bound(changes: dict[str, Any] | None = None, task: str = "classification") -> SearchSpace:
    return SearchSpace({**SPACE, **(changes or {})}).bind((16, 16, 1), 10, task)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a folder with the record of the search `first`: each setting complete, and a failed trial."""
    folder = tmp_path_factory.mktemp("recorded")
    space = bound()
    plan = Plan.parse({"space": space.data, "objectives": ("accuracy", "params"), "fingerprint": "digits"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        written = SearchRecord.create("first", plan.model_dump(mode="json"))
        for number, setting in enumerate([*space.settings(), next(space.settings())]):
            design = space.design(setting)
            failed = number == space.settings_count()
            trial = Trial(
                number,
                setting,
                design.architecture.id,
                "failed" if failed else "complete",
                {} if failed else {"accuracy": 0.5 + number / 1000, "params": 100.0},
                0 if failed else 9,
                architecture=design.architecture,
                training=design.training,
            )
            written.log(trial)
        written.finish("complete")
    return folder


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.trains
def test_trials_become_settings_of_the_new_space(recorded, monkeypatch):
    """The new space has fewer choices, another order, values that are stated, and another input."""
    monkeypatch.chdir(recorded)
    block, stem = {**SPACE["block"], "conv": "separable"}, {**SPACE["stem"], "kernel_size": 3}
    new = SearchSpace({"name": "new", "block": block, "stages": SPACE["stages"], "stem": stem})
    (search,) = read_earlier_searches(OPTIONS, new.bind((8, 8, 3), 4), "digits")
    assert (search.name, search.trained, search.same_data) == ("first", 12, True)
    assert {observation.epochs for observation in search.observations} == {4}  # 9 is over the full length
    accuracies = {
        json.dumps(setting, sort_keys=True): 0.5 + number / 1000
        for number, setting in enumerate(bound().settings())
    }
    assert len(search.observations) == new.settings_count() == 6
    for observation in search.observations:
        setting = {**observation.setting, "block.conv": "separable"}
        assert observation.values == {"accuracy": accuracies[json.dumps(setting, sort_keys=True)]}
    (other,) = read_earlier_searches(OPTIONS, bound(), "photos")
    assert not other.same_data


@pytest.mark.trains
def test_a_search_starts_from_a_trial_of_another_one(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    fourth = list(bound().settings())[4]
    other = SearchSpace({**SPACE, "stem": {**SPACE["stem"], "width": {"choice": [8, 16]}}})
    new = other.bind((8, 8, 3), 4)
    (setting,) = starting_settings(new, ["first:4"])
    assert setting == {**fourth, "stem.width": 8}
    with pytest.raises(InputError, match="search 'first' has no trial 40; its trials are 0 to 12"):
        starting_settings(new, ["first:40"])
    with pytest.raises(SpaceError, match="takes points of the space small, got 'first:4', which is none"):
        starting_settings(bound({"stem": {"width": 16}}), ["first:4"])


@pytest.mark.trains
def test_the_number_of_trials_is_limited(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    monkeypatch.setattr(earlier_searches, "MAX_TRIALS", 5)
    (search,) = read_earlier_searches(OPTIONS, bound(), "digits")
    assert search.trained == 12
    assert [o.values["accuracy"] for o in search.observations] == [0.5, 0.502, 0.505, 0.508, 0.511]


@pytest.mark.trains
@pytest.mark.parametrize(
    ("name", "space", "quality", "message"),
    [
        ("frist", bound(), "accuracy", "unknown search 'frist'; did you mean 'first'?"),
        (
            "first",
            bound(task="segmentation"),
            "mean_iou",
            r"--start-from-search takes searches of the same task, got 'first' \(classification\) for segm",
        ),
        (
            "first",
            bound(),
            "mean_iou",
            r"takes searches of the same quality, got 'first' \(accuracy\) for mean_iou",
        ),
        (
            "first",
            bound({"stem": {**SPACE["stem"], "width": 9}}),
            "accuracy",
            "but no trained trial of 'first' is a point of the space small",
        ),
    ],
)
def test_searches_that_do_not_fit_are_one_clear_error(recorded, monkeypatch, name, space, quality, message):
    monkeypatch.chdir(recorded)
    options = OPTIONS.model_copy(update={"start_from_search": (name,), "objectives": (quality, "params")})
    with pytest.raises(InputError, match=message):
        read_earlier_searches(options, space, "digits")


@pytest.mark.trains
def test_a_search_starts_from_another_and_resumes_after_that_is_deleted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"epochs": 2, "objectives": ("accuracy", "params"), "workers": 0, "train_limit": 200}
    first = nas.search(SPACE, name="first", trials=4, **small)
    second = nas.search(SPACE, name="second", trials=2, start_from_search=("first",), **small)
    (earlier,) = second.plan.earlier
    assert earlier.same_data
    assert earlier.trained == len(earlier.observations) == 4
    assert {o.values["accuracy"] for o in earlier.observations} == {
        trial.values["accuracy"] for trial in first.trials
    }
    assert len(second.trials) == 2  # those of the first are not trials of the second

    import mlflow

    client = mlflow.MlflowClient(tracking_uri())
    client.delete_run(SearchRecord.open("first").run_id)
    with pytest.raises(InputError, match="unknown search 'first'"):
        nas.find("first")
    resumed = nas.resume("second", trials=3, workers=0)
    assert resumed.plan.earlier == second.plan.earlier
    assert len(resumed.trials) == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.trains
def test_the_command_says_what_is_used_of_searches_on_the_same_and_on_other_data(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    small = {"epochs": 2, "objectives": ("accuracy", "params"), "workers": 0}
    nas.search(SPACE, name="same", trials=2, train_limit=200, **small)
    nas.search(SPACE, name="other", trials=3, image_size=12, **small)
    (tmp_path / "small.yaml").write_text(dump_yaml(SPACE))
    arguments = "search --space small.yaml --train-limit 200 --epochs 2 --trials 6 --workers 0 --name second"
    with pytest.raises(SystemExit) as ended:
        main([*arguments.split(), "--objectives", "accuracy,params", "--start-from-search", "same, other"])
    assert not ended.value.code
    shown = capsys.readouterr().err
    assert "start from  2 of 2 trials of same, on the same data" in shown
    assert "start from  3 of 3 trials of other, on other data" in shown
    assert len(nas.find("second").trials) == 6
