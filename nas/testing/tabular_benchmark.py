"""A table of architectures that others trained: a search in seconds, without training.

A row is one architecture: its values `x_*`, the accuracy of one training, the mean of several for scoring,
and its costs. Its parts are those of a real search: open values, known costs, an evaluation.
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
from nas.trials import Candidate, Objective, Trial

__all__ = ["Table"]

QUALITIES = ("val_accuracy", "val_accuracy_low", "test_accuracy")
EDGE = re.compile(r"edge_(\d+)-(\d+)")
NONE, PASSING = "none", ("skip_connect", "identity")  # on an edge: there is none, or it changes nothing


class Table:
    """Open values, known costs and the evaluation of a table's architectures.

    Settings that the table has no row for have no costs and fail when evaluated. Values named `edge_0-1`,
    from the lower node to the higher, are the edges of a cell whose nodes add up what reaches them.
    Raises DataError for a file that is no such table.
    """

    def __init__(
        self, path: str | Path, costs: Sequence[str] = (), full_epochs: int = 200, low_epochs: int = 12
    ) -> None:
        self.path = Path(path)
        self.full_epochs, self.low_epochs = full_epochs, low_epochs
        names, cells = _read(self.path)
        self._places = [place for place, name in enumerate(names) if name.startswith("x_")]
        numbers = [place for place, name in enumerate(names) if not name.startswith("x_")]
        self.cost_names = tuple(names[place] for place in numbers if names[place] not in QUALITIES)
        for needed in ("val_accuracy", "test_accuracy"):
            if needed not in names:
                raise DataError(f"a table must have the column {needed}, got '{self.path}' without; add it")
        for cost in costs:
            if cost not in self.cost_names:
                known = nearest(cost, self.cost_names)
                raise DataError(f"a cost must be a column of '{self.path}', got '{cost}'; {known}")
        self.costs = tuple(costs) or self.cost_names
        self.open_values = tuple(
            OpenValue(names[place].removeprefix("x_"), _choices([row[place] for row in cells]))
            for place in self._places
        )
        self._numbers: dict[str, np.ndarray] = {
            names[place]: np.array([_cell(row[place], names[place], self.path) for row in cells])
            for place in numbers
        }
        self.rows: tuple[tuple[Scalar, ...], ...] = tuple(
            tuple(
                _reading(row[place], value.choices)
                for place, value in zip(self._places, self.open_values, strict=True)
            )
            for row in cells
        )
        self._row_of = {row: number for number, row in enumerate(self.rows)}

    @property
    def has_low(self) -> bool:
        """Whether the table has a short training's accuracy."""
        return "val_accuracy_low" in self._numbers

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The accuracy, known by training, and the chosen costs, known before."""
        return (Objective("accuracy", True, True), *(Objective(cost) for cost in self.costs))

    def column(self, name: str) -> np.ndarray:
        """Give a column of numbers, one for each row."""
        return self._numbers[name]

    def row(self, setting: Setting) -> int | None:
        """Give the number of the row that a setting stands for, or None."""
        return self._row_of.get(tuple(setting.get(value.name, "") for value in self.open_values))

    def setting(self, row: int) -> dict[str, Scalar]:
        """Give the setting of a row."""
        return {value.name: choice for value, choice in zip(self.open_values, self.rows[row], strict=True)}

    def describe(self, setting: Setting) -> Candidate:
        """Give what is known of a setting before training: its costs and its operations.

        Of a cell these are the operations that lead from its input to its output, and its paths; of other
        values how often it has each category.
        """
        row = self.row(setting)
        identity = "/".join(str(setting.get(value.name, "")) for value in self.open_values)
        if row is None:
            return Candidate(identity, {})
        costs = {cost: float(self._numbers[cost][row]) for cost in self.costs}
        ends_of = [*zip(self._ends, self.rows[row], strict=True)]
        features = _counts("count", [choice for ends, choice in ends_of if not ends], self._shared[False])
        if any(self._ends):
            features |= self._of_cell([(*ends, choice) for ends, choice in ends_of if ends])
        return Candidate(identity, costs, features)

    def _of_cell(self, edges: Sequence[tuple[int, int, Scalar]]) -> dict[str, float]:
        """Count what leads from a cell's input to its output, and follow its paths."""
        inputs: list[list[int]] = []
        kinds: list[Scalar] = []
        place_of: dict[int, int] = {}
        for node in sorted({node for source, target, _ in edges for node in (source, target)}):
            first = len(inputs)
            for source, target, operation in edges:
                if target == node and operation != NONE:
                    inputs.append([place_of[source]])
                    kinds.append(operation)
            place_of[node] = len(inputs)
            inputs.append([*range(first, len(inputs))])
            kinds.append(PASSING[0])
        found = describe_paths(inputs, [int(kind not in PASSING) for kind in kinds])
        used = [kind for kind, leads in zip(kinds, found.used, strict=True) if leads]
        return _counts("cell", used, self._shared[True] - {NONE, *PASSING}) | found.features

    @cached_property
    def _ends(self) -> tuple[tuple[int, int] | None, ...]:
        """For each open value the nodes that it leads from and to, where it is an edge of a cell."""
        found = [EDGE.fullmatch(value.name) for value in self.open_values]
        ends = [(int(match[1]), int(match[2])) if match else None for match in found]
        return tuple(pair if pair and pair[0] < pair[1] else None for pair in ends)

    @cached_property
    def _shared(self) -> dict[bool, frozenset[Scalar]]:
        """The categories that several edges (True), or several other open values (False), have."""
        shared = {}
        for edges in (True, False):
            values = [
                value for value, ends in zip(self.open_values, self._ends, strict=True) if edges == bool(ends)
            ]
            choices = [choice for value in values if not value.ordered for choice in value.choices]
            shared[edges] = frozenset(choice for choice in choices if choices.count(choice) > 1)
        return shared

    def trial(self, number: int, setting: Setting, *, low: bool = False) -> Trial:
        """Evaluate a setting as a search sees it.

        It ends as `complete`, with low as `stopped` after the short training, or as `failed`.
        """
        candidate, row = self.describe(setting), self.row(setting)
        if row is None:
            return Trial(number, setting, candidate.id, "failed", reason="the table has no such row")
        readings = {self.full_epochs: float(self._numbers["val_accuracy"][row])}
        if self.has_low:
            readings[self.low_epochs] = float(self._numbers["val_accuracy_low"][row])
        epochs = self.low_epochs if low else self.full_epochs
        return Trial(
            number,
            setting,
            candidate.id,
            "stopped" if low else "complete",
            {"accuracy": readings[epochs], **candidate.costs},
            epochs,
            curve=tuple(
                {"epoch": float(epoch), "val_accuracy": readings[epoch]}
                for epoch in sorted(readings)
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
        raise DataError(f"a table must have rows and columns x_*, got '{path}' without; see its format")
    for number, row in enumerate(cells, start=2):
        if len(row) != len(names):
            raise DataError(
                f"line {number} of '{path}' must have {len(names)} values, got {len(row)}; mend it"
            )
    return names, cells


def _cell(text: str, name: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"the column {name} of '{path}' must hold numbers, got '{text}'; mend it, or name it x_{name}"
        ) from None


def _choices(texts: Sequence[str]) -> tuple[Scalar, ...]:
    """Give the different values of a column, as numbers where all of them are."""
    distinct = sorted(set(texts))
    numbers = [_number(text) for text in distinct]
    known = [number for number in numbers if number is not None]
    return tuple(sorted(set(known))) if len(known) == len(numbers) else tuple(distinct)


def _counts(where: str, choices: Sequence[Scalar], counted: Collection[Scalar]) -> dict[str, float]:
    return {f"{where}_{choice}": float(choices.count(choice)) for choice in counted}


def _number(text: str) -> int | float | None:
    """Read a finite number; None where the text is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and text.lstrip("+-").isdigit() else number


def _reading(text: str, choices: tuple[Scalar, ...]) -> Scalar:
    number = _number(text)
    return text if text in choices or number is None else number
