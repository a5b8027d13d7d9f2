"""Architecture: a network with all values closed, identified by the layers that it builds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from threading import Lock
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from nas.architecture.blocks import build_network
from nas.architecture.canonical import canonical_stages, simpler_values, without_names
from nas.architecture.layers import Graph, Layer, Span
from nas.architecture.notation import dump_yaml, expand_stages
from nas.architecture.parts import Decoder, Head, Part, Stage, Stem, Training
from nas.architecture.validation import validate_part
from nas.errors import SpaceError

__all__ = ["AUGMENTATION", "NEED_VALUE_RANGE", "Architecture", "Design", "LayerCache"]


class LayerCache:
    """The layers, and their spans, of the architectures whose layers were built last.

    The layers of one architecture take about 10 kB and a search holds thousands of architectures, so the
    cache has a maximum size. Entries are found by the identity of the architecture, because its hash and its
    equality depend on its layers.
    """

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        # By id(), which is not reused while the entry holds a reference to the architecture.
        self._entries: dict[int, tuple[Architecture, tuple[Layer, ...], tuple[Span, ...]]] = {}
        self._insertion = Lock()

    def get(self, architecture: Architecture) -> tuple[Layer, ...]:
        """Return the layers of an architecture; build them if they are not in the cache."""
        return self._entry(architecture)[1]

    def get_spans(self, architecture: Architecture) -> tuple[Span, ...]:
        """Return the spans of an architecture; build them if they are not in the cache."""
        return self._entry(architecture)[2]

    def _entry(self, architecture: Architecture) -> tuple[Architecture, tuple[Layer, ...], tuple[Span, ...]]:
        entry = self._entries.get(id(architecture))
        if entry is not None:
            return entry
        graph = Graph(architecture.input_shape)
        build_network(graph, architecture)
        entry = architecture, graph.finished(), tuple(graph.spans)
        with self._insertion:
            self._entries[id(architecture)] = entry
            if len(self._entries) > self.max_size:
                del self._entries[next(iter(self._entries))]
        return entry


LAYER_CACHE = LayerCache(max_size=200)
"""The cache of this process."""


class Architecture(Part):
    """A convolutional network: stem, stages, decoder (segmentation only) and head.

    Two architectures are equal, and have the same `id`, exactly when they build the same layers.
    """

    name: str = ""
    """Name of the file's network; no effect on the network or its `id`."""
    about: str = ""
    """Description for readers; no effect on the network or its `id`."""
    source: str = ""
    """Publication that the network comes from; no effect on the network or its `id`."""
    task: Literal["classification", "binary", "segmentation", "multi_label", "regression"] = "classification"
    """What the output is. `classification`: a probability per class (softmax). `binary`: the probability of
    the second of two classes (sigmoid). `segmentation`: a probability per class for each pixel.
    `multi_label`: a probability for each of several labels, of which any number apply (sigmoid).
    `regression`: numbers."""
    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=3)]
    """Shape of an example: [height, width, channels] of an image, or [length, channels] of a signal."""
    classes: Annotated[int, Field(ge=1, le=100_000)] = 2
    """Number of classes, of labels (`multi_label`) or of numbers (`regression`, from 1)."""
    rescale: bool = True
    """Whether the network divides its input by 255."""
    stem: Stem | None = None
    """Convolution before the first stage; null for none."""
    stages: tuple[Stage, ...] = ()
    """Stages in the order in which they run."""
    decoder: Decoder | None = None
    """Decoder of a segmentation network; null for one with its defaults."""
    head: Head | None = Head()
    """Layers after the last feature map; null makes the last feature map the output."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Build an architecture from the content of a closed file; ignores `training`, see `Design`.

        Raises SpaceError with the rule, the value and the fix.
        """
        explicit = {key: value for key, value in expand_stages(data).items() if key != "training"}
        architecture = validate_part(cls, explicit, "")
        architecture._check()
        return architecture

    def _check(self) -> None:
        if self.task != "regression" and self.classes < 2:
            raise SpaceError(f"classes must be at least 2, got {self.classes}; use 2 or more")
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
        return LAYER_CACHE.get(self)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The ranges of `layers` that form blocks and units, inner ranges before outer ones."""
        return LAYER_CACHE.get_spans(self)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits, the same for all architectures that build the same layers."""
        return hashlib.sha256(repr(without_names(self.layers)).encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def canonical(self) -> Architecture:
        """Return the canonical form of this architecture: values without an effect have their default."""
        stem, stages = canonical_stages(self.stem, self.stages, self.layers)
        best = self._with({"stem": stem, "stages": stages})
        for candidate in best._with_dropout_in_head():
            best = candidate if candidate.id == self.id else best
        for name in ("decoder", "head"):
            part: Part | None = getattr(best, name)
            for field in type(part).model_fields if part else ():
                for value in simpler_values(part, field) if part else ():
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

    def _with_dropout_in_head(self) -> Iterator[Architecture]:
        """Yield architectures in which the head has the dropout of the last stage, or of the decoder.

        They may build the same layers as this one.
        """
        if self.task != "segmentation" or self.head is None:
            return
        if self.stages and (rate := self.stages[-1].dropout):
            stages = (*self.stages[:-1], self.stages[-1].model_copy(update={"dropout": 0.0}))
            yield self._with({"stages": stages, "head": self.head.model_copy(update={"dropout": rate})})
        if self.decoder and (rate := self.decoder.dropout):
            decoder = self.decoder.model_copy(update={"dropout": 0.0})
            yield self._with({"decoder": decoder, "head": self.head.model_copy(update={"dropout": rate})})

    def _with(self, update: dict[str, Any]) -> Architecture:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_construct(**{**values, **update})

    def to_dict(self, training: Training | None = None) -> dict[str, Any]:
        """Return the canonical values as plain data, without values equal to their default.

        `training`, if given, is added under the key `training`.
        """
        canonical = self.canonical()
        values = canonical.model_dump(mode="json", exclude_defaults=True)
        values["task"] = canonical.task
        values["input_shape"] = list(canonical.input_shape)
        values["classes"] = canonical.classes
        data = {name: values[name] for name in type(self).model_fields if name in values}
        if training is not None:
            data["training"] = training.model_dump(mode="json", exclude_defaults=True)
        return data

    def to_yaml(self, training: Training | None = None) -> str:
        """Return the architecture, with `training` if given, as YAML."""
        return dump_yaml(self.to_dict(training))

    def compact(self) -> Architecture:
        """Return an equal architecture that takes as little memory as possible."""
        parts = {
            name: share_part(part) for name in ("stem", "decoder", "head") if (part := getattr(self, name))
        }
        values = {name: getattr(self, name) for name in type(self).model_fields} | parts
        values["stages"] = tuple(share_part(stage) for stage in self.stages)
        compacted = type(self).model_construct(_fields_set=_NO_FIELDS, **values)
        compacted.__dict__["id"] = self.id
        return compacted


PartT = TypeVar("PartT", bound=Part)

_NO_FIELDS: set[str] = set()
"""The set of fields that a file sets, which pydantic stores with each part. No code here reads it, so all
compact parts share this one."""


def share_part(part: PartT) -> PartT:
    """Return a part equal to this one; the same object for the equal parts of recent calls."""
    shared: PartT = _share_part(part)
    return shared


@lru_cache(maxsize=1024)
def _share_part(part: Any) -> Any:
    return type(part).model_construct(_fields_set=_NO_FIELDS, **dict(part))


OF_IMAGES = ("flip", "crop", "translation", "rotation", "zoom", "brightness", "contrast", "cutout")
"""Fields of Training that change images at random."""

AUGMENTATION = (*OF_IMAGES, "mixup", "label_smoothing")
"""Fields of Training that change training examples or their labels, so that a network generalizes better."""

NEED_VALUE_RANGE = ("brightness", "contrast", "cutout")
"""Fields of Training that need the range of the images' values."""


class Design(Part):
    """The content of a closed file: an architecture and how it is trained."""

    architecture: Architecture
    training: Training = Training()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Build a design from the content of a closed file; raises SpaceError."""
        values = data.get("training")
        training = validate_part(Training, {} if values is None else values, "training")
        architecture = Architecture.from_dict(data)
        _check_training(training, architecture)
        return cls.model_construct(architecture=architecture, training=training)

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value of the images that the network takes."""
        if self.architecture.rescale or self.training.value_range is None:
            return 0.0, 255.0
        low, high = self.training.value_range
        return low, high

    def compact(self) -> Design:
        """Return an equal design that takes as little memory as possible, for searches with thousands."""
        return Design.model_construct(
            architecture=self.architecture.compact(), training=share_part(self.training)
        )

    @property
    def key(self) -> str:
        """A text that is the same for designs that build the same network and train it in the same way."""
        decays = self.training.optimizer in ("adamw", "sgd")
        training = self.training if decays else self.training.model_copy(update={"weight_decay": 0.0})
        plain = training == Training()
        return self.architecture.id if plain else f"{self.architecture.id}/{training!r}"


def _check_training(training: Training, architecture: Architecture) -> None:
    """Raise SpaceError if an architecture cannot be trained like this."""
    shape, segmentation = architecture.input_shape, architecture.task == "segmentation"
    names = [name for name in OF_IMAGES if getattr(training, name)]
    if names and len(shape) != 3:
        raise SpaceError(
            f"training.{names[0]} needs images, got {getattr(training, names[0])} "
            f"for input_shape {list(shape)}; leave it out"
        )
    if training.crop and training.crop >= min(shape[:2]):
        raise SpaceError(
            f"training.crop must be under the image's size, got {training.crop} for input_shape "
            f"{list(shape)}; use for example {min(shape[:2]) // 8}"
        )
    if training.value_range is not None and training.value_range[0] >= training.value_range[1]:
        raise SpaceError(
            "training.value_range must be [least, greatest], "
            f"got {list(training.value_range)}; write for example [0, 1]"
        )
    of_values = [name for name in NEED_VALUE_RANGE if getattr(training, name)]
    if of_values and not architecture.rescale and training.value_range is None:
        raise SpaceError(
            f"training.{of_values[0]} needs the range of the images' values where rescale is false, "
            "got value_range null; write for example value_range: [0, 1]"
        )
    of_classes = architecture.task in ("classification", "binary")
    if training.mixup and not of_classes:
        raise SpaceError(
            f"training.mixup must be left out where the task is {architecture.task}, got {training.mixup}: "
            "it mixes the classes of examples"
        )
    if training.label_smoothing and not (of_classes or segmentation):
        raise SpaceError(
            f"training.label_smoothing must be left out where the task is {architecture.task}, got "
            f"{training.label_smoothing}: it spreads a label over classes"
        )
    if training.class_weight != "none" and not of_classes:
        raise SpaceError(
            f"training.class_weight must be left out where the task is {architecture.task}, "
            f"got '{training.class_weight}': it weights examples by their class"
        )
