"""`nas compare`: the fronts of several searches on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nas.searching import SearchComparison
    from nas.trials import Trial

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=compare.__doc__)(compare)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME NAME", help="Searches on the same data.")],
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the fronts in one figure.")] = None,
) -> None:
    """Compare the fronts of several searches: of other spaces, engines, devices or seeds.

    The searches are compared by the objectives that all of them have. Their hypervolumes have one scale: the
    bounds of all spaces and one quality floor. Joint front: of the networks of all searches together.

    Examples:

        nas compare vgg xception

        nas compare vgg xception --html fronts.html
    """
    from nas.cli.terminal import errors, print_json
    from nas.files import output_file
    from nas.report import comparison_html
    from nas.searching import compare_searches

    found = compare_searches(names, lambda line: errors.print(line, soft_wrap=True))
    if json:
        print_json(found.as_data())
    else:
        _print(found)
    for line in found.warnings:
        errors.print(line, soft_wrap=True)
    if html is not None:
        with output_file(html) as unfinished:
            unfinished.write_text(comparison_html(found.page_data()), encoding="utf-8")
        errors.print(f"wrote {html}")


def _print(found: SearchComparison) -> None:
    from nas.cli.terminal import label, number, output, table, with_error
    from nas.trials import network_summary

    quality = found.criteria.qualities[0]
    columns = ["search", "space", "engine", "epochs", "trials", "hypervolume", "front", "of joint front"]
    margin = "1 point" if quality.maximize else f"{quality.value(0.01):.3g}"
    picks = [f"best {label(quality.name)}", f"smallest within {margin}"]
    rows = [
        [
            search.name,
            str(search.plan.space.get("name", "")),
            f"{search.plan.engine} {search.plan.sampler}".strip(),
            str(search.plan.epochs),
            str(len(search.trials)),
            f"{search.hypervolume:.3f}",
            str(len(search.front)),
            f"{len(search.joint)} of {len(found.joint_front)}",
            *(_pick(trial, quality.name) for trial in (search.best, search.smallest)),
        ]
        for search in found.searches
    ]
    output.print(table("Searches", [*columns, *picks], rows))
    output.print(f"Smallest: the fewest parameters within {margin} of the best of all searches.")
    output.print()
    costs = list(dict.fromkeys([*(cost.name for cost in found.criteria.costs), "params", "flops"]))
    qualities = [one.name for one in found.criteria.qualities]
    rows = [
        [
            f"{name}:{trial.number}",
            *(with_error(one, trial.values.get(one), trial.values.get(f"{one}_se")) for one in qualities),
            *(number(cost, trial.values.get(cost)) for cost in costs),
            network_summary(trial),
        ]
        for name, trial in found.joint_front
    ]
    shown = [*map(label, qualities), *map(label, costs)]
    output.print(
        table(f"Joint front, hypervolume {found.hypervolume:.3f}", ["trial", *shown, "network"], rows)
    )


def _pick(trial: Trial | None, quality: str) -> str:
    """Return a network that a user looks for: its trial, quality and parameters."""
    from nas.cli.terminal import number

    if trial is None:
        return "-"
    params = number("params", trial.values.get("params"))
    return f"{trial.number}: {number(quality, trial.values.get(quality))}, {params} params"
