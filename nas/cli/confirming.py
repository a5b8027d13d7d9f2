"""`nas confirm`: train front members with new seeds and judge them on the test split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.arguments import NameArgument
from nas.cli.searching import UNDELIVERED, parse_duration

if TYPE_CHECKING:
    from nas.searching import Confirmation, ConfirmedStep
    from nas.trials import Criteria

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=confirm.__doc__)(confirm)


def confirm(
    name: NameArgument = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each member, at full length, with new seeds.")] = 5,
    top: Annotated[int, typer.Option(help="Confirm so many front members, those of the best quality.")] = 10,
    where: Annotated[
        str, typer.Option(help="Only members that meet this, as in 'params < 50000'.", metavar="CONDITIONS")
    ] = "",
    time: Annotated[
        str | None, typer.Option(help="Time limit: no training begins that would end later. 90s, 30m, 2h.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that train; 0: this process.  [default: one per core]", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Train front members again with new seeds, and judge each training once on the test split.

    A search picks the best of many noisy figures, so that its figures are too good (the winner's curse). A
    confirmation shows by how much, which members do not differ significantly (ties), and which front remains.
    No search uses the test split. Stop it at any moment: the same command goes on where it stopped, and more
    seeds or members are added to those that are trained.

    Examples:

        nas confirm

        nas confirm photos --seeds 5 --top 10

        nas confirm photos --where "params < 50000" --time 1h
    """
    from nas.cli.terminal import errors, print_json
    from nas.executors import worker_count
    from nas.searching import prepare_confirmation

    def report(line: str) -> None:
        errors.print(line, soft_wrap=True)

    session = prepare_confirmation(
        name,
        seeds=seeds,
        top=top,
        where=where,
        seconds=parse_duration(time),
        workers=worker_count(workers),
        progress=report,
    )
    report(session.introduction())
    quality = session.plan.criteria.qualities[0].name
    found = session.run(lambda step: report(_line(step, quality)), report)
    if json:
        print_json(found.as_data())
    else:
        _print(found, session.plan.criteria)
    if found.missing:
        why = "stopped by Ctrl-C" if session.interrupted else "failed, or did not fit into the time"
        report(f"{found.missing} trainings are missing: {why}. The same command trains them.")
    if session.delivery_problem:
        report(f"{session.delivery_problem}; `nas sync {found.name}` delivers what waits in mlruns/spool.")
        raise typer.Exit(UNDELIVERED)


def _line(step: ConfirmedStep, quality: str) -> str:
    """Return the line for a training that has ended."""
    from nas.cli.terminal import duration, label, number

    training = step.training
    left = f", about {duration(step.seconds_left)} left" if step.seconds_left > 0 else ""
    start = f"{step.done} of {step.total}{left}: trial {training.trial}, seed {training.seed}"
    if training.failed:
        return f"{start} failed: {training.failed}"
    metric = quality.removeprefix("val_")
    values = (number(quality, values[metric]) for values in (training.validation, training.test))
    shown = ", ".join(f"{split} {value}" for split, value in zip(("validation", "test"), values, strict=True))
    return f"{start}: {label(quality)} {shown}"


def _print(found: Confirmation, criteria: Criteria) -> None:
    """Print the members, the best on the test split first, and what follows."""
    from nas.cli.terminal import label, number, output, table, with_error
    from nas.trials import network_summary

    quality = found.quality.name
    if not found.members:
        output.print(f"No front member of {found.name} is confirmed yet.")
        return
    costs = list(dict.fromkeys([*(cost.name for cost in criteria.costs), "params"]))
    rows = []
    for member in found.members:
        trial = member.trial
        rows.append(
            [
                str(trial.number),
                number(quality, member.search),
                with_error(quality, member.validation.mean, member.validation.error),
                with_error(quality, member.test.mean, member.test.error),
                member.ties or "-",
                _difference(quality, found.optimism_of(member)[1], None),
                "yes" if trial.number in found.confirmed else "no",
                str(len(member.trainings)),
                *(number(cost, trial.values.get(cost)) for cost in costs),
                network_summary(trial),
            ]
        )
    columns = ["trial", "search", "validation", "test", "ties", "optimism", "front", "seeds"]
    title = f"Confirmed members of the front of {found.name}: {label(quality)}"
    output.print(table(title, [*columns, *map(label, costs), "network"], rows))
    output.print()
    for sentence in _sentences(found):
        output.print(sentence, soft_wrap=True)


def _sentences(found: Confirmation) -> list[str]:
    """Return what follows from a confirmation for the user."""
    from nas.cli.terminal import label, number

    quality = found.quality.name
    by_seed, in_all = (_difference(quality, one.mean, one.error) for one in found.optimism)
    sentences = [
        f"Optimism of the search, how much better its {label(quality)} is than that of new seeds: {by_seed} "
        f"on the same validation examples, {in_all} on the test split.",
    ]
    spreads = {
        member.trial.number: max(values) - min(values)
        for member in found.members
        if (values := [one.test[quality.removeprefix("val_")] for one in member.trainings])
    }
    widest = max(spreads, key=spreads.__getitem__)
    spread = _difference(quality, spreads[widest], None).removeprefix("+")
    sentences.append(
        f"Between seeds, the test figure of one network differs by up to {spread} (trial {widest})."
    )
    if (smallest := found.smallest_tie) is not None and len(found.members) > 1:
        params = number("params", smallest.trial.values.get("params"))
        sentences += [
            "Members with a common letter under `ties` do not differ significantly: paired tests over seeds "
            "and examples, p >= 0.05 by Holm.",
            f"Best on the test split: trial {found.members[0].trial.number}; the smallest that is tied "
            f"with it: trial {smallest.trial.number}, {params} parameters.",
        ]
    gone = sorted({one.trial.number for one in found.members} - set(found.confirmed))
    if gone:
        sentences.append(
            "Not on the confirmed front, because another member dominates it or the quality floor is above "
            f"it: trial {', '.join(map(str, gone))}."
        )
    return sentences


def _difference(quality: str, value: float, error: float | None) -> str:
    """Format a difference of qualities: +1.2 points, +0.031; with its standard error."""
    from nas.cli.terminal import number

    if number(quality, 0.5).endswith("%"):
        shown = f"{100 * value:+.1f}"
        return f"{shown} ± {100 * error:.1f} points" if error is not None else f"{shown} points"
    shown = f"{value:+.3g}"
    return f"{shown} ± {error:.2g}" if error is not None else shown
