"""The notation of files of architectures and spaces: YAML, `block`, and `stages` as a mapping."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from nas.errors import SpaceError
from nas.files import file_problem

__all__ = ["dump_yaml", "expand_stages", "read_text", "read_yaml", "stage_width"]


MAX_BYTES = 1_000_000
"""Size of a file; the shipped ones have under 3,000 bytes."""

MAX_VALUES = 100_000
"""Values of a file when its aliases are expanded."""

MAX_DEPTH, MAX_DIGITS = 50, 18


class _Loader(yaml.SafeLoader):
    """Reads YAML's core schema: only true and false are booleans, 1e-3 is a number, keys are unique."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            problem = ""
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                problem = f"a name must be text, got {key.value!r}"
            elif key.value in seen:
                problem = f"'{key.value}' occurs twice in one mapping"
            if problem:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes YAML; quotes text that this loader or a loader of YAML 1.1 would not read as text."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("merge", r"<<", ["<"]),
):
    for _reader in (_Loader, _Dumper):
        _reader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


def _decimal_integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MAX_DIGITS:
        problem = f"a number must have at most {MAX_DIGITS} digits, got {len(node.value):,}"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal_integer)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Return a file's content as YAML, with one line per part and per stage; lines are not wrapped."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=10_000)
    return text


def read_yaml(text: str, subject: str) -> dict[str, Any]:
    """Read a mapping from YAML text; raises SpaceError with the line of the first error.

    `subject` names the text in messages.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check_size(node)
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not valid"
        raise SpaceError(f"{subject} must be YAML, but{line} {problem}; fix that line") from None
    except RecursionError:
        raise SpaceError(f"{subject} must be YAML, but it is nested too deeply; fix its brackets") from None
    if not isinstance(data, dict):
        raise SpaceError(f"{subject} must be a mapping such as 'stages: [...]', got {type(data).__name__}")
    return data


def _check_size(root: yaml.Node) -> None:
    """Raise MarkedYAMLError if a document refers to itself, or is too large when its aliases are expanded."""
    sizes: dict[int, int] = {}  # by node; 0 while the node is being counted

    def count(node: yaml.Node, depth: int) -> int:
        problem = ""
        if sizes.get(id(node)) == 0:
            problem = "an alias refers to the part in which it stands"
        elif depth > MAX_DEPTH:
            problem = f"it is nested more than {MAX_DEPTH} deep"
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            children: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                children = node.value
            elif isinstance(node, yaml.MappingNode):
                children = [child for pair in node.value for child in pair]
            sizes[id(node)] = 1 + sum(count(child, depth + 1) for child in children)
            if sizes[id(node)] > MAX_VALUES:
                problem = f"it has more than {MAX_VALUES:,} values when its aliases are expanded"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return sizes[id(node)]

    count(root, 0)


def read_text(path: Path, subject: str) -> str:
    """Read a text file; raises SpaceError if the file does not exist or is not UTF-8 text.

    `subject` names the content in messages.
    """
    reason = file_problem(path, MAX_BYTES)
    try:
        if not reason:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
    raise SpaceError(f"{subject} must be a readable YAML file, got '{path}': {reason}")


def expand_stages(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's content with `stages` as a list, and without `block`.

    `block` holds values that all stages share. `stages: {count: 3, width: 16, growth: 2}` stands for stages
    of width 16, 32 and 64. A list as a value of `block`, or of `stages` as a mapping, holds one value per
    stage. Raises SpaceError.
    """
    explicit = dict(data)
    common = explicit.pop("block", None)
    stages = explicit.get("stages", [])
    common = {} if common is None else common
    if not isinstance(common, dict):
        raise SpaceError(f"block must be a mapping such as {{convs: 2}}, got {common!r}; write one")
    if isinstance(stages, dict):
        explicit["stages"] = _expand_mapping(common, stages)
        return explicit
    if not isinstance(stages, list):
        raise SpaceError(
            f"stages must be a list, or a mapping such as {{count: 3, width: 16}}, got {stages!r}; write one"
        )
    shared = _values_per_stage(common, len(stages))
    for number, stage in enumerate(stages):
        if not isinstance(stage, dict):
            raise SpaceError(f"stages.{number + 1} must be a mapping such as {{width: 32}}, got {stage!r}")
    explicit["stages"] = [{**values, **stage} for values, stage in zip(shared, stages, strict=True)]
    return explicit


def _values_per_stage(values: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return the values of each stage; a list holds one value per stage."""
    for key, value in values.items():
        if isinstance(value, list) and len(value) != count:
            raise SpaceError(
                f"{key} must be one value, or a list with one for each of {count} stages, "
                f"got {len(value)} in {value!r}; write {count}"
            )
    return [
        {key: value[number] if isinstance(value, list) else value for key, value in values.items()}
        for number in range(count)
    ]


def _expand_mapping(common: dict[str, Any], stages: dict[str, Any]) -> list[dict[str, Any]]:
    values = {**common, **stages}
    count, growth = values.pop("count", 1), values.pop("growth", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 64:
        raise SpaceError(
            f"stages.count must be a whole number from 1 to 64, got {count!r}; write for example 3"
        )
    if isinstance(growth, bool) or not isinstance(growth, int | float) or not 0.1 <= growth <= 10:
        raise SpaceError(
            f"stages.growth must be a number from 0.1 to 10, got {growth!r}; write for example 2"
        )
    if growth != 1 and isinstance(values.get("width"), list):
        raise SpaceError(
            f"stages.growth needs one width for all stages, got {values['width']!r}; leave growth out"
        )
    expanded = _values_per_stage(values, count)
    width = values.get("width")
    if isinstance(width, int) and not isinstance(width, bool):
        for number, stage in enumerate(expanded):
            stage["width"] = stage_width(width, growth, number)
    return expanded


def stage_width(width: int, growth: float, number: int) -> int:
    """Return the width of a stage; the first stage is number 0."""
    return max(1, round(width * growth**number))
