"""`nas export`: write the networks of a search as files, each compared with the network that was judged."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from nas.cli.completion import complete_formats
from nas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nas.api import Found
    from nas.backends import Precision
    from nas.export import FileCheck
    from nas.searching import Exported
    from nas.trials import Trial

__all__ = ["add_to"]

PICKS_HELP = (
    "best, knee, smallest, fastest, 'smallest-within 1%', 'fastest-within 1%', or front for all of it."
)

FRONT = "front"
"""The pick that exports each member of the front."""


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=export.__doc__)(export)


def export(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A search, NAME:TRIAL, or a training's folder.  [default: the latest search]",
            show_default=False,
        ),
    ] = None,
    pick: Annotated[str, typer.Option(help="A trial's number or a rule: " + PICKS_HELP)] = "best",
    where: Annotated[str, typer.Option(help="Only trials that meet this, as in 'params < 50000'.")] = "",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of keras, python, litert, onnx, saved_model, yaml; comma-separated.",
            autocompletion=complete_formats,
        ),
    ] = "keras,python",
    out: Annotated[
        str | None, typer.Option(help="The folder to write to.", show_default="export/NAME-TRIAL")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(help="Of the LiteRT files: float32, float16, dynamic_int8, int8; comma-separated."),
    ] = "float32",
    integer_io: Annotated[
        bool,
        typer.Option("--integer-io", help="Give the int8 file int8 tensors at input and output."),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Write new weights instead of the trained ones.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write to a folder that holds other files, and replace them.")
    ] = False,
    register: Annotated[
        str | None,
        typer.Option(
            help="Register the .tflite or .keras file under this name in MLflow's model registry.",
            metavar="NAME",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Write a network as files that are ready to train or to deploy.

    Each file is loaded in its own runtime and compared on up to 100 validation examples with the network that
    the search judged: a file that answers differently is an error. For lower precisions, the quality of the
    file on the validation split is shown. `model_card.md`, `predict.py`, `labels.txt` and `architecture.yaml`
    are always written.

    Examples:

        nas export --pick "smallest-within 1%" --out best

        nas export photos --pick best --where "params < 50000" --format keras,python,litert

        nas export photos:12 --format saved_model

        nas export photos --pick front --format litert --precision float16,dynamic_int8,int8

        nas export photos --format litert --register photos
    """
    from nas.api import find
    from nas.cli.terminal import errors, output, print_json
    from nas.record import check_model_name, parse_trial_reference

    if out is not None and not out.strip():
        raise InputError("--out must name a folder, got ''; omit it for export/NAME-TRIAL")
    if name is not None and (reference := parse_trial_reference(name)) is not None:
        if pick != "best":
            raise InputError(
                f"a trial must be named once, got '{name}' and --pick {pick}; omit one of the two"
            )
        name, pick = reference[0], str(reference[1])
    if register is not None:
        check_model_name(register)
        if fresh or pick == FRONT:
            given = "--fresh" if fresh else "--pick front"
            raise InputError(f"--register needs the trained weights of one network, got {given}; omit it")
        if not {"keras", "litert"} & set(_words(formats)):
            raise InputError(f"--register needs a .tflite or .keras file, got {formats}; add --format litert")
    found = find(name)
    trials = _members(found, where) if pick == FRONT else [found.pick(pick, where)]
    exported = []
    for trial in trials:
        folder = out or ""
        if out and pick == FRONT:
            folder = str(Path(out, f"{found.name}-{trial.number}"))
        exported.append(
            found.export(
                trial,
                folder,
                formats=_words(formats),
                precision=cast("list[Precision]", _words(precision)),  # `export` checks the names
                integer_io=integer_io,
                fresh=fresh,
                force=force,
            )
        )
    if json:
        print_json([_row(*pair) for pair in zip(trials, exported, strict=True)])
    elif pick == FRONT:
        _print_front(found, trials, exported)
    else:
        _print_one(found, trials[0], exported[0], fresh)
    for trial, one in zip(trials, exported, strict=True):
        for warning in one.warnings:
            errors.print(f"Trial {trial.number}: {warning}", soft_wrap=True)
    if register is not None:
        said = errors if json else output
        said.print(_registered(found, trials[0], exported[0], register), soft_wrap=True)


