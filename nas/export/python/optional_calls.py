"""Calls that only some of the blocks with a common function make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nas.export.python.statements import ANY, Call, Code, Statement, When, blank, calls, leaves

__all__ = ["align"]

OPTIONAL = {
    "pool": "{}",
    "crop": "{}",
    "shortcut": "shortcut.shape != x.shape",
    "skip": "skip is not None and skip.shape[-1] != x.shape[-1]",
    "join": "skip is not None",
}
"""Calls that only some of the blocks with a common function make, in their order, with their conditions.

A condition of `{}` is a parameter of the same name.
"""


def align(bodies: Sequence[list[Statement]]) -> list[list[Statement]]:
    """Give blocks the same forms: a call that only some of them make gets a condition in all of them."""
    bodies = _with_strides_by_pool(bodies)
    tables: list[dict[tuple[int, int], Statement]] = []
    for body in bodies:
        table: dict[tuple[int, int], Statement] = {}
        row = 0
        for one in body:
            optional = isinstance(one, Call) and one.optional
            table[row, list(OPTIONAL).index(optional) if optional else len(OPTIONAL)] = one
            row += not optional
        tables.append(table)
    examples = {key: one for table in tables for key, one in table.items()}
    common = {key for key in examples if all(key in table for table in tables)}
    return [
        [table[key] if key in common else _when(table.get(key), examples[key]) for key in sorted(examples)]
        for table in tables
    ]


def _with_strides_by_pool(bodies: Sequence[list[Statement]]) -> Sequence[list[Statement]]:
    """Write the strides of shortcuts as an expression of `pool`, if they follow from it."""
    strides: set[tuple[bool, int]] = set()
    changed: list[list[Statement]] = []
    for body in bodies:
        pools = any(call.role == "pool" for call in calls(body))
        changed.append([])
        for one in body:
            if isinstance(one, Call) and one.optional == "shortcut":
                arguments = dict(one.arguments)
                strides.add((pools, arguments["strides"]))
                arguments["strides"] = Code("2 if pool else 1")
                one = replace(one, arguments=tuple(arguments.items()))
            changed[-1].append(one)
    return changed if strides == {(True, 2), (False, 1)} else bodies


def _when(statement: Statement | None, example: Statement) -> When:
    """Return an optional call, or a blank one where it is missing, with its condition."""
    assert isinstance(example, Call)
    name, test = example.optional, OPTIONAL[example.optional]
    value = next((leaf for label, leaf in leaves(statement) if label == name), ANY) if statement else None
    return When(test, name if test == "{}" else "", value, (statement or blank(example),))
