"""Architecture: one network, closed and frozen, named by what it builds; YAML both ways."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from nas.architecture import blocks
from nas.architecture.canonical import canonical_stages, nameless, simpler
from nas.architecture.layers import Graph, Layer
from nas.architecture.notation import dump_yaml, expanded, read_yaml
from nas.architecture.parts import Decoder, Head, Part, Stage, Stem, Training, validate_part
from nas.errors import SpaceError

__all__ = ["Architecture", "Design", "Training", "expanded", "read_yaml"]


LAYERS = "_layers"
"""Under which name an architecture keeps its layers once they were asked for."""

MOST_LISTED = 200
"""So many architectures keep theirs, those asked last: ten kilobytes each, and a search holds thousands."""

_listed: deque[Architecture] = deque()


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
        architecture = validate_part(cls, explicit, "")
        architecture._check()
        return architecture

    @classmethod
    def from_yaml(cls, text: str) -> Architecture:
        """Read an architecture from YAML text; raises SpaceError."""
        return cls.from_dict(read_yaml(text, "the architecture"))

    def _check(self) -> None:
        if self.task == "binary" and self.classes != 2:
            raise SpaceError(f"task binary needs classes 2, got {self.classes}; write task: classification")
        if self.task != "segmentation":
            if self.decoder is not None:
                raise SpaceError(f"a decoder needs task segmentation, got {self.task}; leave the decoder out")
            return
        if len(self.input_shape) != 3:
            raise SpaceError(
                f"task segmentation needs input_shape [height, width, channels], got {[*self.input_shape]}; "
                f"write task: classification"
            )
        if any(part.padding == "valid" for part in (self.stem, *self.stages) if part):
            raise SpaceError(
                "task segmentation needs padding same everywhere, got valid; write padding: same"
            )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers in the order in which they run."""
        layers: tuple[Layer, ...] | None = self.__dict__.get(LAYERS)
        if layers is None:
            graph = Graph(self.input_shape)
            blocks.network(graph, self)
            layers = self.__dict__[LAYERS] = graph.finished()
            _listed.append(self)
            if len(_listed) > MOST_LISTED:
                _listed.popleft().__dict__.pop(LAYERS, None)
        return layers

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that equal networks share, whatever settings they come from."""
        return hashlib.sha256(repr(nameless(self.layers)).encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def canonical(self) -> Architecture:
        """Give the one way to write this network: values without an effect have their default."""
        stem, stages = canonical_stages(self.stem, self.stages, self.layers)
        best = self._with({"stem": stem, "stages": stages})
        for candidate in best._dropout_moved():
            best = candidate if candidate.id == self.id else best
        for name in ("decoder", "head"):
            part: Part | None = getattr(best, name)
            for field in type(part).model_fields if part else ():
                for value in simpler(part, field) if part else ():
                    changed = part.model_copy(update={field: value}) if part else None
                    candidate = best._with({name: changed})
                    if candidate.id == self.id:
                        best, part = candidate, changed
                        break
        if best.decoder == Decoder():
            best = best._with({"decoder": None})
        if best.head is None:
            plain = best._with({"task": "classification", "decoder": None})
            best = (plain if plain.id == self.id else best)._with({"classes": 2})
        return best

    def _dropout_moved(self) -> Iterator[Architecture]:
        """Give what may be equal: the dropout of the last stage, or of the decoder, as the head's."""
        if self.task != "segmentation" or self.head is None:
            return
        rates = [
            self.stages[-1].dropout if self.stages else 0.0,
            self.decoder.dropout if self.decoder else 0.0,
        ]
        if self.stages and rates[0]:
            bare = (*self.stages[:-1], self.stages[-1].model_copy(update={"dropout": 0.0}))
            yield self._with({"stages": bare, "head": self.head.model_copy(update={"dropout": rates[0]})})
        if self.decoder and rates[1]:
            bare_decoder = self.decoder.model_copy(update={"dropout": 0.0})
            yield self._with(
                {"decoder": bare_decoder, "head": self.head.model_copy(update={"dropout": rates[1]})}
            )

    def _with(self, update: dict[str, Any]) -> Architecture:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_construct(**{**values, **update})

    def to_dict(self, training: Training | None = None) -> dict[str, Any]:
        """Give the canonical values as plain data, without those that have their default.

        With how it is trained, if given, under `training`.
        """
        canonical = self.canonical()
        data = canonical.model_dump(mode="json", exclude_defaults=True)
        data["task"] = canonical.task
        data["input_shape"] = list(canonical.input_shape)
        data["classes"] = canonical.classes
        found = {name: data[name] for name in type(self).model_fields if name in data}
        if training is not None:
            found["training"] = training.model_dump(mode="json", exclude_defaults=True)
        return found

    def to_yaml(self, training: Training | None = None) -> str:
        """Write the architecture as YAML, with how it is trained if given."""
        return dump_yaml(self.to_dict(training))

    def compact(self) -> Architecture:
        """Give the same in as little memory as it takes."""
        parts = {name: compact(part) for name in ("stem", "decoder", "head") if (part := getattr(self, name))}
        values = {name: getattr(self, name) for name in type(self).model_fields} | parts
        values["stages"] = tuple(compact(stage) for stage in self.stages)
        found = type(self).model_construct(_fields_set=_NONE_SET, **values)
        found.__dict__["id"] = self.id
        return found


AnyPart = TypeVar("AnyPart", bound=Part)

_NONE_SET: set[str] = set()
"""Which fields a file set, as pydantic notes it: nothing here asks for that, so one set serves all."""


def compact(part: AnyPart) -> AnyPart:
    """Give a part that equals it, mostly one object for all that are equal."""
    found: AnyPart = _compact(part)
    return found


@lru_cache(maxsize=1024)
def _compact(part: Any) -> Any:
    return type(part).model_construct(_fields_set=_NONE_SET, **dict(part))


AUGMENTATION = ("flip", "rotation", "zoom")


class Design(Part):
    """A closed file: the architecture and how it is trained."""

    architecture: Architecture
    training: Training = Training()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Read a closed file's content; raises SpaceError."""
        given = data.get("training")
        training = validate_part(Training, {} if given is None else given, "training")
        architecture = Architecture.from_dict(data)
        changed = [name for name in AUGMENTATION if getattr(training, name)]
        if changed and architecture.task == "segmentation":
            raise SpaceError(
                f"training.{changed[0]} must be left out where the task is segmentation, "
                f"got {getattr(training, changed[0])}: it would move the image and not its mask"
            )
        if changed and len(architecture.input_shape) != 3:
            raise SpaceError(
                f"training.{changed[0]} needs images, got {getattr(training, changed[0])} for input_shape "
                f"{list(architecture.input_shape)}; leave it out"
            )
        return cls.model_construct(architecture=architecture, training=training)

    def compact(self) -> Design:
        """Give the same in as little memory as it takes, for a search that keeps thousands."""
        return Design.model_construct(
            architecture=self.architecture.compact(), training=compact(self.training)
        )

    @property
    def key(self) -> str:
        """The same for two designs that build the same network and train it in the same way."""
        decays = self.training.optimizer in ("adamw", "sgd")
        training = self.training if decays else self.training.model_copy(update={"weight_decay": 0.0})
        plain = training == Training()
        return self.architecture.id if plain else f"{self.architecture.id}/{training!r}"
