"""Training one network at full length."""

from nas.training.find_network import DataChoice, Network, find_network, retrained
from nas.training.train import Progress, Trained, TrainOptions, train_network

__all__ = [
    "DataChoice",
    "Network",
    "Progress",
    "TrainOptions",
    "Trained",
    "find_network",
    "retrained",
    "train_network",
]
