"""SearchSpace: an architecture with some values left open.

An open value is `{choice: [...]}` or `{range: [low, high, step]}` where an architecture's file has a
plain value. In `block` and in `stages` as a mapping, `per: stage` draws it anew for each stage.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Design
from nas.errors import SpaceError, nearest
from nas.layers import Shape
from nas.notation import read_text, read_yaml
from nas.parts import Scalar

__all__ = ["OpenValue", "SearchSpace", "Setting", "active", "mutate", "sample", "shipped"]

Setting = Mapping[str, Scalar]
"""One value for each open value that is active, by the open value's name."""


@dataclass(frozen=True)
class OpenValue:
    """A value left open: its name is its place in the file, as in `stages.count`."""

    name: str
    choices: tuple[Scalar, ...]  # ascending where they are numbers
    when: tuple[str, frozenset[Scalar]] | None = None  # active only while that open value is one of these

    @property
    def ordered(self) -> bool:
        """Whether the choices are numbers, so that neighbours are alike."""
        return not any(isinstance(choice, str | bool) for choice in self.choices)


def active(value: OpenValue, setting: Setting) -> bool:
    """Say whether an open value has an effect, given those before it."""
    return value.when is None or setting.get(value.when[0]) in value.when[1]


def sample(values: Sequence[OpenValue], rng: np.random.Generator) -> dict[str, Scalar]:
    """Draw a setting, each active value uniformly."""
    setting: dict[str, Scalar] = {}
    for value in values:
        if active(value, setting):
            setting[value.name] = value.choices[int(rng.integers(len(value.choices)))]
    return setting


def mutate(values: Sequence[OpenValue], setting: Setting, rng: np.random.Generator) -> dict[str, Scalar]:
    """Change one active value, a number as often as not to its neighbour, and draw what becomes active."""
    changeable = [value for value in values if len(value.choices) > 1 and active(value, setting)]
    if not changeable:
        return dict(setting)
    chosen = changeable[int(rng.integers(len(changeable)))]
    at = chosen.choices.index(setting[chosen.name])
    others = [place for place in range(len(chosen.choices)) if place != at]
    if chosen.ordered and rng.random() < 0.5:
        others = [place for place in others if abs(place - at) == 1]
    changed = {**setting, chosen.name: chosen.choices[others[int(rng.integers(len(others)))]]}
    result: dict[str, Scalar] = {}
    for value in values:
        if active(value, result):
            drawn = value.choices[int(rng.integers(len(value.choices)))]
            result[value.name] = changed.get(value.name, drawn)
    return result


@dataclass(frozen=True)
class _Open:
    """An open value as it stands in the file."""

    name: str
    choices: tuple[Scalar, ...]
    per_stage: bool


