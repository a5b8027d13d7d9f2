"""Resolve the network to train, given by a shipped name, a file or a trial, together with its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.architecture import Design, Training, validate_part
from nas.data import DataOptions, Dataset, load_dataset
from nas.errors import InputError
from nas.record import SearchRecord, parse_trial_reference, recorded_trial
from nas.searching import Plan
from nas.space import SearchSpace, find_network_file

__all__ = ["DataOverrides", "ResolvedNetwork", "closed_space", "find_network", "replace_training"]


@dataclass(frozen=True)
class DataOverrides:
    """What a user sets of the data; what is not set is that of the search for a trial, else the default."""

    source: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # names and values of `DataOptions`
    seed: int | None = None


@dataclass(frozen=True)
class ResolvedNetwork:
    """A design that fits a data set."""

    name: str  # of the file, or of the search with the number of the trial
    design: Design
    dataset: Dataset
    seed: int
    data_options: DataOptions  # by which the data were read


def find_network(
    network: str, data: DataOverrides, progress: Callable[[str], None] | None = None
) -> ResolvedNetwork:
    """Find a network and load its data.

    network: a shipped name (takes input and classes of the data), a YAML file (may omit them) or NAME:TRIAL.
    progress: receives a line every few seconds while examples are read.

    Raises InputError and its subclasses: an unknown name, a file with open values, data that the network does
    not fit.
    """
    reference = parse_trial_reference(network)
    if reference is not None:
        return _trial_network(*reference, data, progress)
    space = closed_space(
        network, "nas train", f"search it with nas search --space {network}, then train NAME:TRIAL"
    )
    seed = data.seed or 0
    options = DataOptions.parse(data.options)
    dataset = load_dataset(data.source or "digits", options, progress)
    is_shipped = find_network_file(network) != network
    values = _without(space.data, _set_by_data(space.data, dataset)) if is_shipped else space.data
    design = _design_for(values, space, dataset)
    return ResolvedNetwork(space.name or Path(network).stem, design, dataset, seed, options)


def closed_space(network: str, command: str, fix: str) -> SearchSpace:
    """Return the content of a shipped network or a file without open values; raises InputError otherwise.

    A shipped network has priority over a shipped space of the same name.
    """
    space = SearchSpace.load(find_network_file(network))
    if space.open_values:
        raise InputError(
            f"{command} takes one network, got '{network}' with {len(space.open_values)} open values; {fix}"
        )
    return space


def _trial_network(
    name: str | None, number: int, data: DataOverrides, progress: Callable[[str], None] | None
) -> ResolvedNetwork:
    record = SearchRecord.open(name)
    trial, plan = recorded_trial(record, number), Plan.parse(record.config)
    label = f"{record.name}-{number}"
    seed = plan.seed if data.seed is None else data.seed
    kept = {} if data.source else plan.model_dump(include=set(DataOptions.model_fields))
    options = DataOptions.parse({**kept, **data.options})
    dataset = load_dataset(data.source or plan.data, options, progress)
    if data.source is None and "image_size" not in data.options:
        return ResolvedNetwork(label, trial.design, dataset, seed, options)
    values = trial.design.architecture.to_dict()
    values["training"] = trial.training.model_dump(mode="json", exclude={"value_range"})
    values = _without(values, (*_set_by_data(values, dataset), "rescale"))
    design = _design_for(values, SearchSpace(values, f"trial {number}"), dataset)
    return ResolvedNetwork(label, design, dataset, seed, options)


def _set_by_data(values: dict[str, Any], dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the values that the data determine.

    They include the task, but a network for two classes stays binary, and one for segmentation stays one.
    """
    is_kept = values.get("task") == "segmentation" or (
        values.get("task") == "binary" and dataset.task == "classification"
    )
    return ("input_shape", "classes", *(() if is_kept else ("task",)))


def _without(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _design_for(values: dict[str, Any], space: SearchSpace, dataset: Dataset) -> Design:
    bound = SearchSpace(values, space.origin).bind(
        dataset.shape, len(dataset.classes), dataset.task, dataset.rescale, dataset.value_range
    )
    return bound.design({})


def replace_training(design: Design, changes: dict[str, Any]) -> Design:
    """Return the design with other values of its training, such as batch_size; raises SpaceError."""
    values = {**design.training.model_dump(), **changes}
    return Design.model_construct(
        architecture=design.architecture, training=validate_part(Training, values, "training")
    )
