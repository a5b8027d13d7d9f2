"""`nas space list` and `nas space show`: the search spaces and networks that ship."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from nas.cli.completion import complete_space
from nas.cli.data_options import with_data_options

__all__ = ["add_to"]

spaces = typer.Typer(help="List and describe search spaces.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(spaces, name="space")


@spaces.command(name="list")
def list_spaces(
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List the search spaces and networks that ship.

    Examples:

        nas space list
    """
    from nas.cli.terminal import output, print_json, table
    from nas.space import shipped_files

    rows = []
    for kind, folder in (("space", ""), ("network", "models")):
        for name, path in shipped_files(folder).items():
            opening = path.read_text(encoding="utf-8").splitlines()
            text = " ".join(line.lstrip("# ") for line in opening if line.startswith("#"))
            rows.append([name, kind, text.split(". ")[0].rstrip(".") + "."])
    if json:
        print_json([{"name": name, "kind": kind, "about": about} for name, kind, about in rows])
    else:
        output.print(table("", ["name", "kind", "description"], rows))


@spaces.command(name="show")
@with_data_options
def show_space(
    space: Annotated[
        str, typer.Argument(help="A shipped space or a YAML file.", autocompletion=complete_space)
    ],
    data: Annotated[str, typer.Option(help="The data that sets input shape and classes.")] = "digits",
    data_options: Mapping[str, Any] = MappingProxyType({}),
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Show a space: its open values, number of settings and networks, range of parameters, and augmentation.

    Examples:

        nas space show xception_like

        nas space show mine.yaml --data photos.npz
    """
    from nas.architecture import AUGMENTATION
    from nas.cli.terminal import number, output, print_json, table
    from nas.data import DataOptions, load_dataset
    from nas.searching import counted_costs
    from nas.space import SearchSpace, count_distinct, find_extreme

    loaded = SearchSpace.load(space)
    if "input_shape" in loaded.data and "classes" in loaded.data:
        bound = loaded.bind(
            tuple(loaded.data["input_shape"]),
            loaded.data["classes"],
            loaded.data.get("task", "classification"),
        )
        source = "the file"
    else:
        dataset = load_dataset(data, DataOptions.parse(data_options))
        bound = loaded.bind(
            dataset.shape, len(dataset.classes), dataset.task, dataset.rescale, dataset.value_range
        )
        source = f"the data set {data}"
    count, exact = count_distinct(bound)
    sizes = [
        find_extreme(bound, lambda design: counted_costs(design.architecture)["params"], greatest)[1]
        for greatest in (False, True)
    ]
    training = bound.data.get("training") or {}
    augmentation = [name for name in AUGMENTATION if training.get(name)]
    if json:
        open_values = [{"name": value.name, "choices": list(value.choices)} for value in bound.open_values]
        print_json({
            "name": bound.name, "settings": bound.settings_count(), "architectures": count, "exact": exact,
            "params": [int(size) for size in sizes],
            "augmentation": augmentation,
            "open_values": open_values,
        })  # fmt: skip
        return
    rows = []
    for value in bound.open_values:
        when = ""
        if value.when is not None:
            counts = ", ".join(str(choice) for choice in sorted(value.when[1], key=str))
            when = f"only if {value.when[0]} is {counts}"
        rows.append([value.name, ", ".join(str(choice) for choice in value.choices), when])
    output.print(table(f"Open values of {bound.name}", ["name", "choices", ""], rows))
    shape = "x".join(str(size) for size in bound.data["input_shape"])
    output.print()
    output.print(f"settings                {bound.settings_count():,}")
    output.print(f"distinct architectures  {_count(count, exact)}")
    output.print(f"parameters              {number('params', sizes[0])} to {number('params', sizes[1])}")
    others = ", ".join(name for name in AUGMENTATION if name not in augmentation)
    output.print(f"augmentation            {', '.join(augmentation) or 'none'}; not used: {others}")
    output.print("                        set it in the file, as in training: {flip: true, crop: 2}")
    outputs = {"multi_label": "labels", "regression": "numbers"}.get(bound.data["task"], "classes")
    output.print(f"input                   {shape}, {bound.data['classes']} {outputs}, from {source}")


def _count(count: float, exact: bool) -> str:
    return f"{count:,.0f}" if exact else f"about {count:.2g} (estimated from samples)"
