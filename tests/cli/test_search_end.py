"""What a search prints at its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.cli.search_result import print_result
from nas.searching import Plan, Result, Status
from nas.searching.status import Budget
from nas.trials import Trial, pareto_front

TRIALS = [
    Trial(number, {}, f"id{number}", state, {"accuracy": accuracy, "params": params, "latency_ms": ms}, 27)
    for number, state, accuracy, params, ms in (
        (0, "complete", 0.990, 80_000, 0.9),
        (1, "complete", 0.985, 9_000, 0.5),
        (2, "complete", 0.982, 12_000, 0.2),
        (3, "complete", 0.930, 2_000, 0.1),
        (4, "complete", 0.400, 300, 0.01),
        (5, "stopped", 0.300, 200, 0.01),
    )
]


@pytest.fixture
def shown(capsys):
    """Return a function that prints the end of a search with a plan and returns its output."""

    def show(**changes: object) -> str:
        values = {"space": {}, "limits": {"latency_ms": 1.0}, "examples": 1000, "guess": 0.9, **changes}
        plan = Plan.parse(values)
        front = tuple(pareto_front(TRIALS, plan.criteria))
        status = replace(Status(Budget(6)), ended_by="6 trials")
        print_result(Result("photos", plan, tuple(TRIALS), front, status, {}), json=False)
        return str(capsys.readouterr().out)

    return show


def test_the_networks_that_a_user_would_pick_are_printed(shown):
    text = shown()
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert " 0 " in rows["best accuracy"]
    assert " 1 " in rows["smallest within 1 point of it"]
    assert " 2 " in rows["fastest within 1 point of it"]
    assert '--pick "fastest-within 1%"' in rows["fastest within 1 point of it"]
    assert "--pick knee" in rows["knee of the front"]
    assert '  nas export photos --pick "smallest-within 1%" --out best' in text.splitlines()


def test_networks_below_the_quality_floor_are_counted_and_not_printed(shown):
    text = shown()
    assert "2 of 6 trials ended below it" in text
    assert "id3" in text
    assert "id4" not in text
    strict = shown(min_quality=0.95)
    assert "Quality floor: accuracy 95.0%; 3 of 6 trials ended below it." in strict
    assert "id3" not in strict


def test_a_floor_that_no_network_reaches_is_the_reason_for_an_empty_front(shown):
    text = shown(min_quality=0.999)
    assert "no trial that is trained to its full length reaches the quality floor" in text
    assert "Quality floor: accuracy 99.9%; 6 of 6 trials ended below it." in text
    assert "search longer, or set --min-accuracy lower" in text
    assert "nas export" not in text


def test_networks_that_are_no_better_than_guessing_are_called_so(shown):
    assert "No network is better than guessing, accuracy 99.5%." in shown(guess=0.005)
    assert "guessing" not in shown()


def test_without_a_floor_every_network_counts(shown):
    assert "id4" in shown(min_quality=0)


def test_a_limited_value_stands_in_the_table(shown):
    text = shown(objectives=("accuracy", "params"))
    head = next(line for line in text.splitlines() if line.startswith("trial"))
    assert head.split() == ["trial", "accuracy", "params", "latency", "flops", "network"]
    assert "0.9 ms" in text
