"""Train one network at full length, from a shipped name, a file or a trial of a search."""

from nas.training.find_network import DataOverrides, ResolvedNetwork, closed_space
from nas.training.prepare import prepare_training
from nas.training.train import TrainingProgress, TrainingResult, show_nothing

__all__ = [
    "DataOverrides",
    "ResolvedNetwork",
    "TrainingProgress",
    "TrainingResult",
    "closed_space",
    "prepare_training",
    "show_nothing",
]
