"""What MLflow shows of a search, as Markdown."""

from __future__ import annotations

from nas.searching import Plan
from nas.searching.description import describe_search
from nas.trials import Trial

PLAN = Plan.parse({"space": {}, "objectives": ("accuracy", "params", "latency")})


def trial(number: int, accuracy: float, params: int, latency: float, state: str = "complete") -> Trial:
    values = {"accuracy": accuracy, "accuracy_se": 0.01, "params": params, "latency_ms": latency}
    return Trial(number, {}, f"id{number}", state, values, 9)


def test_the_answers_are_a_table_with_commands() -> None:
    trials = [
        trial(0, 0.95, 1000, 0.1),
        trial(1, 0.98, 50_000, 0.5),
        trial(2, 0.975, 20_000, 0.4),
        trial(3, 0.99, 10, 0.01, "stopped"),
        Trial(4, {}, "id4", "failed", {"params": 3}),
    ]
    lines = describe_search("photos", PLAN, trials).splitlines()
    assert lines[0] == "| answer | network | accuracy | params | latency | its files |"
    assert lines[2] == (
        "| best accuracy | 001 id1 · 50k | 98.0% ± 1.0 | 50,000 | 0.5 ms | `nas export photos --pick best` |"
    )
    assert lines[3] == (
        "| smallest within 1 point of it, fastest within 1 point of it | 002 id2 · 20k | 97.5% ± 1.0 | "
        '20,000 | 0.4 ms | `nas export photos --pick "smallest-within 1%"` |'
    )
    assert {line.count("|") for line in lines if line.startswith("|")} == {7}
    assert lines[-1].startswith(
        "3 of 5 trials are on the Pareto front (3 trained in full, 1 stopped early, 1 failed)."
    )


def test_a_search_without_an_answer_says_so() -> None:
    assert describe_search("photos", PLAN, []) == ("No network of use is trained in full yet. Trials: none.")
    assert "Trials: 1 stopped early." in describe_search("photos", PLAN, [trial(0, 0.5, 1, 0.1, "stopped")])
