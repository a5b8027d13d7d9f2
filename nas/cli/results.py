"""`nas front`, `nas show`, `nas export` and `nas ui`: the results of a search."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.completion import complete_formats
from nas.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nas.searching import Plan, Result
    from nas.trials import Criteria, Trial

__all__ = ["add_to", "print_result"]

SUGGESTED = "smallest-within 1%"
"""The pick of the export that a search suggests at its end."""

PICKS_HELP = "best, knee, smallest, fastest, 'smallest-within 1%' or 'fastest-within 1%'."

NameArgument = Annotated[
    str | None, typer.Argument(help="A search.  [default: the latest]", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=front.__doc__)(front)
    app.command(help=show.__doc__)(show)
    app.command(help=export.__doc__)(export)
    app.command(help=ui.__doc__)(ui)


def front(
    name: NameArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Show all trials, not only the front.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    with_errors: Annotated[
        bool,
        typer.Option("--errors", help="Show standard errors of qualities, and which members are tied."),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write the interactive figure to this file.")] = None,
) -> None:
    """Show the Pareto front of a search: the networks that are not dominated.

    A network is dominated if another one is at least as good in every objective and better in one. With
    `--errors` a member is tied with the one above it if their first qualities differ by at most the standard
    error of the difference.

    Examples:

        nas front

        nas front --errors

        nas front photos --json

        nas front photos --html front.html
    """
    from nas.api import find
    from nas.cli.terminal import errors, print_json
    from nas.files import output_file
    from nas.report import figure_html, pareto_figure
    from nas.trials import error_rows, trial_rows

    found = find(name)
    criteria = found.plan.criteria
    trials = list(found.trials) if every else found.front
    examples = found.plan.examples if "examples" in found.plan.model_fields_set else None
    errors_of = error_rows(trials, found.front, criteria.qualities, examples) if with_errors else []
    if json:
        rows = trial_rows(trials, criteria.objectives)
        print_json([row | more for row, more in zip(rows, errors_of or [{}] * len(rows), strict=True)])
    else:
        complete = len(criteria.comparable(found.trials))
        _print_table(found.name, trials, found.plan, every, complete, errors_of)
        _print_floor(found.trials, criteria)
    if html is not None:
        figure = pareto_figure(found.trials, criteria, found.record.links(found.trials))
        with output_file(html) as temporary:
            temporary.write_text(figure_html(figure), encoding="utf-8")
        errors.print(f"wrote {html}", markup=False)


def _print_table(
    name: str,
    trials: Sequence[Trial],
    plan: Plan,
    every: bool,
    complete: int,
    errors: Sequence[Mapping[str, float | None]] = (),
) -> None:
    """Print trials as a table; `complete`: number of trials of the search that are trained in full."""
    from nas.cli.terminal import label, number, output, table, with_error

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
            summary(trial),
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
        output.print(f"{title}: {missing}; {advice}", markup=False)


def _print_floor(trials: Sequence[Trial], criteria: Criteria) -> None:
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
    value, side = number(quality.name, quality.error(floor)), "below" if quality.maximize else "above"
    output.print(
        f"Quality floor: {label(quality.name)} {value}; {below} of {len(ended)} trials ended {side} it.",
        soft_wrap=True,
        markup=False,
    )
    if criteria.guess is not None and best >= criteria.guess:
        guess = number(quality.name, quality.error(criteria.guess))
        output.print(f"No network is better than guessing, {label(quality.name)} {guess}.", markup=False)


def summary(trial: Trial) -> str:
    """Return a short description of a trial's network: widths, kinds, convolutions per stage, residuals."""
    if trial.architecture is None:
        return trial.id
    stages = trial.architecture.stages
    widths = "-".join(str(stage.width) for stage in stages)
    kinds = "/".join(dict.fromkeys(stage.conv for stage in stages))
    convs = "/".join(dict.fromkeys(str(stage.convs * stage.blocks) for stage in stages))
    residual = "/".join(dict.fromkeys(stage.residual for stage in stages if stage.residual != "none"))
    return f"{widths} {kinds} x{convs}{' ' + residual if residual else ''}"


def print_result(result: Result, json: bool) -> None:
    """Print what a search found, where it is recorded, and which commands may follow."""
    from nas.cli.terminal import delivery_notice, duration, errors, output, print_json
    from nas.record import tracking_uri
    from nas.trials import trial_rows

    status, name = result.status, result.name
    notice = delivery_notice(status)
    if json:
        print_json(trial_rows(result.front, result.plan.parsed_objectives()))
        if notice:
            errors.print(f"{notice} The next nas search --resume {name} delivers them.", markup=False)
        return
    errors.print(f"Ended after {duration(status.elapsed)}: {status.ended_by}.", soft_wrap=True)
    shares = ", ".join(f"{work} {share:.0%}" for work, share in result.worker_time.items())
    errors.print(f"The workers' time: {shares}.", soft_wrap=True)
    if single := sum(trial.seeds < result.plan.front_seeds for trial in result.front):
        errors.print(
            f"{single} of {len(result.front)} front members are not trained with {result.plan.front_seeds} "
            f"seeds yet; nas search --resume {name} trains them.",
            soft_wrap=True,
        )
    output.print()
    complete = len(result.plan.criteria.comparable(result.trials))
    _print_table(name, list(result.front), result.plan, every=False, complete=complete)
    _print_floor(result.trials, result.plan.criteria)
    _print_picks(result)
    output.print(f"MLflow's data: {tracking_uri()}", markup=False)
    if notice:
        output.print(
            f"{notice} The next nas search --resume {name} delivers them.", soft_wrap=True, markup=False
        )
    output.print("Next:")
    output.print("  nas ui")
    if result.front:
        output.print(f'  nas export {name} --pick "{SUGGESTED}" --out best', markup=False)
    trials = result.plan.max_trials
    more = f" --trials {2 * trials}" if trials and not status.interrupted else ""
    output.print(f"  nas search --resume {name}{more}")


