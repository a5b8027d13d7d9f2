"""Statements of a program as values, and how several alike become one with parameters or a loop.

A statement's *leaves* are the values that may differ between two statements of the same *form*: a
width, a kernel's size, a count. `generalized` finds what differs; `rolled` finds loops.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

__all__ = [
    "ANY",
    "Call",
    "Code",
    "Fixed",
    "Repeat",
    "Scaled",
    "Statement",
    "When",
    "calls",
    "generalized",
    "renamed",
    "repeated",
    "rolled",
    "substituted",
]


class Code(str):
    """An expression that stands in the source as it is: a variable, a function, a class."""


class Scaled(NamedTuple):
    """So many times the channels of x."""

    factor: Any


class Fixed(NamedTuple):
    """A value that no parameter ever replaces."""

    value: Any


class _Any:
    """Stands for a value that does not matter."""

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


@dataclass(frozen=True)
class Call:
    """`output = function(arguments)(inputs)` for a layer, else `output = function(inputs, arguments)`."""

    function: str
    arguments: tuple[tuple[str, Any], ...] = ()
    inputs: tuple[str, ...] = ("x",)
    output: str = "x"
    layer: bool = True
    role: str = ""  # makes the function itself a leaf of this name


@dataclass(frozen=True)
class Repeat:
    """`for _ in range(count)`, or with columns `for names in rows`."""

    count: Any
    body: tuple[Statement, ...]
    columns: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class When:
    """`if condition`."""

    condition: str
    body: tuple[Statement, ...]


Statement = Call | Repeat | When

PARAMETER = {
    "filters": "width",
    "units": "width",
    "strides": "stride",
    "dilation_rate": "dilation",
    "cropping": "crop",
    "function": "activation",
}
"""What a leaf is called as a parameter, where Keras' own name is not used."""


def form(statement: Statement) -> Hashable:
    """Give what two statements must share to differ in their leaves only."""
    match statement:
        case Call():
            names = tuple(
                (name, value if isinstance(value, Fixed) else isinstance(value, Scaled))
                for name, value in statement.arguments
            )
            function = "" if statement.role else statement.function
            return (function, statement.role, names, statement.inputs, statement.output)
        case Repeat():
            variables = tuple(name for name, _ in statement.columns)
            return ("for", variables, *map(form, statement.body))
        case When():
            return ("if", statement.condition, *map(form, statement.body))


