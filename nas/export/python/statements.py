"""Statements of the exported program as data, and the generalization of equal ones.

The *leaves* of a statement are the values in which two statements of the same *form* may differ: a width, a
kernel size, a count. `generalize` turns statements of the same form into one with variables.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = [
    "ANY",
    "Call",
    "Code",
    "Repeat",
    "Statement",
    "When",
    "blank",
    "calls",
    "form",
    "generalize",
    "leaves",
    "substitute",
]


class Code(str):
    """An expression of the program: a variable or a class."""


class _Any:
    """A value that has no effect where it stands."""

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


@dataclass(frozen=True)
class Call:
    """`output = function(arguments)(inputs)` for a layer, else `output = function(inputs, arguments)`."""

    function: Any  # "" for the plain assignment `output = inputs`
    arguments: tuple[tuple[str, Any], ...] = ()
    inputs: tuple[str, ...] = ("x",)
    output: str = "x"
    layer: bool = True
    role: str = ""  # if set, the function itself is a leaf of this name
    optional: str = ""  # if set, other instances of a block may lack this call; see `functions.OPTIONAL`


@dataclass(frozen=True)
class Repeat:
    """`for _ in range(count)`, or with columns `for names in rows`."""

    count: Any
    body: tuple[Statement, ...]
    columns: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class When:
    """`if test`, where `{}` in the test stands for the value of the leaf `name`, if there is one."""

    test: str
    name: str
    value: Any
    body: tuple[Statement, ...]


Statement = Call | Repeat | When

PARAMETERS = {
    "filters": "width",
    "units": "width",
    "strides": "stride",
    "dilation_rate": "dilation",
    "cropping": "crop",
}
"""Names of leaves as parameters, where they differ from Keras' names of arguments."""


def form(statement: Statement) -> Hashable:
    """Return what statements have in common that differ only in their leaves."""
    if isinstance(statement, Call):
        names = tuple(name for name, _ in statement.arguments)
        function = "" if statement.role else statement.function
        return (function, statement.role, names, statement.inputs, statement.output)
    if isinstance(statement, Repeat):
        return ("for", tuple(name for name, _ in statement.columns), *map(form, statement.body))
    return ("if", statement.test, *map(form, statement.body))


def leaves(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each leaf."""
    if isinstance(statement, Call):
        if statement.role:
            yield statement.role, statement.function
        for name, value in statement.arguments:
            yield PARAMETERS.get(name, name), value
        return
    if isinstance(statement, Repeat):
        yield ("rows", statement.columns) if statement.columns else ("convs", statement.count)
    elif statement.name:
        yield statement.name, statement.value
    for inner in statement.body:
        yield from leaves(inner)


def fill(statement: Statement, values: Iterator[Any]) -> Statement:
    """Replace the leaves, in the order of `leaves`."""
    if isinstance(statement, Call):
        function = next(values) if statement.role else statement.function
        return replace(
            statement,
            function=function,
            arguments=tuple((name, next(values)) for name, _ in statement.arguments),
        )
    changes: dict[str, Any] = {}
    if isinstance(statement, Repeat):
        changes["columns" if statement.columns else "count"] = next(values)
    elif statement.name:
        changes["value"] = next(values)
    return replace(statement, body=tuple(fill(inner, values) for inner in statement.body), **changes)


def blank(statement: Statement) -> Statement:
    """Return a statement of the same form in which no value has an effect."""
    return fill(statement, iter([ANY for _ in leaves(statement)]))


def substitute(statement: Statement, values: Mapping[str, Any]) -> Statement:
    """Replace variables by values."""
    changed = [values.get(old, old) if isinstance(old, Code) else old for _, old in leaves(statement)]
    return fill(statement, iter(changed))


def calls(statements: Sequence[Statement]) -> Iterator[Call]:
    """Yield every call, those in loops and conditions included."""
    for statement in statements:
        if isinstance(statement, Call):
            yield statement
        else:
            yield from calls(statement.body)


def generalize(
    instances: Sequence[Sequence[Statement]], always: Collection[str] = ()
) -> tuple[tuple[Statement, ...], dict[str, tuple[Any, ...]]]:
    """Merge sequences of the same forms into one in which variables stand for the values that differ.

    Also returns the value of each variable in each instance. `always` names leaves that become variables even
    if all instances agree.
    """
    columns = zip(*([leaf for step in steps for leaf in leaves(step)] for steps in instances), strict=True)
    variables: dict[str, tuple[Any, ...]] = {}
    merged: list[Any] = []
    for column in columns:
        name, values = column[0][0], [value for _, value in column]
        known = [value for value in values if value is not ANY]
        if known and (name in always or any(value != known[0] for value in known)):
            merged.append(Code(_variable(name, values, known[0], variables)))
        else:
            merged.append(known[0] if known else ANY)
    left = iter(merged)
    return tuple(fill(step, left) for step in instances[0]), variables


def _variable(name: str, values: list[Any], default: Any, variables: dict[str, tuple[Any, ...]]) -> str:
    """Return a variable that has these values; add one if there is none."""
    number, candidate = 1, name
    while candidate in variables:
        if all(new is ANY or new == old for new, old in zip(values, variables[candidate], strict=True)):
            return candidate
        number += 1
        candidate = f"{name}_{number}"
    variables[candidate] = tuple(default if value is ANY else value for value in values)
    return candidate