def _print_picks(result: Result) -> None:
    """Print the networks that a user is likely to look for."""
    from nas.cli.terminal import label, number, output, table
    from nas.trials import pick_trial

    if not result.front:
        return
    criteria = result.plan.criteria
    quality = criteria.qualities[0].name
    margin = "1 point" if criteria.qualities[0].maximize else "0.01"
    rules = {f"best {label(quality)}": "best", f"smallest within {margin} of it": SUGGESTED}
    if all("latency_ms" in trial.values for trial in result.front):
        rules[f"fastest within {margin} of it"] = "fastest-within 1%"
    rules["knee of the front"] = "knee"
    names = list(dict.fromkeys([quality, "params", *(cost.name for cost in criteria.costs)]))
    rows = []
    for text, rule in rules.items():
        trial = pick_trial(result.trials, criteria, rule)
        values = (number(name, trial.values.get(name)) for name in names)
        quoted = f'"{rule}"' if " " in rule else rule
        rows.append([text, str(trial.number), *values, f"--pick {quoted}"])
    output.print(table("", ["", "trial", *map(label, names), "export with"], rows))
    output.print()


def show(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[NAME] TRIAL", help="A search, the latest by default, and a trial's number."),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Show one trial: its values, its learning curve and its architecture as YAML.

    Examples:

        nas show 12

        nas show photos 12
    """
    from nas.api import find
    from nas.cli.terminal import output, print_json, table, with_error
    from nas.trials import trial_rows

    if len(arguments) > 2 or not arguments[-1].isdigit():
        given = " ".join(arguments)
        raise InputError(f"a trial's number must come last, got '{given}'; write nas show NAME 12")
    found = find(arguments[0] if len(arguments) == 2 else None)
    trial = found.pick(arguments[-1])
    if json:
        row = trial_rows([trial], found.plan.parsed_objectives())[0]
        architecture = trial.architecture.to_dict() if trial.architecture else None
        print_json({**row, "state": trial.state, "reason": trial.reason, "epochs": trial.epochs,
                    "curve": [dict(epoch) for epoch in trial.curve], "architecture": architecture,
                    "training": trial.training.model_dump(mode="json"), "run_id": trial.run_id})  # fmt: skip
        return
    state = f"{trial.state}: {trial.reason}" if trial.reason else f"{trial.state} at {trial.epochs} epochs"
    output.print(f"[bold]Trial {trial.number} of {found.name}[/bold], ", end="")
    output.print(state, markup=False)
    values = [
        [key, with_error(key, value, trial.values.get(f"{key}_se"))]
        for key, value in trial.values.items()
        if not key.endswith("_se")
    ]
    output.print(table("", ["value", ""], values))
    if trial.curve:
        qualities = [quality.in_curve for quality in found.plan.criteria.qualities]
        known = dict.fromkeys(key for epoch in trial.curve for key in epoch)
        keys = [key for key in known if key in ("loss", "accuracy", "val_loss", *qualities, "seconds")]
        rows = [
            [f"{epoch['epoch']:.0f}", *(f"{epoch[key]:.4f}" if key in epoch else "-" for key in keys)]
            for epoch in trial.curve
        ]
        output.print(table("\nCurve", ["epoch", *keys], rows))
    if trial.architecture is not None:
        output.print("\n[bold]Architecture[/bold]")
        output.print(trial.architecture.to_yaml(trial.training), markup=False)


def export(
    name: NameArgument = None,
    pick: Annotated[str, typer.Option(help="A trial's number or a rule: " + PICKS_HELP)] = "best",
    where: Annotated[str, typer.Option(help="Only trials that meet this, as in 'params < 50000'.")] = "",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of keras, python, litert, onnx; comma-separated.",
            autocompletion=complete_formats,
        ),
    ] = "keras,python",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("export"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Write new weights instead of the trained ones.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="Of the LiteRT file: float32, float16, dynamic_int8, int8.")
    ] = "float32",
) -> None:
    """Write a network as files that are ready to train or to deploy.

    Examples:

        nas export --pick "smallest-within 1%" --out best

        nas export photos --pick best --where "params < 50000" --format keras,python,litert
    """
    from nas.api import find
    from nas.backends import PRECISIONS
    from nas.cli.terminal import class_table, name_values, output

    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; {nearest(precision, PRECISIONS)}")
    found = find(name)
    trial = found.pick(pick, where)
    chosen = [word.strip() for word in formats.split(",") if word.strip()]
    files = found.export(trial, out, formats=chosen, precision=precision, fresh=fresh)
    values = name_values(found.plan.parsed_objectives(), trial)
    output.print(f"Trial {trial.number} of {found.name}: {values}", markup=False)
    for path in files.values():
        output.print(f"  {path}", markup=False)
    if "classes" in files:
        output.print(class_table("\nOn the validation split", files["classes"]))
    elif trial.design.architecture.task != "segmentation" and not fresh:
        output.print("No figures by class: the data of the search has changed or cannot be read.")


def ui(port: Annotated[int, typer.Option(help="The port to serve on.")] = 5000) -> None:
    """Open MLflow on this folder's record: every trial, its learning curve, and the front.

    Examples:

        nas ui

        nas ui --port 5001
    """
    from nas.cli.terminal import errors
    from nas.record import ui_command

    command = ui_command(port)
    errors.print(f"http://127.0.0.1:{port}  (stop with Ctrl-C)")
    try:
        raise typer.Exit(subprocess.call(command))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
