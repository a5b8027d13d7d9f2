"""Train and validate a network, from initial weights or a checkpoint, and write a checkpoint."""

from nas.evaluation.checkpoint import State, load_weights, read_state, write_state
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.job import Evaluation, Job

__all__ = ["Evaluation", "Evaluator", "Job", "State", "load_weights", "read_state", "write_state"]