def leaves(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Give the name and value of each leaf."""
    match statement:
        case Call():
            if statement.role:
                yield statement.role, Code(statement.function)
            for name, value in statement.arguments:
                if isinstance(value, Scaled):
                    yield "expansion", value.factor
                elif not isinstance(value, Fixed):
                    yield PARAMETER.get(name, name), value
        case Repeat():
            if statement.columns:
                yield "rows", statement.columns
            else:
                yield "convs", statement.count
            for inner in statement.body:
                yield from leaves(inner)
        case When():
            for inner in statement.body:
                yield from leaves(inner)


def filled(statement: Statement, values: Iterator[Any]) -> Statement:
    """Put values in the place of the leaves, in their order."""
    match statement:
        case Call():
            function = next(values) if statement.role else statement.function
            arguments = tuple((name, _filled_value(value, values)) for name, value in statement.arguments)
            return replace(statement, function=function, arguments=arguments)
        case Repeat():
            value = next(values)
            body = tuple(filled(inner, values) for inner in statement.body)
            if statement.columns:
                return replace(statement, columns=value, body=body)
            return replace(statement, count=value, body=body)
        case When():
            return replace(statement, body=tuple(filled(inner, values) for inner in statement.body))


def _filled_value(value: Any, values: Iterator[Any]) -> Any:
    if isinstance(value, Fixed):
        return value
    return Scaled(next(values)) if isinstance(value, Scaled) else next(values)


def substituted(statement: Statement, values: dict[str, Any]) -> Statement:
    """Put values in the place of variables."""
    found = (values.get(value, value) if isinstance(value, Code) else value for _, value in leaves(statement))
    return filled(statement, iter(list(found)))


def renamed(statement: Statement, names: Mapping[str, str]) -> Statement:
    """Give functions other names, where they are called and where they are passed."""
    if isinstance(statement, Call):
        arguments = tuple((name, _renamed(value, names)) for name, value in statement.arguments)
        function = names.get(statement.function, statement.function)
        return replace(statement, function=function, arguments=arguments)
    body = tuple(renamed(inner, names) for inner in statement.body)
    if isinstance(statement, When):
        return replace(statement, body=body)
    columns = tuple(
        (name, tuple(_renamed(value, names) for value in values)) for name, values in statement.columns
    )
    return replace(statement, body=body, columns=columns)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    return Code(names.get(value, value)) if isinstance(value, Code) else value


def calls(statements: Sequence[Statement]) -> Iterator[Call]:
    """Give every call, however deep."""
    for statement in statements:
        if isinstance(statement, Call):
            yield statement
        else:
            yield from calls(statement.body)


def generalized(
    instances: Sequence[Sequence[Statement]], always: frozenset[str] = frozenset()
) -> tuple[tuple[Statement, ...], dict[str, tuple[Any, ...]]]:
    """Turn sequences of the same forms into one in which variables stand for what differs.

    Also gives each variable's value in each instance. `always` names leaves that become variables
    even where all instances agree.
    """
    columns = list(
        zip(*([leaf for step in steps for leaf in leaves(step)] for steps in instances), strict=True)
    )
    names = [column[0][0] for column in columns]
    table = [[value for _, value in column] for column in columns]
    forced = _forced(names, table, always)
    variables: dict[str, tuple[Any, ...]] = {}
    chosen: list[Any] = []
    for place, (name, values) in enumerate(zip(names, table, strict=True)):
        if _varies(values) or place in forced:
            chosen.append(Code(_variable(name, values, variables)))
        else:
            chosen.append(next((value for value in values if value is not ANY), ANY))
    left = iter(chosen)
    return tuple(filled(step, left) for step in instances[0]), variables


def _varies(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not ANY]
    return any(value != known[0] for value in known)


def _forced(names: list[str], table: list[list[Any]], always: frozenset[str]) -> set[int]:
    """Choose the columns that become variables though they are constant: every width, else one of a name."""
    found: set[int] = set()
    for name in always:
        places = [
            place
            for place, other in enumerate(names)
            if other == name and any(value is not ANY for value in table[place])
        ]
        if name == "width":
            found.update(places)
        elif places and not any(_varies(table[place]) for place in places):
            found.add(places[-1] if name == "use_bias" else places[0])
    return found


def _variable(name: str, values: list[Any], variables: dict[str, tuple[Any, ...]]) -> str:
    """Find a variable that already has these values, or make one."""
    number = 1
    while True:
        candidate = name if number == 1 else f"{name}_{number}"
        settled = variables.get(candidate)
        if settled is None:
            first = next((value for value in values if value is not ANY), None)
            variables[candidate] = tuple(first if value is ANY else value for value in values)
            return candidate
        if all(new is ANY or new == old for new, old in zip(values, settled, strict=True)):
            return candidate
        number += 1


def same(one: Statement, other: Statement) -> bool:
    """Say whether two statements are equal but for values that do not matter."""
    return form(one) == form(other) and all(
        first == second or ANY in (first, second)
        for (_, first), (_, second) in zip(leaves(one), leaves(other), strict=True)
    )


def repeated(statements: Sequence[Statement]) -> tuple[Repeat, ...]:
    """Turn each run of equal statements into one loop."""
    runs: list[tuple[Statement, int]] = []
    for statement in statements:
        if runs and same(runs[-1][0], statement):
            runs[-1] = (generalized([[runs[-1][0]], [statement]])[0][0], runs[-1][1] + 1)
        else:
            runs.append((statement, 1))
    return tuple(Repeat(count, (statement,)) for statement, count in runs)


def lines(statement: Statement) -> int:
    if isinstance(statement, Call):
        return 2 if len(statement.arguments) > 4 and not statement.layer else 1
    plain = isinstance(statement, Repeat) and statement.count == 1
    return sum(map(lines, statement.body)) + (not plain)


def rolled(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Find the loops that make a sequence of statements shortest to read."""
    plain = _rolled(list(statements))
    nested = _rolled(list(repeated(statements)))
    return min(plain, nested, key=lambda found: found[0])[1]


def _rolled(steps: list[Statement]) -> tuple[float, tuple[Statement, ...]]:
    """Give the least cost of writing the steps, and how: found from the last step to the first."""
    best: list[tuple[float, tuple[Statement, ...]]] = [(0.0, ())]  # of the last 0, 1, 2, ... steps
    forms = [form(step) for step in steps]
    for start in reversed(range(len(steps))):
        after = best[len(steps) - start - 1]
        found = (lines(steps[start]) + after[0], (steps[start], *after[1]))
        for period in range(1, min(8, (len(steps) - start) // 2) + 1):
            end = start + period
            while forms[end : end + period] == forms[start : start + period]:
                end += period
                loop, cost = _loop([steps[at : at + period] for at in range(start, end, period)])
                after = best[len(steps) - end]
                found = min(found, (cost + after[0], (loop, *after[1])), key=lambda plan: plan[0])
        best.append(found)
    return best[-1]


def _loop(instances: list[list[Statement]]) -> tuple[Repeat, float]:
    """Write sequences of the same forms as one loop; its cost grows with what differs between them."""
    body, variables = generalized(instances)
    columns = tuple(variables.items())
    cost = 1 + sum(map(lines, body)) + len(columns) * (0.3 + 0.05 * len(instances))
    return Repeat(len(instances), body, columns), cost
