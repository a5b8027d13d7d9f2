"""Every option of `nas search` either changes a resumed search or is refused; none is ignored."""

from __future__ import annotations

import inspect

import pytest
import typer

import nas
from nas.cli.main import app, main
from nas.cli.searching import FIELDS, NOT_IN_PLAN
from nas.searching import CHANGEABLE, SearchOptions

COMMAND = typer.main.get_command(app).commands["search"]  # type: ignore[attr-defined]
OPTIONS = {option.name: option for option in COMMAND.params if option.name != "resume"}


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["search", *words])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_taken_or_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    option = OPTIONS[name]
    for word in (*option.opts, *option.secondary_opts):
        value = [] if option.is_flag else ["3"]
        assert run("--resume", "photos", word, *value) == 2
        message = capsys.readouterr().err
        if FIELDS.get(name, name) in {*CHANGEABLE, *NOT_IN_PLAN}:
            assert "there is no search" in message  # the option was taken, and then the record looked for
        else:
            assert message.startswith("nas: --resume takes only options that keep the trials")
            assert f"got {' '.join([word, *value])}; omit it, or start a new search with it" in message
    assert not list(tmp_path.iterdir())


def test_what_may_change_is_an_option_of_a_search_and_a_parameter_of_resume():
    assert set(SearchOptions.model_fields) >= CHANGEABLE
    assert set(inspect.signature(nas.resume).parameters) == {
        *CHANGEABLE,
        "name",
        "retry_failed",
        "workers",
        "show",
    }


@pytest.mark.trains
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_options_of_a_resumed_search_are_applied(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    common = ["--workers", "0", "--json"]
    new = ["--name", "photos", "--train-limit", "100", "--objectives", "accuracy,params", "--no-halving"]
    assert run(*new, "--epochs", "1", "--trials", "1", "--max-params", "20000", *common) == 0
    given = ["--keep-weights", "--trials", "2", "--time", "9m", "--stop-when-flat", "--min-accuracy", "0.01"]
    assert run("--resume", "photos", *given, "--front-seeds", "1", "--trial-time", "5m", *common) == 0
    assert "limits      params <= 20,000, accuracy >= 0.01" in capsys.readouterr().err
    found = nas.find("photos")
    assert len(found.trials) == 2
    changed = {field: getattr(found.plan, field) for field in CHANGEABLE}
    assert changed == {
        "trials": 2,
        "seconds": 540,
        "flat": 0.001,
        "min_quality": 0.01,
        "front_seeds": 1,
        "trial_seconds": 300,
        "keep_weights": True,
    }
    assert (found.plan.epochs, found.plan.halving, found.plan.limits) == (1, False, {"params": 20000})
