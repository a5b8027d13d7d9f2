"""The description of a search in Markdown, for its page in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nas.searching.plan import Plan
from nas.trials import Trial, label, pareto_front, pick_answers, trial_label, with_error

__all__ = ["describe_search"]


def describe_search(name: str, plan: Plan, trials: Sequence[Trial]) -> str:
    """Return a table of the networks that a user is likely to look for, with commands that export them."""
    criteria = plan.criteria
    counts = Counter[str](trial.state for trial in trials)
    states = {"complete": "trained in full", "stopped": "stopped early", "failed": "failed"}
    counted = ", ".join(f"{counts[state]} {word}" for state, word in states.items() if counts[state])
    answers = pick_answers(trials, criteria)
    if not answers:
        return f"No network of use is trained in full yet. Trials: {counted or 'none'}."
    values = [objective.name for objective in criteria.objectives]
    rows = [
        ["answer", "network", *map(label, values), "its files"],
        ["---"] * (len(values) + 3),
    ]
    for answer in answers:
        found = answer.trial.values
        rows.append(
            [
                ", ".join(answer.titles),
                trial_label(answer.trial, None),
                *(with_error(value, found.get(value), found.get(f"{value}_se")) for value in values),
                f"`nas export {name} {answer.export_option}`",
            ]
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    front = len(pareto_front(trials, criteria))
    return (
        f"{table}\n\n{front} of {len(trials)} trials are on the Pareto front ({counted}). "
        f"`nas ui {name}` opens the report by itself, `nas front {name}` prints the front."
    )
