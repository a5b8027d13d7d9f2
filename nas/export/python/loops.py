"""Loops in place of repeated statements."""

from __future__ import annotations

from collections.abc import Sequence

from nas.export.python.statements import Call, Repeat, Statement, form, generalize

__all__ = ["find_loops", "merge_repeats"]

HEADER_LENGTH = 75
"""Length of the values of a loop from which on they are written on several lines."""

LONGEST_PERIOD = 8
"""The largest number of statements in a loop's body."""


def merge_repeats(statements: Sequence[Statement], first: int = 0) -> list[Statement]:
    """Merge consecutive `Repeat` statements with equal bodies, from the index `first` on."""
    merged: list[Statement] = []
    for index, statement in enumerate(statements):
        last = merged[-1] if merged and index > first else None
        if isinstance(last, Repeat) and isinstance(statement, Repeat) and form(last) == form(statement):
            body, differences = generalize([last.body, statement.body])
            if not differences:
                merged[-1] = Repeat(last.count + statement.count, body)
                continue
        merged.append(statement)
    return merged


def find_loops(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Write a sequence of statements with the loops that make it shortest to read."""
    runs = merge_repeats([Repeat(1, (statement,)) for statement in statements])
    return min(_shortest(list(statements)), _shortest(runs), key=lambda found: found[0])[1]


def _shortest(steps: list[Statement]) -> tuple[float, tuple[Statement, ...]]:
    """Return the lowest cost of writing the steps, and the result, by dynamic programming from the end."""
    best: list[tuple[float, tuple[Statement, ...]]] = [(0.0, ())]  # of the last 0, 1, 2, ... steps
    forms = [form(step) for step in steps]
    for start in reversed(range(len(steps))):
        after = best[len(steps) - start - 1]
        found = (_line_count(steps[start]) + after[0], (steps[start], *after[1]))
        for period in range(1, min(LONGEST_PERIOD, (len(steps) - start) // 2) + 1):
            end = start + period
            while forms[end : end + period] == forms[start : start + period]:
                end += period
                loop, cost = _loop([steps[at : at + period] for at in range(start, end, period)])
                after = best[len(steps) - end]
                found = min(found, (cost + after[0], (loop, *after[1])), key=lambda plan: plan[0])
        best.append(found)
    return best[-1]


def _loop(instances: list[list[Statement]]) -> tuple[Repeat, float]:
    """Return sequences of the same forms as one loop, and its cost, which grows with the differences."""
    body, variables = generalize(instances)
    columns = tuple(variables.items())
    rows = sum(len(str(value)) + 2 for _, values in columns for value in values)
    header = 1 if rows < HEADER_LENGTH else 2 + len(instances)
    cost = header + sum(map(_line_count, body)) + len(columns) * (0.3 + 0.05 * len(instances))
    return Repeat(len(instances), body, columns), cost


def _line_count(statement: Statement) -> int:
    if isinstance(statement, Call):
        return 2 if len(statement.arguments) > 4 and not statement.layer else 1
    once = isinstance(statement, Repeat) and statement.count == 1
    return sum(map(_line_count, statement.body)) + (not once)
