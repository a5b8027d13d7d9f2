"""The columns of a report are the trials, and valid JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from random_trials import THREE, TWO, random_trials, trial

from nas.report import search_history, trial_columns
from nas.report.search_data import busy_minutes
from nas.space import OpenValue
from nas.trials import Criteria, hypervolume_curve, pareto_front

VALUES = (OpenValue("conv", ("standard", "separable")), OpenValue("stages.count", (1, 2)))


def test_the_columns_are_the_trials():
    trials = [each for each in random_trials(40) if each.state != "over_limit"]
    criteria = Criteria(THREE, guess=0.9)
    data = trial_columns(trials, criteria, VALUES)
    assert data["columns"]["trial"] == [each.number for each in trials]
    assert data["columns"]["params"] == pytest.approx([each.values["params"] for each in trials], rel=1e-4)
    assert data["front"] == [each.number for each in pareto_front(trials, criteria)]
    useful = {each.number for each in criteria.useful(trials)}
    assert set(data["below"]) == {each.number for each in criteria.comparable(trials)} - useful
    assert data["settings"] == [[1] * len(trials), [-1] * len(trials)]
    shares = {one["name"]: one["share"] for one in data["names"]}
    assert shares == {"accuracy": True, "params": False, "flops": False, "latency_ms": False}


def test_what_is_not_finite_is_unknown():
    trials = [trial(0, math.nan, 100), trial(1, 0.5, 100, values={"val_loss": math.inf})]
    data = trial_columns(trials, Criteria(TWO), VALUES)
    assert data["columns"]["accuracy"] == [None, 0.5]
    assert data["columns"]["val_loss"] == [None, None]
    json.dumps([data, search_history(trials, Criteria(TWO))], allow_nan=False)


def test_the_history_is_in_the_order_in_which_trials_ended():
    criteria = Criteria(TWO, guess=0.9)
    trials = [
        replace(each, ended_ms=1000 - each.number) for each in random_trials(20) if each.state != "over_limit"
    ]
    history = search_history(trials, criteria)
    assert history["trial"] == [each.number for each in reversed(trials)]
    assert history["hypervolume"] == pytest.approx(hypervolume_curve(trials[::-1], criteria), rel=1e-4)
    best = [value for value in history["best"] if value is not None]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(
        max(t.values["accuracy"] for t in trials if t.state == "complete"), rel=1e-4
    )


def test_the_time_in_which_a_search_was_stopped_does_not_count():
    minute = 60_000
    seconds = {"train": 60.0}
    trials = [
        replace(trial(n, 0.5, 100), seconds=seconds, ended_ms=ended)
        for n, ended in enumerate([minute, 2 * minute, 2 * minute + 30_000, 1000 * minute])
    ]
    assert busy_minutes(trials) == [1.0, 2.0, 2.5, 3.5]