class SearchSpace:
    """The open values of a file and the designs they can be closed to.

    Raises SpaceError for a file that breaks a rule, whichever of its choices breaks it.
    """

    def __init__(self, data: Mapping[str, Any], origin: str = "the space") -> None:
        self.origin = origin
        self.data = dict(data)
        self.name = str(data.get("name") or "")
        self._open: dict[str, _Open] = {}
        self._template = self._parse(self.data, ())
        self.open_values: tuple[OpenValue, ...] = tuple(self._flat())

    @classmethod
    def load(cls, name: str | Path) -> SearchSpace:
        """Load a shipped space by name, or any file by path; raises SpaceError."""
        path = find_space(str(name))
        data = read_yaml(read_text(path, "a space"), f"'{path}'")
        data.setdefault("name", path.stem)
        return cls(data, f"'{path}'")

    def bind(
        self, input_shape: Shape, classes: int, task: str = "classification", rescale: bool = True
    ) -> SearchSpace:
        """Fill in what the data set says and check every choice.

        Raises SpaceError where the file says otherwise, or where any choice breaks a rule.
        """
        data = dict(self.data)
        said = {"input_shape": list(input_shape), "classes": classes}
        if data.get("task") in (None, "classification", "binary") and task == "classification":
            task = data.get("task") or task
        said["task"] = task
        for key, value in said.items():
            if data.setdefault(key, value) != value:
                raise SpaceError(
                    f"{self.origin} is for {key} {data[key]}, but the data has {value}; "
                    f"leave {key} out of the space, or change the data"
                )
        data.setdefault("rescale", rescale)
        bound = SearchSpace(data, self.origin)
        bound.check()
        return bound

    def _parse(self, node: Any, path: tuple[str, ...]) -> Any:
        if isinstance(node, dict) and ("choice" in node or "range" in node):
            return self._parse_open(node, path)
        if isinstance(node, dict):
            return {key: self._parse(value, (*path, str(key))) for key, value in node.items()}
        if isinstance(node, list):
            return [self._parse(value, (*path, str(place))) for place, value in enumerate(node)]
        return node

    def _parse_open(self, node: dict[str, Any], path: tuple[str, ...]) -> _Open:
        name = ".".join(path)
        if unknown := sorted(set(node) - {"choice", "range", "per"}):
            raise SpaceError(
                f"the open value {name} has no '{unknown[0]}'; {nearest(unknown[0], ['choice', 'range', 'per'])}"
            )
        if "choice" in node and "range" in node:
            raise SpaceError(f"the open value {name} must have a choice or a range, got both; leave one out")
        choices = _choices(name, node["choice"]) if "choice" in node else _range(name, node["range"])
        per = node.get("per", "space")
        mapping = isinstance(self.data.get("stages"), dict)
        if per not in ("space", "stage"):
            raise SpaceError(f"{name}.per must be stage or left out, got {per!r}; write per: stage")
        if per == "stage" and (path[0] not in ("block", "stages") or len(path) != 2 or not mapping):
            raise SpaceError(
                f"per: stage is for values of block and of stages as a mapping, got it at {name}; leave it out"
            )
        if name in ("name", "input_shape", "classes", "task"):
            raise SpaceError(f"{name} must not be open, the data set decides it; leave it out")
        opened = _Open(name, choices, per == "stage")
        self._open[name] = opened
        return opened

    def _flat(self) -> Iterator[OpenValue]:
        """Give the open values in the order of the file, parents first, one for each stage where per stage."""
        count: Any = self._template.get("stages", {})
        count = count.get("count", 1) if isinstance(count, dict) else 1
        counts: tuple[Any, ...] = count.choices if isinstance(count, _Open) else (count,)
        if isinstance(count, _Open):
            yield OpenValue(count.name, count.choices)
        for opened in self._open.values():
            if opened is count:
                continue
            if not opened.per_stage:
                yield OpenValue(opened.name, opened.choices)
                continue
            for number in range(1, max(counts) + 1):
                deep = frozenset(choice for choice in counts if choice >= number)
                when = ("stages.count", deep) if len(deep) < len(counts) else None
                yield OpenValue(f"{opened.name}.{number}", opened.choices, when)

    def closed(self, setting: Setting) -> dict[str, Any]:
        """Put a setting's values in the place of the open ones."""
        if missing := [v.name for v in self.open_values if active(v, setting) and v.name not in setting]:
            raise SpaceError(f"a setting needs a value for {missing[0]}, got {dict(setting)}")

        def close(node: Any) -> Any:
            if isinstance(node, _Open):
                if not node.per_stage:
                    return setting[node.name]
                numbers = itertools.takewhile(lambda n: f"{node.name}.{n}" in setting, itertools.count(1))
                return [setting[f"{node.name}.{number}"] for number in numbers]
            if isinstance(node, dict):
                return {key: close(value) for key, value in node.items()}
            if isinstance(node, list):
                return [close(value) for value in node]
            return node

        closed: dict[str, Any] = close(self._template)
        return closed

    def design(self, setting: Setting) -> Design:
        """Build the architecture, and how it is trained, that a setting stands for."""
        return Design.from_dict(self.closed(setting))

    def check(self) -> None:
        """Try every choice of every open value once; raises SpaceError for the first that breaks a rule."""
        base = self._first()
        self._try(base, "")
        for value in self.open_values:
            parent = {value.when[0]: max(value.when[1], key=repr)} if value.when else {}
            for choice in value.choices:
                self._try(self._completed({**base, **parent, value.name: choice}), value.name)

    def _try(self, setting: Setting, name: str) -> None:
        try:
            self.design(setting)
        except SpaceError as error:
            place = f", at the choice {setting[name]!r} of {name}" if name else ""
            raise SpaceError(f"{error} (in {self.origin}{place})") from None

    def _first(self) -> dict[str, Scalar]:
        return self._completed({})

    def _completed(self, setting: Setting) -> dict[str, Scalar]:
        """Take the first choice of each active value that the setting leaves out."""
        result: dict[str, Scalar] = {}
        for value in self.open_values:
            if active(value, result):
                result[value.name] = setting.get(value.name, value.choices[0])
        return result

    def settings_count(self) -> int:
        """Count the settings, those of inactive values not counted."""
        total = 1
        parents = {value.when[0] for value in self.open_values if value.when}
        for value in self.open_values:
            if value.name in parents:
                total *= sum(
                    math.prod(
                        len(child.choices)
                        for child in self.open_values
                        if child.when and child.when[0] == value.name and choice in child.when[1]
                    )
                    for choice in value.choices
                )
            elif value.when is None:
                total *= len(value.choices)
        return total

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Give every setting, one after the other."""

        def extend(place: int, setting: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
            if place == len(self.open_values):
                yield dict(setting)
                return
            value = self.open_values[place]
            if not active(value, setting):
                yield from extend(place + 1, setting)
                return
            for choice in value.choices:
                yield from extend(place + 1, {**setting, value.name: choice})

        return extend(0, {})


def _choices(name: str, choices: Any) -> tuple[Scalar, ...]:
    if not isinstance(choices, list) or not choices:
        raise SpaceError(f"{name}.choice must be a list of values, got {choices!r}; write [a, b]")
    for choice in choices:
        if not isinstance(choice, str | int | float | bool):
            raise SpaceError(f"{name}.choice must hold plain values, got {choice!r}; write [a, b]")
        if choices.count(choice) > 1:
            raise SpaceError(f"{name}.choice must hold each value once, got {choice!r} twice; leave one out")
    opened = OpenValue(name, tuple(choices))
    return tuple(sorted(choices)) if opened.ordered else opened.choices


def _range(name: str, bounds: Any) -> tuple[Scalar, ...]:
    numbers = isinstance(bounds, list) and all(
        isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds
    )
    if not numbers or len(bounds) != 3:
        raise SpaceError(
            f"{name}.range must be [low, high, step], got {bounds!r}; write for example [2, 5, 1]"
        )
    low, high, step = bounds
    if step <= 0 or high < low:
        raise SpaceError(
            f"{name}.range must rise by a step over 0, got {bounds!r}; write for example [2, 5, 1]"
        )
    steps = int((high - low) / step + 1e-9)
    if steps >= 10_000:
        raise SpaceError(f"{name}.range must have at most 10,000 values, got {steps + 1}; take a larger step")
    if all(isinstance(bound, int) for bound in bounds):
        return tuple(low + step * place for place in range(steps + 1))
    return tuple(round(low + step * place, 12) for place in range(steps + 1))


def spaces_folder() -> Path:
    """Find `search_spaces/`: in the installed package, else beside it in the repository."""
    packaged = Path(__file__).parent / "search_spaces"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "search_spaces"


def shipped(folder: str = "") -> dict[str, Path]:
    """Give the spaces that ship, or with folder 'models' the closed architectures, by name."""
    return {path.stem: path for path in sorted((spaces_folder() / folder).glob("*.yaml"))}


def find_space(name: str) -> Path:
    """Find a file by path or by the name of what ships; raises SpaceError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    known = {**shipped("models"), **shipped()}
    if name not in known:
        raise SpaceError(
            f"a space must be a shipped name or a YAML file, got '{name}'; {nearest(name, known)}"
        )
    return known[name]
