"""Train and validate a network, from initial weights or a checkpoint, and write a checkpoint."""

from nas.evaluation.checkpoint import State, load_weights, read_state, write_state
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.job import Evaluation, Job
from nas.evaluation.metrics import constant_answer

__all__ = [
    "Evaluation",
    "Evaluator",
    "Job",
    "State",
    "constant_answer",
    "load_weights",
    "read_state",
    "write_state",
]
