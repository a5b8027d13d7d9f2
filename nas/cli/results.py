"""`nas front`, `nas show`, `nas reproduce` and `nas export`: the results of a search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.arguments import NameArgument, TrialArguments
from nas.cli.completion import complete_formats
from nas.cli.search_result import print_floor, print_table
from nas.errors import InputError, RunError, nearest
from nas.text import shortened

__all__ = ["add_to"]

PICKS_HELP = "best, knee, smallest, fastest, 'smallest-within 1%' or 'fastest-within 1%'."


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=front.__doc__)(front)
    app.command(help=show.__doc__)(show)
    app.command(help=export.__doc__)(export)
    app.command(help=reproduce.__doc__)(reproduce)


def front(
    name: NameArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Show all trials, not only the front.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    with_errors: Annotated[
        bool,
        typer.Option("--errors", help="Show standard errors of qualities, and which members are tied."),
    ] = False,
) -> None:
    """Show the Pareto front of a search: the networks that are not dominated.

    A network is dominated if another one is at least as good in every objective and better in one. With
    `--errors` a member is tied with the one above it if their first qualities differ by at most the standard
    error of the difference.

    Examples:

        nas front

        nas front --errors

        nas front photos --json
    """
    from nas.api import find
    from nas.cli.terminal import print_json
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
        print_table(found.name, trials, found.plan, every, complete, errors_of)
        print_floor(found.trials, criteria)


def _name_and_number(command: str, arguments: list[str]) -> tuple[str | None, str]:
    """Return the name of a search, None for the latest, and the number of a trial; raises InputError."""
    from nas.record import parse_trial_reference

    if len(arguments) == 1 and (reference := parse_trial_reference(arguments[0])) is not None:
        return reference[0], str(reference[1])
    if len(arguments) > 2 or not arguments[-1].isdigit():
        given = shortened(" ".join(arguments))
        raise InputError(f"a trial's number must come last, got '{given}'; write nas {command} NAME:12")
    return arguments[0] if len(arguments) == 2 else None, arguments[-1]


def show(
    arguments: TrialArguments,
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Show one trial: its values, its learning curve and its architecture as YAML.

    Examples:

        nas show 12

        nas show photos:12
    """
    from nas.api import find
    from nas.cli.terminal import output, print_json, table, with_error
    from nas.trials import trial_rows

    name, wanted = _name_and_number("show", arguments)
    found = find(name)
    trial = found.pick(wanted)
    if json:
        row = trial_rows([trial], found.plan.parsed_objectives())[0]
        architecture = trial.architecture.to_dict() if trial.architecture else None
        signature = found.plan.signature
        print_json({**row, "state": trial.state, "reason": trial.reason, "epochs": trial.epochs,
                    "curve": [dict(epoch) for epoch in trial.curve], "architecture": architecture,
                    "training": trial.training.model_dump(mode="json"), "run_id": trial.run_id,
                    "signature": signature and signature.model_dump(mode="json")})  # fmt: skip
        return
    state = f"{trial.state}: {trial.reason}" if trial.reason else f"{trial.state} at {trial.epochs} epochs"
    output.print(f"Trial {trial.number} of {found.name}, ", style="bold", end="")
    output.print(state)
    values = [
        [key, with_error(key, value, trial.values.get(f"{key}_se"))]
        for key, value in trial.values.items()
        if not key.endswith("_se")
    ]
    output.print(table("", ["value", ""], values))
    if trial.curve:
        qualities = [quality.in_curve for quality in found.plan.criteria.qualities]
        known = dict.fromkeys(key for epoch in trial.curve for key in epoch)
        shown = ("loss", "accuracy", "label_accuracy", "mae", "val_loss", *qualities, "seconds")
        keys = [key for key in known if key in shown]
        rows = [
            [f"{epoch['epoch']:.0f}", *(f"{epoch[key]:.4f}" if key in epoch else "-" for key in keys)]
            for epoch in trial.curve
        ]
        of_first = " of the first training" if "confirm" in trial.seconds else ""
        output.print(table(f"\nCurve{of_first}", ["epoch", *keys], rows))
    if found.plan.signature is not None:
        output.print()
        output.print(f"Input: {found.plan.signature.input_text()}.", soft_wrap=True)
        output.print(f"Output: {found.plan.signature.output_text()}.", soft_wrap=True)
    if trial.architecture is not None:
        output.print("\nArchitecture", style="bold")
        output.print(trial.architecture.to_yaml(trial.training))


def reproduce(arguments: TrialArguments) -> None:
    """Train a trial again, from its record alone, and compare the figures.

    Exit code 1 if they differ. They are equal on the same machine with the same versions of the libraries.

    Examples:

        nas reproduce 12

        nas reproduce photos:12
    """
    from nas.api import find
    from nas.cli.terminal import number, output, table

    name, wanted = _name_and_number("reproduce", arguments)
    found = find(name)
    trial = found.pick(wanted)
    values = found.reproduce(trial)
    rows = [[key, number(key, trial.values.get(key)), number(key, value)] for key, value in values.items()]
    output.print(table(f"Trial {trial.number} of {found.name}", ["value", "recorded", "now"], rows))
    differing = [key for key, value in values.items() if value != trial.values.get(key)]
    if differing:
        versions = ", ".join(f"{library} {version}" for library, version in found.plan.versions.items())
        raise RunError(
            f"a trial must have the same figures again, but {', '.join(differing)} differ; compare the "
            f"versions with those of the search: {versions or 'unknown'}"
        )
    output.print("All values are equal to the last bit.")


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
    register: Annotated[
        str | None,
        typer.Option(
            help="Register the .tflite or .keras file under this name in MLflow's model registry.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Write a network as files that are ready to train or to deploy.

    Examples:

        nas export --pick "smallest-within 1%" --out best

        nas export photos --pick best --where "params < 50000" --format keras,python,litert

        nas export photos --format litert --register photos
    """
    from nas.api import find
    from nas.backends import PRECISIONS
    from nas.cli.terminal import class_table, name_values, output, print_files
    from nas.record import check_model_name, shown_uri

    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; {nearest(precision, PRECISIONS)}")
    if register is not None:
        check_model_name(register)
        if fresh:
            raise InputError("--register needs trained weights, got --fresh; omit one of the two")
    found = find(name)
    trial = found.pick(pick, where)
    chosen = [word.strip() for word in formats.split(",") if word.strip()]
    files = found.export(trial, out, formats=chosen, precision=precision, fresh=fresh)
    values = name_values(found.plan.parsed_objectives(), trial)
    output.print(f"Trial {trial.number} of {found.name}: {values}", soft_wrap=True)
    if trial.trainings > 1:
        output.print(
            f"Qualities are means of {trial.trainings} training runs; the files contain the weights of the "
            "first.",
            soft_wrap=True,
        )
    print_files(files, trial.design)
    if register is not None:
        registered = found.register(trial, files, register)
        record = "" if "MLFLOW_TRACKING_URI" in os.environ else f"MLFLOW_TRACKING_URI={shown_uri()} "
        output.print(
            f"Registered as version {registered.version} of {registered.name}, its candidate. To serve it: "
            f"{record}mlflow models serve -m '{registered.uri}' --env-manager local",
            soft_wrap=True,
        )
    if figures := files.get("classes") or files.get("numbers"):
        output.print(class_table("\nOn the validation split", figures))
    elif trial.design.architecture.task != "segmentation" and not fresh:
        output.print("No figures by class: the data of the search has changed or cannot be read.")
