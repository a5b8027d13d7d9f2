"""What a search found, as text: its front, the quality floor and the networks that a user looks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.searching import Plan, Result
    from nas.trials import Criteria, Trial

__all__ = ["print_floor", "print_result", "print_table"]

SUGGESTED = "smallest-within 1%"
"""The pick of the export that a search suggests at its end."""


def print_table(
    name: str,
    trials: Sequence[Trial],
    plan: Plan,
    every: bool,
    complete: int,
    errors: Sequence[Mapping[str, float | None]] = (),
) -> None:
    """Print trials as a table; `complete`: number of trials of the search that are trained in full."""
    from nas.cli.terminal import label, number, output, table, with_error
    from nas.trials import network_summary

    names = [objective.name for objective in plan.parsed_objectives()]
    names = list(dict.fromkeys([*names, *plan.limits, "params", "flops"]))
    shown = [*(["tied with"] if errors else []), *(["state"] if every else [])]
    columns = ["trial", *(label(name) for name in names), *shown, "network"]
    rows = [
        [
            str(trial.number),
            *(with_error(value, trial.values.get(value), found.get(f"{value}_se")) for value in names),
            *([number("trial", found["tied_with"])] if errors else []),
            *([trial.state] if every else []),
            network_summary(trial),
        ]
        for trial, found in zip(trials, errors or [{}] * len(trials), strict=True)
    ]
    title = f"{'All trials' if every else 'Pareto front'} of {name}"
    missing, advice = (
        "no trial is trained to its full length yet",
        f"continue with nas search --resume {name}",
    )
    if complete:
        missing = "no trial that is trained to its full length reaches the quality floor"
        advice = "search longer, or set --min-accuracy lower"
    if rows:
        output.print(table(title, columns, rows))
    else:
        output.print(f"{title}: {missing}; {advice}")


def print_floor(trials: Sequence[Trial], criteria: Criteria) -> None:
    """Print the quality floor, and how many trials ended below it."""
    from nas.cli.terminal import label, number, output

    complete = criteria.comparable(trials)
    if not complete or not criteria.has_floor:
        return
    quality = criteria.qualities[0]
    best = min(map(criteria.error, complete))
    floor = criteria.floor(best)
    ended = [trial for trial in trials if quality.name in trial.values]
    below = sum(criteria.error(trial) > floor for trial in ended)
    value, side = number(quality.name, quality.value(floor)), "below" if quality.maximize else "above"
    output.print(
        f"Quality floor: {label(quality.name)} {value}; {below} of {len(ended)} trials ended {side} it.",
        soft_wrap=True,
    )
    if criteria.guess is not None and best >= criteria.guess:
        guess = number(quality.name, quality.value(criteria.guess))
        output.print(f"No network is better than guessing, {label(quality.name)} {guess}.")


def print_result(result: Result, json: bool) -> None:
    """Print what a search found, where it is recorded, and which commands may follow."""
    from nas.cli.terminal import duration, errors, output, print_json
    from nas.record import shown_uri
    from nas.trials import trial_rows

    status, name = result.status, result.name
    if json:
        print_json(trial_rows(result.front, result.plan.parsed_objectives()))
        return
    errors.print(f"Ended after {duration(status.elapsed)}: {status.ended_by}.", soft_wrap=True)
    shares = ", ".join(f"{work} {share:.0%}" for work, share in result.worker_time.items())
    errors.print(f"The workers' time: {shares}.", soft_wrap=True)
    if single := sum(trial.trainings < result.plan.front_seeds for trial in result.front):
        errors.print(
            f"{single} of {len(result.front)} front members are not trained with {result.plan.front_seeds} "
            f"seeds yet; nas search --resume {name} trains them.",
            soft_wrap=True,
        )
    output.print()
    complete = len(result.plan.criteria.comparable(result.trials))
    print_table(name, list(result.front), result.plan, every=False, complete=complete)
    print_floor(result.trials, result.plan.criteria)
    _print_picks(result)
    output.print(f"MLflow's data: {shown_uri()}")
    output.print("Next:")
    output.print("  nas ui")
    if result.front:
        output.print(f'  nas export {name} --pick "{SUGGESTED}" --out best')
    trials = result.plan.max_trials
    more = f" --trials {2 * trials}" if trials and not status.interrupted else ""
    output.print(f"  nas search --resume {name}{more}")


def _print_picks(result: Result) -> None:
    """Print the networks that a user is likely to look for."""
    from nas.cli.terminal import label, number, output, table
    from nas.trials import pick_answers

    criteria = result.plan.criteria
    names = [criteria.qualities[0].name, "params", *(cost.name for cost in criteria.costs)]
    names = list(dict.fromkeys(names))
    rows = []
    for answer in pick_answers(result.trials, criteria):
        values = [number(name, answer.trial.values.get(name)) for name in names]
        rows.append([", ".join(answer.titles), str(answer.trial.number), *values, answer.export_option])
    if rows:
        output.print(table("", ["", "trial", *map(label, names), "export with"], rows))
        output.print()
