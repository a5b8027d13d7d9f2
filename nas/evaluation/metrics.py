"""Compute metrics from sums over batches."""

from __future__ import annotations

import numpy as np

__all__ = ["constant_answer", "mean_iou", "mean_metrics"]


def mean_metrics(sums: np.ndarray) -> dict[str, float]:
    """Return loss and accuracy from the sums (loss, correct answers, answers)."""
    loss, correct, answers = sums
    return {"loss": float(loss / max(answers, 1)), "accuracy": float(correct / max(answers, 1))}


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean intersection over union of the classes that occur in the truth or in the predictions.

    `confusion`: (classes, classes), the number of answers by true and predicted class.
    """
    intersections = np.diag(confusion).astype(float)
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - intersections
    present = unions > 0
    return float(np.mean(intersections[present] / unions[present])) if present.any() else 0.0


def constant_answer(counts: np.ndarray) -> dict[str, float]:
    """Return the qualities of answering with the most frequent class always.

    `counts`: (classes,), the number of examples, or of pixels, of each class.
    """
    confusion = np.zeros((len(counts), len(counts)), np.int64)
    confusion[:, int(np.argmax(counts))] = counts
    return {"accuracy": float(counts.max() / max(1, counts.sum())), "mean_iou": mean_iou(confusion)}
