"""Train and validate a network, from initial weights or a checkpoint, and write a checkpoint."""

from nas.evaluation.checkpoint import State, load_weights, read_answers, read_state, write_state
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.guessing import constant_qualities
from nas.evaluation.job import Evaluation, Job, Progress
from nas.evaluation.label_metrics import LabelAnswers, average_precisions
from nas.evaluation.metrics import Answers, confusion_matrix
from nas.evaluation.number_metrics import NumberAnswers
from nas.evaluation.outputs import AnyAnswers, answer_with, judge_outputs, quality_values

__all__ = [
    "Answers",
    "AnyAnswers",
    "Evaluation",
    "Evaluator",
    "Job",
    "LabelAnswers",
    "NumberAnswers",
    "Progress",
    "State",
    "answer_with",
    "average_precisions",
    "confusion_matrix",
    "constant_qualities",
    "judge_outputs",
    "load_weights",
    "quality_values",
    "read_answers",
    "read_state",
    "write_state",
]
