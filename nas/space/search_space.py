"""SearchSpace: an architecture with some values left open.

An open value is `{choice: [...]}` or `{range: [low, high, step]}` where an architecture's file has a
plain value. In `block` and in `stages` as a mapping, `per: stage` draws it anew for each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nas.architecture import Design, Scalar, Shape, read_text, read_yaml
from nas.errors import SpaceError, nearest
from nas.space import statistics
from nas.space.matching import found_values
from nas.space.open_values import (
    OpenNode,
    OpenValue,
    Setting,
    active,
    all_settings,
    completed,
    count_settings,
    mutate,
    parse_open,
    sample,
)

__all__ = ["OpenValue", "SearchSpace", "Setting", "active", "find_space", "mutate", "sample", "shipped"]


class SearchSpace:
    """The open values of a file and the designs they can be closed to.

    Raises SpaceError for a file that breaks a rule, whichever of its choices breaks it.
    """

    def __init__(self, data: Mapping[str, Any], origin: str = "the space") -> None:
        self.origin = origin
        self.data = dict(data)
        self.name = str(data.get("name") or "")
        self._open: dict[str, OpenNode] = {}
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
            return [self._parse(value, (*path, str(place))) for place, value in enumerate(node, start=1)]
        return node

    def _parse_open(self, node: dict[str, Any], path: tuple[str, ...]) -> OpenNode:
        name = ".".join(path)
        opened = parse_open(node, name)
        mapping = isinstance(self.data.get("stages"), dict)
        shared = path[0] in ("block", "stages") and len(path) == 2 and name not in WHOLE
        if opened.per_stage and not (shared and mapping):
            raise SpaceError(
                f"per: stage is for values of block, and of stages as a mapping, got {name}; leave it out"
            )
        if path[0] in BOUND:
            raise SpaceError(f"{name} must not be open, the data set decides it; leave it out")
        self._open[name] = opened
        return opened

    def _flat(self) -> Iterator[OpenValue]:
        """Give the open values in the file's order, parents first, one for each stage where per stage."""
        count = self._count
        counts = count.choices if isinstance(count, OpenNode) else (count,)
        depths = [choice for choice in counts if isinstance(choice, int) and not isinstance(choice, bool)]
        if len(depths) < len(counts):
            wrong = next(choice for choice in counts if choice not in depths)
            raise SpaceError(f"stages.count must be a whole number, got {wrong!r}; write for example 3")
        if isinstance(count, OpenNode):
            yield OpenValue(count.name, count.choices)
        for opened in self._open.values():
            if opened is count:
                continue
            if not opened.per_stage:
                yield OpenValue(opened.name, opened.choices)
                continue
            for number in range(1, max(depths) + 1):
                deep = frozenset[Scalar](depth for depth in depths if depth >= number)
                when = ("stages.count", deep) if len(deep) < len(depths) else None
                yield OpenValue(f"{opened.name}.{number}", opened.choices, when)

    @property
    def _count(self) -> Any:
        """The number of stages as the file has it, 1 where they are a list."""
        stages = self._template.get("stages")
        return stages.get("count", 1) if isinstance(stages, dict) else 1

    def closed(self, setting: Setting) -> dict[str, Any]:
        """Put a setting's values in the place of the open ones."""
        if missing := [v.name for v in self.open_values if active(v, setting) and v.name not in setting]:
            raise SpaceError(f"a setting needs a value for {missing[0]}, got {dict(setting)}")

        count = self._count
        deep: Any = setting[count.name] if isinstance(count, OpenNode) else count

        def close(node: Any) -> Any:
            if isinstance(node, OpenNode) and node.per_stage:
                return [setting[f"{node.name}.{number}"] for number in range(1, deep + 1)]
            if isinstance(node, OpenNode):
                return setting[node.name]
            if isinstance(node, dict):
                return {key: close(value) for key, value in node.items()}
            if isinstance(node, list):
                return [close(value) for value in node]
            return node

        closed: dict[str, Any] = close(self._template)
        for part in ("block", "stages"):
            if isinstance(count, OpenNode) and isinstance(values := closed.get(part), dict):
                closed[part] = {key: _first(value, deep) for key, value in values.items()}
        return closed

    def design(self, setting: Setting) -> Design:
        """Build the architecture, and how it is trained, that a setting stands for."""
        return Design.from_dict(self.closed(setting))

    def check(self) -> None:
        """Try every choice of every open value once; raises SpaceError for the first that breaks a rule."""
        values = self.open_values
        base = completed(values, {})
        self._try(base, "")
        for value in values:
            parent = {value.when[0]: max(value.when[1], key=repr)} if value.when else {}
            for choice in value.choices:
                self._try(completed(values, {**base, **parent, value.name: choice}), value.name)
        self._try(completed(values, {value.name: value.choices[-1] for value in values}), "")

    def _try(self, setting: Setting, name: str) -> None:
        try:
            self.design(setting)
        except SpaceError as error:
            place = f", at the choice {setting[name]!r} of {name}" if name else ""
            raise SpaceError(f"{error} (in {self.origin}{place})") from None

    def settings_count(self) -> int:
        """Count the settings, those of inactive values not counted."""
        return count_settings(self.open_values)

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Give every setting, one after the other."""
        return all_settings(self.open_values)

    def distinct(self, samples: int = 400, seed: int = 0) -> tuple[float, bool]:
        """Count the distinct architectures, and say whether exactly: see `statistics.count_distinct`."""
        return statistics.count_distinct(self, samples, seed)

    def extreme(self, cost: Callable[[Design], float], greatest: bool) -> tuple[dict[str, Scalar], float]:
        """Find the setting of the least or the greatest cost: see `statistics.find_extreme`."""
        return statistics.find_extreme(self, cost, greatest)

    def setting_of(self, design: Design) -> dict[str, Scalar] | None:
        """Find the setting that builds a design's architecture, or None where it is no point of the space.

        An open value of `training` takes the design's own where that is a choice, else the nearest
        number or the first word.
        """
        found = found_values(self._template, self.open_values, design.architecture)
        if found is None:
            return None
        for value in self.open_values:
            part, _, name = value.name.partition(".")
            if part == "training":
                found[value.name] = _nearest_choice(value, getattr(design.training, name))
        setting = completed(self.open_values, found)
        return setting if self.design(setting).architecture == design.architecture else None


BOUND = ("name", "input_shape", "classes", "task")
"""What the data set decides."""

WHOLE = ("stages.count", "stages.growth")
"""What is one for all stages."""


def _first(value: Any, count: int) -> Any:
    """Take as many of a list's values as there are stages."""
    return value[:count] if isinstance(value, list) else value


def _nearest_choice(value: OpenValue, wanted: Scalar) -> Scalar:
    if wanted in value.choices or not value.ordered:
        return wanted if wanted in value.choices else value.choices[0]
    return min(value.choices, key=lambda choice: abs(float(choice) - float(wanted)))


def spaces_folder() -> Path:
    """Find `search_spaces/`: in the installed package, else beside it in the repository."""
    packaged = Path(__file__).parents[1] / "search_spaces"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "search_spaces"


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
