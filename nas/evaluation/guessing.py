"""The qualities of the best constant answer to the validation split."""

from __future__ import annotations

import numpy as np

from nas.backends import TargetScale
from nas.data import Dataset
from nas.evaluation.label_metrics import constant_labels
from nas.evaluation.metrics import constant_answer
from nas.evaluation.number_metrics import constant_numbers

__all__ = ["constant_qualities"]


def constant_qualities(dataset: Dataset) -> dict[str, float]:
    """Return the qualities by name that an answer reaches on the validation split without looking."""
    truth = dataset.validation.y
    match dataset.task:
        case "multi_label":
            return constant_labels(np.asarray(truth))
        case "regression":
            return constant_numbers(np.asarray(truth), TargetScale.of(dataset.train.y))
        case _:
            return constant_answer(dataset.count_classes(dataset.validation))
