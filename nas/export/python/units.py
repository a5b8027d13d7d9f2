"""Functions of the program, and the units (a convolution and what is around it) as functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.export.python import wording as _words
from nas.export.python.calls import Block, DecoderBlock, Unit
from nas.export.python.statements import ANY, Call, Statement, calls, form, generalized, leaves

__all__ = ["REQUIRED", "Function", "forms", "made_function", "unit_functions", "with_open_classes"]

REQUIRED = object()
"""In the place of a parameter's default: there is none."""

NEUTRAL: Mapping[str, Any] = {
    "stride": 1, "dilation": 1, "groups": 1, "depth_multiplier": 1, "use_bias": True,
    "padding": "valid", "pool": False, "crop": None, "skip": None,
}  # fmt: skip
"""Parameters that get this default, where some call can leave them out."""

ORDER = ("conv", "skip", "skips", "width", "ratio", "kernel_size", "convs", "expansion", "stride", "pool")

OPEN_CLASSES = frozenset(f"layers.{kind}Conv{rank}D" for kind in ("", "Separable") for rank in (1, 2))


@dataclass(frozen=True)
class Function:
    """A function of the program, of which x is the first parameter."""

    name: str
    about: str
    parameters: Mapping[str, Any]  # name -> default or REQUIRED
    body: tuple[Statement, ...]


def made_function(
    name: str, about: str, template: tuple[Statement, ...], variables: Mapping[str, tuple[Any, ...]]
) -> tuple[Function, tuple[Call, ...]]:
    """Make a function of a template, and the call of it that stands for each instance."""
    places = {parameter: place for place, parameter in enumerate(ORDER)}
    order = sorted(variables, key=lambda variable: (places.get(variable, len(ORDER)), variable))
    defaults = {
        variable: NEUTRAL[variable]
        if variable in NEUTRAL and any(value in (NEUTRAL[variable], None) for value in variables[variable])
        else REQUIRED
        for variable in order
    }
    if None in variables.get("pool", ()):
        defaults["pool"] = None
    parameters = dict(sorted(defaults.items(), key=lambda item: item[1] is not REQUIRED))
    count = len(next(iter(variables.values())))
    made = [
        Call(name, tuple((variable, variables[variable][place]) for variable in parameters), layer=False)
        for place in range(count)
    ]
    return Function(name, about, parameters, template), tuple(made)


def forms(unit: Sequence[Statement]) -> Hashable:
    """Give what two units must share to be calls of one function."""
    return tuple(form(call) for call in unit)


def with_open_classes(blocks: Sequence[Block | DecoderBlock]) -> list[Block | DecoderBlock]:
    """Let one function take Conv2D or SeparableConv2D, where they take the same arguments."""
    every = [call for block in blocks for unit in block.units for call in unit]
    plain = all(
        dict(call.arguments).get(name, ANY) in (1, ANY)
        for call in every
        for name in ("groups", "depth_multiplier")
    )
    if not plain or any("Depthwise" in call.function for call in every):
        return list(blocks)

    def opened(call: Call) -> Call:
        return replace(call, role="conv") if call.function in OPEN_CLASSES else call

    return [replace(block, units=tuple(tuple(map(opened, unit)) for unit in block.units)) for block in blocks]


def unit_functions(
    blocks: Sequence[Block | DecoderBlock], partners: Mapping[Hashable, set[Hashable]]
) -> tuple[list[Function], dict[int, Call]]:
    """Make a function of each form of unit, and give the call of it by each unit's identity.

    `partners` are the forms that stand for one another: they get the same parameters.
    """
    members: dict[Hashable, list[tuple[str, Unit]]] = {}
    for block in blocks:
        for unit in block.units:
            members.setdefault(forms(unit), []).append((block.kind, unit))
    made: list[Function] = []
    found: dict[int, Call] = {}
    for key, instances in members.items():
        together = [[unit for _, unit in members[partner]] for partner in partners[key]]
        kinds = [kind for kind, _ in instances]
        units = [unit for _, unit in instances]
        template, variables = generalized(units, frozenset({"width"}) | _varying(together))
        name = _words.unit_name(kinds, template, [function.name for function in made])
        function, unit_calls = made_function(name, _words.unit_about(kinds, template), template, variables)
        made.append(function)
        found.update((id(unit), call) for unit, call in zip(units, unit_calls, strict=True))
    if len(made) > 1 and not any(call.role for function in made for call in calls(function.body)):
        found = {key: replace(call, role="conv") for key, call in found.items()}
    return made, found


def _varying(instances: Sequence[Sequence[Unit]]) -> frozenset[str]:
    """Name the leaves that differ between units, given form by form."""
    found: set[str] = set()
    known: dict[str, Any] = {}
    for units in instances:
        found.update(generalized(units)[1])
        for unit in units:
            named = [leaf for call in unit for leaf in leaves(call) if leaf[1] is not ANY]
            of_unit = {
                **dict(reversed(named)),
                **{name: value for name, value in named if name == "use_bias"},
            }
            found.update(name for name, value in of_unit.items() if known.setdefault(name, value) != value)
    return frozenset(found - {"conv"})
