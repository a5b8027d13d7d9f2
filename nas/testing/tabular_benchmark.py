"""A tabular benchmark: a table of trained architectures, so that a search takes seconds and trains nothing.

A row is one architecture: its values `x_*`, the accuracy of one training, the mean accuracy of several
trainings for scoring, and its costs. The table provides what a real search has: open values, known costs, an
evaluation.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from nas.architecture import Scalar, describe_paths
from nas.errors import DataError, nearest
from nas.space import OpenValue, Setting
from nas.trials import Candidate, Criteria, Objective, Trial

__all__ = ["TabularBenchmark"]

QUALITIES = ("val_accuracy", "val_accuracy_low", "test_accuracy")
EDGE = re.compile(r"edge_(\d+)-(\d+)")
NO_EDGE = "none"  # operation of an edge that does not exist
IDENTITIES = ("skip_connect", "identity")  # operations that change nothing


class TabularBenchmark:
    """The open values, known costs and evaluation of a table's architectures.

    Settings without a row in the table have no costs and fail when evaluated. Values named `edge_0-1`, from
    the lower node to the higher, are the edges of a cell whose nodes add their inputs. Raises DataError for a
    file in another format.
    """

    def __init__(
        self, path: str | Path, costs: Sequence[str] = (), full_epochs: int = 200, low_epochs: int = 12
    ) -> None:
        self.path = Path(path)
        self.full_epochs, self.low_epochs = full_epochs, low_epochs
        names, cells = _read(self.path)
        value_columns = [column for column, name in enumerate(names) if name.startswith("x_")]
        number_columns = [column for column, name in enumerate(names) if not name.startswith("x_")]
        self.cost_names = tuple(names[column] for column in number_columns if names[column] not in QUALITIES)
        for needed in ("val_accuracy", "test_accuracy"):
            if needed not in names:
                raise DataError(
                    f"a table must have the column {needed}, got '{self.path}' without it; add it"
                )
        for cost in costs:
            if cost not in self.cost_names:
                fix = nearest(cost, self.cost_names)
                raise DataError(f"a cost must be a column of '{self.path}', got '{cost}'; {fix}")
        self.costs = tuple(costs) or self.cost_names
        self.open_values = tuple(
            OpenValue(names[column].removeprefix("x_"), _choices([row[column] for row in cells]))
            for column in value_columns
        )
        self._numbers: dict[str, np.ndarray] = {
            names[column]: np.array([_parse_cell(row[column], names[column], self.path) for row in cells])
            for column in number_columns
        }
        self.rows: tuple[tuple[Scalar, ...], ...] = tuple(
            tuple(
                _parse_choice(row[column], value.choices)
                for column, value in zip(value_columns, self.open_values, strict=True)
            )
            for row in cells
        )
        self._row_of = {row: index for index, row in enumerate(self.rows)}

    @property
    def has_low(self) -> bool:
        """Whether the table has the accuracy of a short training."""
        return "val_accuracy_low" in self._numbers

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The accuracy, known after training, and the chosen costs, known before."""
        return (Objective("accuracy", True, True), *(Objective(cost) for cost in self.costs))

    @cached_property
    def criteria(self) -> Criteria:
        """The objectives, without a quality floor."""
        return Criteria(self.objectives)

    def column(self, name: str) -> np.ndarray:
        """Return a column of numbers: (rows,)."""
        return self._numbers[name]

    def row(self, setting: Setting) -> int | None:
        """Return the index of a setting's row, or None."""
        return self._row_of.get(tuple(setting.get(value.name, "") for value in self.open_values))

    def setting(self, row: int) -> dict[str, Scalar]:
        """Return the setting of a row."""
        return {value.name: choice for value, choice in zip(self.open_values, self.rows[row], strict=True)}

    def describe(self, setting: Setting) -> Candidate:
        """Return the id, costs and features of a setting before training.

        The features of a cell count the operations on paths from its input to its output, and describe these
        paths; those of other values count each category.
        """
        row = self.row(setting)
        name = "/".join(str(setting.get(value.name, "")) for value in self.open_values)
        if row is None:
            return Candidate(name, {})
        costs = {cost: float(self._numbers[cost][row]) for cost in self.costs}
        edges = [*zip(self._edges, self.rows[row], strict=True)]
        features = _counts(
            "count", [choice for nodes, choice in edges if not nodes], self._shared_choices[False]
        )
        if any(self._edges):
            features |= self._cell_features([(*nodes, choice) for nodes, choice in edges if nodes])
        return Candidate(name, costs, features)

    def _cell_features(self, edges: Sequence[tuple[int, int, Scalar]]) -> dict[str, float]:
        """Count the operations on paths from a cell's input to its output, and describe the paths.

        edges: source node, target node and operation of each.
        """
        inputs: list[list[int]] = []
        kinds: list[Scalar] = []
        index_of: dict[int, int] = {}  # of nodes, in the list of operations
        for node in sorted({node for source, target, _ in edges for node in (source, target)}):
            first = len(inputs)
            for source, target, operation in edges:
                if target == node and operation != NO_EDGE:
                    inputs.append([index_of[source]])
                    kinds.append(operation)
            index_of[node] = len(inputs)
            inputs.append([*range(first, len(inputs))])
            kinds.append(IDENTITIES[0])
        found = describe_paths(inputs, [int(kind not in IDENTITIES) for kind in kinds])
        used = [kind for kind, is_used in zip(kinds, found.used, strict=True) if is_used]
        return _counts("cell", used, self._shared_choices[True] - {NO_EDGE, *IDENTITIES}) | found.features

    @cached_property
    def _edges(self) -> tuple[tuple[int, int] | None, ...]:
        """The source and target node of each open value, or None if it is not an edge of a cell."""
        found = [EDGE.fullmatch(value.name) for value in self.open_values]
        nodes = [(int(match[1]), int(match[2])) if match else None for match in found]
        return tuple(pair if pair and pair[0] < pair[1] else None for pair in nodes)

    @cached_property
    def _shared_choices(self) -> dict[bool, frozenset[Scalar]]:
        """The categories that several edges (True), or several other open values (False), have in common."""
        shared = {}
        for edges in (True, False):
            values = [
                value
                for value, nodes in zip(self.open_values, self._edges, strict=True)
                if edges == bool(nodes)
            ]
            choices = [choice for value in values if not value.ordered for choice in value.choices]
            shared[edges] = frozenset(choice for choice in choices if choices.count(choice) > 1)
        return shared

    def trial(self, number: int, setting: Setting, *, low: bool = False) -> Trial:
        """Evaluate a setting.

        The trial is `complete`; with `low` it is `stopped` after the short training; without a row it is
        `failed`.
        """
        candidate, row = self.describe(setting), self.row(setting)
        if row is None:
            return Trial(number, setting, candidate.id, "failed", reason="the table has no such row")
        accuracies = {self.full_epochs: float(self._numbers["val_accuracy"][row])}
        if self.has_low:
            accuracies[self.low_epochs] = float(self._numbers["val_accuracy_low"][row])
        epochs = self.low_epochs if low else self.full_epochs
        return Trial(
            number,
            setting,
            candidate.id,
            "stopped" if low else "complete",
            {"accuracy": accuracies[epochs], **candidate.costs},
            epochs,
            curve=tuple(
                {"epoch": float(epoch), "val_accuracy": accuracies[epoch]}
                for epoch in sorted(accuracies)
                if epoch <= epochs
            ),
        )


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *cells = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"a table must be a CSV file with a header, got '{path}': {error}; check the path"
        ) from None
    if not cells or not any(name.startswith("x_") for name in names):
        raise DataError(f"a table must have rows and columns named x_*, got '{path}' without them; add them")
    for number, row in enumerate(cells, start=2):
        if len(row) != len(names):
            raise DataError(
                f"line {number} of '{path}' must have {len(names)} values, got {len(row)}; fix the line"
            )
    return names, cells


def _parse_cell(text: str, name: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"the column {name} of '{path}' must hold numbers, got '{text}'; "
            f"fix the value, or rename the column to x_{name}"
        ) from None


def _choices(texts: Sequence[str]) -> tuple[Scalar, ...]:
    """Return the distinct values of a column, as numbers if all of them are numbers."""
    distinct = sorted(set(texts))
    numbers = [_number(text) for text in distinct]
    finite = [number for number in numbers if number is not None]
    return tuple(sorted(set(finite))) if len(finite) == len(numbers) else tuple(distinct)


def _counts(prefix: str, choices: Sequence[Scalar], counted: Collection[Scalar]) -> dict[str, float]:
    return {f"{prefix}_{choice}": float(choices.count(choice)) for choice in counted}


def _number(text: str) -> int | float | None:
    """Parse a finite number; return None for other text."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and text.lstrip("+-").isdigit() else number


def _parse_choice(text: str, choices: tuple[Scalar, ...]) -> Scalar:
    number = _number(text)
    return text if text in choices or number is None else number
