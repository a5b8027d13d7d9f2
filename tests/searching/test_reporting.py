"""The data of a report is that of the search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reported_search import checkpoint, dataset, plan, trials

from nas.errors import RecordError
from nas.report import page_html
from nas.searching.reporting import Reporter
from nas.trials import pareto_front, pick_trial


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    reporter = Reporter(
        "photos", plan(), dataset(), lambda trial: checkpoint(folder, trial), lambda t: f"http://x/{t.run_id}"
    )
    return reporter.data(
        trials(), "complete", {"params over the limit 50,000": 3}, worker_time={"train": 0.75}
    )


def test_the_answers_are_those_of_export(data):
    for answer in data["answers"]:
        for rule, title in zip(answer["rules"], answer["titles"], strict=True):
            assert pick_trial(trials(), plan().criteria, rule).number == answer["trial"], title
        assert answer["command"].startswith("nas export photos --pick ")
    assert sorted(rule for answer in data["answers"] for rule in answer["rules"]) == [
        "best", "fastest-within 1%", "knee", "smallest-within 1%",
    ]  # fmt: skip


def test_front_members_have_their_answers_and_everyone_a_drawing(data):
    front = pareto_front(trials(), plan().criteria)
    assert set(data["results"]) == {trial.number for trial in front}
    best = front[0]
    confusion = data["results"][best.number]["confusion"]
    right = sum(confusion[n][n] for n in range(10)) / len(dataset().validation)
    assert right == pytest.approx(best.values["accuracy"], abs=0.05)
    assert len(data["networks"]) == len(data["curves"]) == len(trials())
    assert data["curves"][best.number]["val_accuracy"][-1] == pytest.approx(best.values["accuracy"], rel=1e-3)
    assert data["links"][best.number] == f"http://x/{best.run_id}"


def test_the_model_finds_what_matters(data):
    """The made-up error depends on the parameters and halves with residual connections."""
    quality, params, *_ = data["importance"]
    assert quality["name"] == "accuracy"
    assert params["name"] == "params"
    contrast = {(one["value"], one["choice"]): one for one in data["contrasts"]}
    identity = contrast["block.residual", "identity"]
    assert identity["high"] < 1
    assert 0.3 < identity["ratio"] < 0.9
    assert data["contrast_cost"] == "params"
    shares = {name: share[0] for name, share in quality["shares"].items()}
    assert shares["block.residual"] > shares["head.pooling"]


def test_the_rest(data):
    assert data["screened"] == [("params over the limit 50,000", 3)]
    assert data["worker_time"] == {"train": 0.75}
    assert data["limits"] == {"params": 50_000}
    assert data["notices"] == []
    json.dumps(data, allow_nan=False)


def test_a_page_without_data_and_weights_says_so():
    def missing(_: object) -> Path:
        raise RecordError("no weights")

    data = Reporter("photos", plan(), None, missing).data(trials(), "running", {}, thorough=False)
    assert "away" in data["notices"][0]
    assert data["results"] == {}
    assert data["importance"] == []
    data = Reporter("photos", plan(), dataset(), missing).data([], "running", {}, thorough=True)
    assert data["answers"] == []
    assert data["importance"] == []
    assert "photos" in page_html(data)


def test_a_page_of_many_trials_is_small():
    data = Reporter("photos", plan(), dataset(), lambda _: Path("absent.npz")).data(
        trials(1000, seed=1), "complete", {}, thorough=False
    )
    per_trial = (len(page_html(data)) - len(page_html({**data, **_without(data)}))) / 1000
    assert per_trial < 120  # bytes
    assert len(data["networks"]) == 250


def _without(data):
    return {"columns": {name: [] for name in data["columns"]}, "settings": [], "labels": {}}