def _registered(found: Found, trial: Trial, exported: Exported, name: str) -> str:
    """Register what was exported; return sentences with the command that serves it."""
    from nas.record import shown_uri

    registered = found.register(trial, exported.files, name)
    record = "" if "MLFLOW_TRACKING_URI" in os.environ else f"MLFLOW_TRACKING_URI={shown_uri()} "
    if shutil.which("mlflow") is None or shutil.which("uvicorn") is None:  # which mlflow starts
        record = f"PATH={Path(sys.executable).parent}:$PATH {record}"
    return (
        f"Registered as version {registered.version} of {registered.name}, its candidate. To serve it: "
        f"{record}mlflow models serve -m '{registered.uri}' --env-manager local"
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _members(found: Found, where: str) -> list[Trial]:
    """Return the members of the front that meet conditions; raises InputError if none does."""
    from nas.trials import meeting

    members = meeting(found.front, where)
    if not members:
        which = f"none of {len(found.front)} that meets '{where}'" if where else "an empty one"
        raise InputError(f"--pick front needs members of the front, got {which}; see nas front {found.name}")
    return members


def _row(trial: Trial, exported: Exported) -> dict[str, Any]:
    files = [
        {
            "format": check.name.split(".")[0],
            "path": str(check.path),
            "precision": check.precision,
            "size_bytes": check.size_bytes,
            "images": check.images,
            "difference": check.difference,
            "agreement": check.agreement,
            **check.values,
        }
        for check in exported.checks
    ]
    return {"trial": trial.number, "values": dict(exported.values), "files": files,
            "others": [str(path) for path in _others(exported)], "compared": exported.compared,
            "warnings": list(exported.warnings)}  # fmt: skip


def _others(exported: Exported) -> list[Path]:
    shown = {check.path for check in exported.checks}
    return [path for path in exported.files.values() if path not in shown]


def _print_one(found: Found, trial: Trial, exported: Exported, fresh: bool) -> None:
    from nas.cli.terminal import (
        class_table,
        label,
        name_values,
        output,
        print_keras_notes,
        table,
        with_error,
    )

    values = name_values(found.plan.parsed_objectives(), trial)
    output.print(f"Trial {trial.number} of {found.name}: {values}", soft_wrap=True)
    if trial.trainings > 1:
        output.print(
            f"Qualities are means of {trial.trainings} training runs; the files contain the weights of the "
            "first.",
            soft_wrap=True,
        )
    quality = found.plan.criteria.qualities[0].name
    rows = [_file_cells(check, quality) for check in exported.checks]
    if exported.values:
        value = with_error(quality, exported.values[quality], exported.values[f"{quality}_se"])
        rows.insert(0, ["the network, float32", "-", "-", "-", value])
    columns = ["file", "size", "greatest difference", "equal decisions", label(quality)]
    output.print(table("", columns, rows))
    output.print(exported.compared, soft_wrap=True)
    for path in _others(exported):
        output.print(f"  {path}")
    print_keras_notes(exported.files, trial.design)
    if figures := exported.files.get("classes") or exported.files.get("numbers"):
        output.print(class_table("\nOn the validation split", figures))
    elif trial.design.architecture.task != "segmentation" and not fresh:
        output.print("No figures by class: the data of the search has changed or cannot be read.")


def _file_cells(check: FileCheck, quality: str) -> list[str]:
    from nas.cli.terminal import number, with_error

    return [
        str(check.path),
        number("size_bytes", check.size_bytes),
        "-" if check.difference is None else f"{check.difference:.2g}",
        "-" if check.agreement is None else f"{check.agreement:.1%}",
        with_error(quality, check.values.get(quality), check.values.get(f"{quality}_se")),
    ]


def _print_front(found: Found, trials: Sequence[Trial], exported: Sequence[Exported]) -> None:
    """Print a row for each member: its quality in float32, and quality and size of each file."""
    from nas.cli.terminal import label, number, output, table, with_error

    quality = found.plan.criteria.qualities[0].name
    names = [check.name for check in exported[0].checks]
    columns = ["trial", "params", label(quality)]
    for name in names:
        columns += [name.removeprefix("litert."), *(["size"] if name.startswith("litert") else [])]
    rows = []
    for trial, one in zip(trials, exported, strict=True):
        row = [str(trial.number), number("params", trial.values.get("params"))]
        row.append(with_error(quality, one.values.get(quality), one.values.get(f"{quality}_se")))
        for check in one.checks:
            difference = "-" if check.difference is None else f"differs by {check.difference:.2g}"
            row.append(number(quality, check.values[quality]) if quality in check.values else difference)
            if check.name.startswith("litert"):
                row.append(number("size_bytes", check.size_bytes))
        rows.append(row)
    output.print(table(f"Front of {found.name}, {label(quality)} by file", columns, rows))
    output.print(exported[0].compared, soft_wrap=True)
    for one in exported:
        output.print(f"  {one.files['card'].parent}")
