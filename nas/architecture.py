"""Architecture: one network, closed and frozen, named by what it builds; YAML both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field

from nas import blocks
from nas.errors import SpaceError
from nas.layers import Graph, Layer
from nas.parts import Decoder, Head, Part, Stage, Stem, Training, validated

__all__ = ["Architecture", "Design", "Training", "expanded", "read_yaml"]

STAGE_MAPPING_KEYS = ("count", "growth")
"""What `stages` as a mapping has besides the values of a stage."""


class Architecture(Part):
    """A convolutional network: stem, stages, for segmentation a decoder, head.

    Two architectures are equal, and have one `id`, exactly when they build the same layers.
    """

    name: str = ""
    about: str = ""
    source: str = ""
    task: Literal["classification", "binary", "segmentation"] = "classification"
    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=3)]
    classes: Annotated[int, Field(ge=2, le=100_000)] = 2
    rescale: bool = True  # divide by 255 inside the network
    stem: Stem | None = None
    stages: tuple[Stage, ...] = ()
    decoder: Decoder | None = None
    head: Head | None = Head()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Read a closed file's content; `training` is left to `Design`.

        Raises SpaceError with the rule, the value and the fix.
        """
        explicit = {key: value for key, value in expanded(data).items() if key != "training"}
        architecture = validated(cls, explicit, "")
        architecture._check()
        return architecture

    @classmethod
    def from_yaml(cls, text: str) -> Architecture:
        """Read an architecture from YAML text; raises SpaceError."""
        return cls.from_dict(read_yaml(text, "the architecture"))

    def _check(self) -> None:
        if self.task == "binary" and self.classes != 2:
            raise SpaceError(
                f"task binary needs classes 2, got {self.classes}; write task: classification"
            )
        if self.task == "segmentation":
            if len(self.input_shape) != 3:
                raise SpaceError(
                    f"task segmentation needs images (height, width, channels), got {self.input_shape}"
                )
            if any(stage.padding == "valid" for stage in self.stages):
                raise SpaceError("task segmentation needs padding same in every stage, got valid; write same")
        elif self.decoder is not None:
            raise SpaceError(f"a decoder needs task segmentation, got {self.task}; leave the decoder out")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers in the order in which they run."""
        graph = Graph(self.input_shape)
        x = graph.rescale(0, "rescale") if self.rescale else 0
        skips: list[tuple[int, int]] = []
        if self.stem is not None:
            before, x = x, blocks.stem(graph, x, self.stem)
            if graph.shape(x)[:-1] != graph.shape(before)[:-1]:
                skips.append((self.stem.width, before))
        for number, part in enumerate(self.stages, start=1):
            before, x = x, blocks.stage(graph, x, part, f"stage{number}")
            if graph.shape(x)[:-1] != graph.shape(before)[:-1]:
                skips.append((part.width, before))
        if self.task == "segmentation":
            x = blocks.decoder(graph, x, self.decoder or Decoder(), skips)
            if self.head is not None:
                blocks.segmentation_head(graph, x, self.head, self.classes, self.input_shape)
        elif self.head is not None:
            outputs = 1 if self.task == "binary" else self.classes
            blocks.classifier_head(graph, x, self.head, outputs)
        return graph.finished()

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that equal networks share, whatever settings they come from."""
        nameless = [(layer[0], *layer[2:]) for layer in self.layers]
        return hashlib.sha256(repr(nameless).encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def canonical(self) -> Architecture:
        """Give the equal architecture in which every value without an effect has its default."""
        best = self
        for path, part in list(best._parts()):
            for field in type(part).model_fields:
                for value in _simpler(part, field):
                    candidate = best._replaced(path, part.model_copy(update={field: value}))
                    if candidate.id == self.id:
                        best, part = candidate, candidate._part(path)
                        break
        for number, stage in enumerate(best.stages):
            if stage.blocks > 1:
                flat = {"blocks": 1, "convs": stage.blocks * stage.convs}
                candidate = best._replaced(("stages", number), stage.model_copy(update=flat))
                if candidate.id == self.id:
                    best = candidate
        return best

    def _parts(self) -> Iterator[tuple[tuple[str, int], Part]]:
        for name in ("stem", "decoder", "head"):
            part = getattr(self, name)
            if part is not None:
                yield (name, 0), part
        for number, stage in enumerate(self.stages):
            yield ("stages", number), stage

    def _part(self, path: tuple[str, int]) -> Part:
        found: Part = self.stages[path[1]] if path[0] == "stages" else getattr(self, path[0])
        return found

    def _replaced(self, path: tuple[str, int], part: Part) -> Architecture:
        if path[0] != "stages":
            return self._with({path[0]: part})
        stages = list(self.stages)
        stages[path[1]] = part  # type: ignore[call-overload]  # a part at this path is a Stage
        return self._with({"stages": tuple(stages)})

    def _with(self, update: dict[str, Any]) -> Architecture:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_construct(**{**values, **update})

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical values as plain data, without those that have their default."""
        canonical = self.canonical()
        data = canonical.model_dump(mode="json", exclude_defaults=True)
        data["task"] = canonical.task
        data["input_shape"] = list(canonical.input_shape)
        data["classes"] = canonical.classes
        return {name: data[name] for name in type(self).model_fields if name in data}

    def to_yaml(self, training: Training | None = None) -> str:
        """Write the architecture as YAML, with how it is trained if given."""
        data = self.to_dict()
        if training is not None:
            data["training"] = training.model_dump(mode="json", exclude_defaults=True)
        text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
        return text


class Design(Part):
    """A closed file: the architecture and how it is trained."""

    architecture: Architecture
    training: Training = Training()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Read a closed file's content; raises SpaceError."""
        training = validated(Training, data.get("training") or {}, "training")
        return cls.model_construct(architecture=Architecture.from_dict(data), training=training)

    @property
    def key(self) -> str:
        """The same for two designs that build the same network and train it in the same way."""
        plain = self.training == Training()
        return self.architecture.id if plain else f"{self.architecture.id}/{self.training!r}"


def _simpler(part: Part, field: str) -> list[Any]:
    """Give the values that stand before a field's own in the canonical order, simplest first."""
    value = getattr(part, field)
    info = type(part).model_fields[field]
    if info.is_required() or value == info.default:
        return []
    choices = get_args(info.annotation)
    if choices and value in choices:
        return list(choices[: choices.index(value)])
    if field == "dense":
        return [(), tuple(units for units in value if units)]
    if field == "groups":
        return list(range(1, value))
    return [info.default]


def read_yaml(text: str, what: str) -> dict[str, Any]:
    """Read a mapping from YAML text; raises SpaceError naming the line of a mistake."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise SpaceError(f"{what} must be YAML, but{line} {problem}; mend that line") from None
    if not isinstance(data, dict):
        raise SpaceError(f"{what} must be a mapping such as 'stages: [...]', got {type(data).__name__}")
    return data


def read_text(path: Path, what: str) -> str:
    """Read a text file; raises SpaceError where there is none or it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SpaceError(f"{what} must be a readable YAML file, got '{path}': {reason}") from None


def expanded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Write out `block` (what all stages have in common) and `stages` as a mapping.

    `stages: {count: 3, width: 16, growth: 2}` are stages of width 16, 32 and 64; a list in the place
    of a value gives each stage its own. Raises SpaceError.
    """
    explicit = dict(data)
    common = explicit.pop("block", None) or {}
    stages = explicit.get("stages", [])
    if not isinstance(common, dict):
        raise SpaceError(f"block must be a mapping of values that all stages share, got {common!r}")
    if isinstance(stages, dict):
        stages = _from_mapping({**common, **stages})
        common = {}
    elif not isinstance(stages, list):
        raise SpaceError(f"stages must be a list, or a mapping with count and width, got {stages!r}")
    explicit["stages"] = [_merged(common, stage, number) for number, stage in enumerate(stages)]
    if explicit.get("head", "") is None:
        explicit["head"] = None
    return explicit


def _merged(common: dict[str, Any], stage: Any, number: int) -> dict[str, Any]:
    if not isinstance(stage, dict):
        raise SpaceError(f"stages.{number} must be a mapping such as {{width: 32}}, got {stage!r}")
    values = {**common, **stage}
    return {key: value[number] if isinstance(value, list) and number < len(value) else value
            for key, value in values.items()}  # fmt: skip


def _from_mapping(values: dict[str, Any]) -> list[dict[str, Any]]:
    count, growth = values.pop("count", 1), values.pop("growth", 1)
    if not isinstance(count, int) or not 1 <= count <= 64:
        raise SpaceError(f"stages.count must be a whole number from 1 to 64, got {count!r}")
    if isinstance(growth, bool) or not isinstance(growth, int | float) or not 0.1 <= growth <= 10:
        raise SpaceError(f"stages.growth must be a number from 0.1 to 10, got {growth!r}")
    for key, value in values.items():
        if isinstance(value, list) and len(value) < count:
            raise SpaceError(f"{key} must have a value for each of {count} stages, got {value!r}")
    stages = [
        {key: value[number] if isinstance(value, list) else value for key, value in values.items()}
        for number in range(count)
    ]
    for number, stage in enumerate(stages):
        if isinstance(stage.get("width"), int) and not isinstance(values["width"], list):
            stage["width"] = max(1, round(stage["width"] * growth**number))
    return stages
