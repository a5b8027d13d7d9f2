"""Training and validating one network, from and to a checkpoint."""

from nas.evaluation.checkpoint import State, read_state, write_state
from nas.evaluation.job import (
    Evaluation,
    Job,
    evaluate,
    load_tensorflow,
    load_weights,
    predict,
    score_test_split,
)

__all__ = [
    "Evaluation",
    "Job",
    "State",
    "evaluate",
    "load_tensorflow",
    "load_weights",
    "predict",
    "read_state",
    "score_test_split",
    "write_state",
]
