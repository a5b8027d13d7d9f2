"""Train one network at full length, from a shipped name, a file or a trial of a search."""

from nas.training.find_network import DataOverrides, ResolvedNetwork, closed_space
from nas.training.finished import FinishedTraining, is_training_folder, read_finished_training
from nas.training.prepare import prepare_training
from nas.training.train import TrainingProgress, TrainingResult, show_nothing

__all__ = [
    "DataOverrides",
    "FinishedTraining",
    "ResolvedNetwork",
    "TrainingProgress",
    "TrainingResult",
    "closed_space",
    "is_training_folder",
    "prepare_training",
    "read_finished_training",
    "show_nothing",
]
