"""`nas front`, `nas show`, `nas export` and `nas ui`: what a search found."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.errors import InputError
from nas.report import figure_html, pareto_figure
from nas.trials import trial_rows

if TYPE_CHECKING:
    from nas.searching import Plan, Result
    from nas.trials import Trial

__all__ = ["add_to", "print_front"]

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
    every: Annotated[bool, typer.Option("--all", help="All trials, not the front alone.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the interactive figure to this file.")] = None,
) -> None:
    """Show the Pareto front of a search: the networks that none beats in every objective.

    Examples:

        nas front

        nas front photos --json

        nas front photos --html front.html
    """
    from nas.api import find
    from nas.cli.show import errors, print_json

    found = find(name)
    objectives = found.plan.parsed_objectives()
    chosen = list(found.trials) if every else found.front
    if json:
        print_json(trial_rows(chosen, objectives))
    else:
        _print_table(found.record.name, chosen, found.plan, every)
    if html is not None:
        figure = pareto_figure(found.trials, objectives, found.record.links(found.trials))
        html.write_text(figure_html(figure), encoding="utf-8")
        errors.print(f"wrote {html}")


def _print_table(name: str, trials: list[Trial], plan: Plan, every: bool) -> None:
    from nas.cli.show import label, number, output, table

    names = [objective.name for objective in plan.parsed_objectives()]
    names += [extra for extra in ("params", "flops") if extra not in names]
    columns = ["trial", *(label(name) for name in names), *(["state"] if every else []), "network"]
    rows = [
        [
            str(trial.number),
            *(number(value, trial.values.get(value)) for value in names),
            *([trial.state] if every else []),
            summary(trial),
        ]
        for trial in trials
    ]
    title = f"{'All trials' if every else 'Pareto front'} of {name}"
    if rows:
        output.print(table(title, columns, rows))
    else:
        output.print(
            f"{title}: no trial was trained to its full length yet; go on with nas search --resume {name}"
        )


def summary(trial: Trial) -> str:
    """Say in a few words what a trial's network is."""
    if trial.architecture is None:
        return trial.id
    stages = trial.architecture.stages
    widths = "-".join(str(stage.width) for stage in stages)
    kinds = "/".join(dict.fromkeys(stage.conv for stage in stages))
    convs = "/".join(dict.fromkeys(str(stage.convs * stage.blocks) for stage in stages))
    residual = "/".join(dict.fromkeys(stage.residual for stage in stages if stage.residual != "none"))
    return f"{widths} {kinds} x{convs}{' ' + residual if residual else ''}"


def print_front(result: Result, json: bool) -> None:
    """Print what a search found, where it is kept, and what to do next."""
    from nas.cli.show import duration, errors, output, print_json
    from nas.record import tracking_uri

    if json:
        print_json(trial_rows(result.front, result.plan.parsed_objectives()))
        return
    status, name = result.status, result.name
    errors.print(f"Ended after {duration(status.elapsed)}: {status.ended_by}.", soft_wrap=True)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in result.worker_time.items())
    errors.print(f"The workers' time: {shares}.", soft_wrap=True)
    output.print()
    _print_table(name, list(result.front), result.plan, every=False)
    output.print()
    output.print(f"MLflow's data: {tracking_uri()}")
    output.print("Next:")
    output.print("  nas ui")
    if result.front:
        output.print(f"  nas export {name} --pick knee --out best")
    most = result.plan.max_trials
    more = f" --trials {2 * most}" if most and not status.interrupted else ""
    output.print(f"  nas search --resume {name}{more}")


def show(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[NAME] TRIAL", help="A search, the latest by default, and a trial's number."),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Show one trial: its values, its curve and its architecture as YAML.

    Examples:

        nas show 12

        nas show photos 12
    """
    from nas.api import find
    from nas.cli.show import number, output, print_json, table

    name, number_text = _name_and_trial(words)
    found = find(name)
    trial = found.pick(number_text)
    if json:
        row = trial_rows([trial], found.plan.parsed_objectives())[0]
        architecture = trial.architecture.to_dict() if trial.architecture else None
        print_json({**row, "state": trial.state, "reason": trial.reason, "epochs": trial.epochs,
                    "curve": [dict(epoch) for epoch in trial.curve], "architecture": architecture,
                    "training": trial.training.model_dump(mode="json"), "run_id": trial.run_id})  # fmt: skip
        return
    output.print(f"[bold]Trial {trial.number} of {found.record.name}[/bold], {trial.state}", end="")
    output.print(f": {trial.reason}" if trial.reason else f" at {trial.epochs} epochs")
    values = [[key, number(key, value)] for key, value in trial.values.items()]
    output.print(table("", ["value", ""], values))
    if trial.curve:
        keys = [key for key in trial.curve[0] if key != "epoch"]
        rows = [[f"{epoch['epoch']:.0f}", *(f"{epoch[key]:.4f}" for key in keys)] for epoch in trial.curve]
        output.print(table("\nCurve", ["epoch", *keys], rows))
    if trial.architecture is not None:
        output.print("\n[bold]Architecture[/bold]")
        output.print(trial.architecture.to_yaml(trial.training), markup=False)


def _name_and_trial(words: list[str]) -> tuple[str | None, str]:
    if len(words) > 2 or not words[-1].isdigit():
        raise InputError(f"a trial's number must come last, got '{' '.join(words)}'; write nas show NAME 12")
    return (words[0] if len(words) == 2 else None), words[-1]


def export(
    name: NameArgument = None,
    pick: Annotated[str, typer.Option(help="best, knee, smallest or a trial's number.")] = "best",
    where: Annotated[str, typer.Option(help="Only trials that meet this, as in 'params < 50000'.")] = "",
    formats: Annotated[
        str, typer.Option("--format", help="Of keras, python, litert, onnx, with commas between.")
    ] = "keras,python",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("export"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Fresh weights in the place of those found.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="Of the LiteRT file: float32, float16, dynamic_int8, int8.")
    ] = "float32",
) -> None:
    """Write a network as files that are ready to train or to ship.

    Examples:

        nas export --pick knee --out best

        nas export photos --pick best --where "params < 50000" --format keras,python,litert
    """
    from nas.api import find
    from nas.cli.show import named, output
    from nas.evaluation import load_tensorflow
    from nas.export import ExportOptions, export_files

    found = find(name)
    trial = found.pick(pick, where)
    weights = None if fresh else found.weights(trial)
    chosen = tuple(word.strip() for word in formats.split(",") if word.strip())
    calibration = _calibration(found.plan) if precision == "int8" else None
    load_tensorflow()
    written = export_files(trial.design, weights, out, ExportOptions(chosen, precision, calibration))
    if found.plan.task == "segmentation" and weights is not None:
        written["predictions"] = out / "predictions.png"
        written["predictions"].write_bytes(found.pictures(trial))
    output.print(
        f"Trial {trial.number} of {found.record.name}: {named(found.plan.parsed_objectives(), trial)}"
    )
    for path in written.values():
        output.print(f"  {path}")


def _calibration(plan: Plan) -> Any:
    from nas.data import load_dataset

    return load_dataset(plan.data, plan.data_options).train.x[:200]


def ui(port: Annotated[int, typer.Option(help="The port to serve on.")] = 5000) -> None:
    """Open MLflow on this folder's record: every trial, its curve, and the front.

    Examples:

        nas ui

        nas ui --port 5001
    """
    from nas.cli.show import errors
    from nas.record import ui_command

    command = ui_command(port)
    errors.print(f"http://127.0.0.1:{port}  (end with Ctrl-C)")
    try:
        raise typer.Exit(subprocess.call(command))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
