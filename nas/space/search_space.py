"""SearchSpace: an architecture with some values left open.

An open value is `{choice: [...]}` or `{range: [low, high, step]}` where an architecture's file has a
plain value. In `block` and in `stages` as a mapping, `per: stage` opens the value separately for each stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nas.architecture import NEED_VALUE_RANGE, Design, Scalar, Shape, read_text, read_yaml
from nas.errors import SpaceError, nearest
from nas.space.matching import find_values
from nas.space.open_values import (
    OpenNode,
    OpenValue,
    Setting,
    complete_setting,
    count_settings,
    is_active,
    iterate_settings,
    parse_open,
)

__all__ = ["SearchSpace", "find_file", "find_network_file", "shipped_files"]

DATASET_KEYS = ("name", "input_shape", "classes", "task")
"""Keys that must not be open: the name, and values that the data set determines."""

WHOLE_SPACE_KEYS = ("stages.count", "stages.growth")
"""Values of `stages` as a mapping that cannot be open per stage."""


class SearchSpace:
    """The open values of a file, and the designs that their settings stand for.

    Raises SpaceError if the file, or an open value as such, breaks a rule; `check` tries every choice.
    """

    def __init__(self, data: Mapping[str, Any], origin: str = "the space") -> None:
        self.origin = origin
        self.data = dict(data)
        self.name = str(data.get("name") or "")
        self._open: dict[str, OpenNode] = {}
        self._template = self._parse(self.data, ())
        self.open_values: tuple[OpenValue, ...] = tuple(self._list_open_values())

    @classmethod
    def load(cls, name: str | Path) -> SearchSpace:
        """Load a shipped space or network by name, or a file by path; raises SpaceError."""
        path = find_file(str(name))
        data = read_yaml(read_text(path, "a space"), f"'{path}'")
        data.setdefault("name", path.stem)
        return cls(data, f"'{path}'")

    def bind(
        self,
        input_shape: Shape,
        classes: int,
        task: str = "classification",
        rescale: bool = True,
        value_range: tuple[float, float] | None = None,
    ) -> SearchSpace:
        """Return the space with the data set's values filled in, after checking every choice.

        `value_range`: least and greatest value of the data, for the augmentation that needs it. Raises
        SpaceError if the file contradicts the data set, or if a choice breaks a rule.
        """
        data = dict(self.data)
        dataset_values = {"input_shape": list(input_shape), "classes": classes}
        if data.get("task") in (None, "classification", "binary") and task == "classification":
            task = data.get("task") or task
        dataset_values["task"] = task
        for key, value in dataset_values.items():
            if data.setdefault(key, value) != value:
                raise SpaceError(
                    f"{self.origin} is for {key} {data[key]}, but the data has {value}; "
                    f"leave {key} out of the space, or change the data"
                )
        if data.setdefault("rescale", rescale) is True and not rescale:
            raise SpaceError(
                f"{self.origin} divides its input by 255 (rescale: true), but the values of the data are not "
                "0..255; leave rescale out of the space, or scale the data to 0..255"
            )
        if value_range is not None and not data["rescale"]:
            data["training"] = self._with_range(data.get("training"), value_range)
        bound = SearchSpace(data, self.origin)
        bound.check()
        return bound

    def _with_range(self, training: Any, data_range: tuple[float, float]) -> Any:
        """Return the values of `training` with the data set's range, if some of them need a range."""
        if not isinstance(training, dict) or not any(training.get(name) for name in NEED_VALUE_RANGE):
            return training
        given = training.get("value_range")
        if isinstance(given, list) and not (given[0] <= data_range[0] and data_range[1] <= given[-1]):
            raise SpaceError(
                f"training.value_range of {self.origin} must contain the data's values, got {given} for data "
                f"from {data_range[0]:g} to {data_range[1]:g}; leave it out"
            )
        return training if given is not None else {**training, "value_range": list(data_range)}

    def _parse(self, node: Any, path: tuple[str, ...]) -> Any:
        if isinstance(node, dict) and ("choice" in node or "range" in node):
            return self._parse_open(node, path)
        if isinstance(node, dict):
            return {key: self._parse(value, (*path, str(key))) for key, value in node.items()}
        if isinstance(node, list):
            return [self._parse(value, (*path, str(number))) for number, value in enumerate(node, start=1)]
        return node

    def _parse_open(self, node: dict[str, Any], path: tuple[str, ...]) -> OpenNode:
        name = ".".join(path)
        open_node = parse_open(node, name)
        mapping = isinstance(self.data.get("stages"), dict)
        of_stages = path[0] in ("block", "stages") and len(path) == 2 and name not in WHOLE_SPACE_KEYS
        if open_node.per_stage and not (of_stages and mapping):
            raise SpaceError(
                f"per: stage is for values of block, and of stages as a mapping, got {name}; leave it out"
            )
        if path[0] in DATASET_KEYS:
            raise SpaceError(f"{name} must not be open, the data set determines it; leave it out")
        self._open[name] = open_node
        return open_node

    def _list_open_values(self) -> Iterator[OpenValue]:
        """Yield `stages.count`, then the other open values in file order; one per stage for `per: stage`."""
        count = self._count
        counts = count.choices if isinstance(count, OpenNode) else (count,)
        valid = [choice for choice in counts if isinstance(choice, int) and not isinstance(choice, bool)]
        if len(valid) < len(counts):
            invalid = next(choice for choice in counts if choice not in valid)
            raise SpaceError(f"stages.count must be a whole number, got {invalid!r}; write for example 3")
        if isinstance(count, OpenNode):
            yield OpenValue(count.name, count.choices)
        for node in self._open.values():
            if node is count:
                continue
            if not node.per_stage:
                yield OpenValue(node.name, node.choices)
                continue
            for number in range(1, max(valid) + 1):
                with_stage = frozenset[Scalar](choice for choice in valid if choice >= number)
                when = ("stages.count", with_stage) if len(with_stage) < len(valid) else None
                yield OpenValue(f"{node.name}.{number}", node.choices, when)

    @property
    def _count(self) -> Any:
        """The value of `stages.count`: a number or an open node; 1 if `stages` is a list."""
        stages = self._template.get("stages")
        return stages.get("count", 1) if isinstance(stages, dict) else 1

    def close(self, setting: Setting) -> dict[str, Any]:
        """Return the file's content with the values of a setting in place of the open values."""
        missing = [v.name for v in self.open_values if is_active(v, setting) and v.name not in setting]
        if missing:
            raise SpaceError(f"a setting needs a value for {missing[0]}, got {dict(setting)}")

        count = self._count
        stages: Any = setting[count.name] if isinstance(count, OpenNode) else count

        def close(node: Any) -> Any:
            if isinstance(node, OpenNode) and node.per_stage:
                return [setting[f"{node.name}.{number}"] for number in range(1, stages + 1)]
            if isinstance(node, OpenNode):
                return setting[node.name]
            if isinstance(node, dict):
                return {key: close(value) for key, value in node.items()}
            if isinstance(node, list):
                return [close(value) for value in node]
            return node

        content: dict[str, Any] = close(self._template)
        for part in ("block", "stages"):
            if isinstance(count, OpenNode) and isinstance(values := content.get(part), dict):
                # A list has one value for each stage of the deepest network.
                content[part] = {
                    key: value[:stages] if isinstance(value, list) else value for key, value in values.items()
                }
        return content

    def design(self, setting: Setting) -> Design:
        """Return the design that a setting stands for."""
        return Design.from_dict(self.close(setting))

    def check(self) -> None:
        """Build a design with each choice of each open value; raises SpaceError for the first invalid one."""
        values = self.open_values
        base = complete_setting(values, {})
        self._check_setting(base, "")
        for value in values:
            parent = {value.when[0]: max(value.when[1], key=repr)} if value.when else {}
            for choice in value.choices:
                setting = complete_setting(values, {**base, **parent, value.name: choice})
                self._check_setting(setting, value.name)
        self._check_setting(complete_setting(values, {value.name: value.choices[-1] for value in values}), "")

    def _check_setting(self, setting: Setting, name: str) -> None:
        try:
            self.design(setting)
        except SpaceError as error:
            choice = f", at the choice {setting[name]!r} of {name}" if name else ""
            raise SpaceError(f"{error} (in {self.origin}{choice})") from None

    def settings_count(self) -> int:
        """Return the number of settings; choices of inactive values are not counted."""
        return count_settings(self.open_values)

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Yield every setting once."""
        return iterate_settings(self.open_values)

    def find_setting(self, design: Design) -> dict[str, Scalar] | None:
        """Return the setting that builds a design's architecture, None if the space has none.

        Open values of `training` take the design's value if it is a choice, otherwise the nearest number or
        the first text.
        """
        values = find_values(self._template, self.open_values, design.architecture)
        if values is None:
            return None
        for value in self.open_values:
            part, _, name = value.name.partition(".")
            if part == "training":
                values[value.name] = _nearest_choice(value, getattr(design.training, name))
        setting = complete_setting(self.open_values, values)
        return setting if self.design(setting).architecture == design.architecture else None


def _nearest_choice(value: OpenValue, wanted: Scalar) -> Scalar:
    if wanted in value.choices or not value.ordered:
        return wanted if wanted in value.choices else value.choices[0]
    return min(value.choices, key=lambda choice: abs(float(choice) - float(wanted)))


def spaces_folder() -> Path:
    """Return `search_spaces/` in the installed package, or next to the package in the repository."""
    packaged = Path(__file__).parents[1] / "search_spaces"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "search_spaces"


def shipped_files(folder: str = "") -> dict[str, Path]:
    """Return the files of the shipped spaces, or with folder "models" of the shipped networks, by name."""
    return {path.stem: path for path in sorted((spaces_folder() / folder).glob("*.yaml"))}


def find_network_file(name: str) -> str | Path:
    """Return the path of a shipped network, which has priority over a space of its name, else the name."""
    return name if Path(name).is_file() else shipped_files("models").get(name, name)


def find_file(name: str) -> Path:
    """Return the file of a path, or of a shipped space or network; raises SpaceError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = {**shipped_files("models"), **shipped_files()}
    if name not in shipped:
        raise SpaceError(
            f"a space must be a shipped name or a YAML file, got '{name}'; {nearest(name, shipped)}"
        )
    return shipped[name]
