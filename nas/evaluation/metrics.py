"""Compute metrics from sums over batches."""

from __future__ import annotations

import numpy as np

__all__ = ["mean_iou", "mean_metrics"]


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
