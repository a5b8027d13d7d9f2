"""Prepare a training from what a user gives: the network, the data, and how to train it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Design
from nas.executors import exit_if_imported_by_worker
from nas.training.find_network import DataOverrides, ResolvedNetwork, find_network, replace_training
from nas.training.train import TrainingOptions, TrainingProgress, TrainingResult, show_nothing, train_network

__all__ = ["PreparedTraining", "prepare_training"]


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to run."""

    network: ResolvedNetwork
    design: Design  # with the training values that the user set
    options: TrainingOptions

    def run(self, show: Callable[[TrainingProgress], None] = show_nothing) -> TrainingResult:
        """Train, or resume the training in the same folder; see `train_network`."""
        return train_network(self.design, self.network.dataset, self.options, show, self.network.name)


def prepare_training(
    network: str,
    data: DataOverrides,
    *,
    epochs: int = 30,
    patience: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    class_weight: str | None = None,
    weights: str = "",
    fine_tune: bool = False,
    out: Path | None = None,
    formats: Sequence[str] = ("keras", "python"),
    progress: Callable[[str], None] | None = None,
) -> PreparedTraining:
    """Find a network, load its data and set how it is trained; see `nas.train` for the parameters.

    Fine-tuning divides the network's learning rate by 10 unless one is given. Raises InputError.
    """
    exit_if_imported_by_worker()
    resolved = find_network(network, data, progress)
    changes: dict[str, Any] = {}
    if batch_size is not None:
        changes["batch_size"] = batch_size
    if class_weight is not None:
        changes["class_weight"] = class_weight
    if learning_rate is not None:
        changes["learning_rate"] = learning_rate
    elif fine_tune:
        changes["learning_rate"] = resolved.design.training.learning_rate / 10
    options = TrainingOptions(
        out=out or Path("trained") / resolved.name,
        epochs=epochs,
        patience=patience,
        seed=resolved.seed,
        weights=weights,
        fine_tune=fine_tune,
        formats=tuple(formats),
        data_options=resolved.data_options,
    )
    design = replace_training(resolved.design, changes) if changes else resolved.design
    return PreparedTraining(resolved, design, options)
