"""What `nas train` is given: one network, by a shipped name, a file or a trial, and its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Design, Training, validate_part
from nas.data import DataOptions, Dataset, load_dataset
from nas.errors import InputError
from nas.record import SearchRecord
from nas.searching import Plan
from nas.space import SearchSpace, shipped_files
from nas.training.starting_weights import find_trial, trial_words

__all__ = ["DataChoice", "Network", "find_network", "retrained"]

SAID_BY_DATA = ("input_shape", "classes", "task", "rescale")


@dataclass(frozen=True)
class DataChoice:
    """What a user says of the data; None: the search's for a trial, else the default."""

    source: str | None = None
    image_size: int | None = None
    train_limit: int | None = None
    ignore_label: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Network:
    """A closed design, made for a data set."""

    name: str  # the file's, or the search's with the trial's number
    design: Design
    dataset: Dataset
    seed: int


def find_network(which: str, choice: DataChoice) -> Network:
    """Find a network and load its data.

    `which`: a shipped name (which takes the data's input and classes), a YAML file (which may leave them
    out) or NAME:TRIAL. Raises InputError and its kinds: an unknown name, a file with open values, data
    that the network does not fit.
    """
    words = trial_words(which)
    if words is not None:
        return _of_trial(*words, choice)
    closed = None if Path(which).is_file() else shipped_files("models").get(which)  # a space may have the same name
    space = SearchSpace.load(closed or which)
    if space.open_values:
        raise InputError(
            f"nas train takes one network, got '{which}' with {len(space.open_values)} open values; "
            f"search it with nas search --space {which}, then train NAME:TRIAL"
        )
    seed = choice.seed or 0
    dataset = load_dataset(choice.source or "digits", _options(choice, seed))
    data = _without(space.data, ("input_shape", "classes")) if closed else space.data
    design = _made_for(data, space, dataset)
    return Network(space.name or Path(which).stem, design, dataset, seed)


def _of_trial(name: str | None, number: int, choice: DataChoice) -> Network:
    record = SearchRecord.open(name)
    trial, plan = find_trial(record, number), Plan.parse(record.config)
    label = f"{record.name}-{number}"
    seed = plan.seed if choice.seed is None else choice.seed
    if choice.source is not None:
        options = _options(choice, seed)
    else:
        options = DataOptions(
            image_size=choice.image_size or plan.image_size,
            train_limit=choice.train_limit or plan.train_limit,
            ignore_label=plan.ignore_label if choice.ignore_label is None else choice.ignore_label,
            seed=seed,
        )
    dataset = load_dataset(choice.source or plan.data, options)
    if (choice.source, choice.image_size) == (None, None):
        return Network(label, trial.design, dataset, seed)
    data = trial.design.architecture.to_dict()
    data["training"] = trial.training.model_dump(mode="json")
    kept = _without(data, SAID_BY_DATA if data["task"] != "binary" else ("input_shape", "classes", "rescale"))
    return Network(label, _made_for(kept, SearchSpace(kept, f"trial {number}"), dataset), dataset, seed)


def _options(choice: DataChoice, seed: int) -> DataOptions:
    return DataOptions(
        image_size=choice.image_size,
        train_limit=choice.train_limit,
        ignore_label=choice.ignore_label,
        seed=seed,
    )


def _without(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in names}


def _made_for(data: dict[str, Any], space: SearchSpace, dataset: Dataset) -> Design:
    bound = SearchSpace(data, space.origin).bind(
        dataset.shape, len(dataset.classes), dataset.task, dataset.rescale
    )
    return bound.design({})


def retrained(design: Design, changes: dict[str, Any]) -> Design:
    """Give the design with other values of how it is trained, such as batch_size; raises SpaceError."""
    values = {**design.training.model_dump(), **changes}
    return Design.model_construct(
        architecture=design.architecture, training=validate_part(Training, values, "training")
    )
