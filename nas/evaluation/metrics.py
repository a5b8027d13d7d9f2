"""Compute qualities and their standard errors from a network's answers on a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Answers",
    "PixelAnswers",
    "confusion_matrix",
    "constant_answer",
    "mean_metrics",
    "mean_ratio",
    "ratio_error",
    "ratio_influence",
]


@dataclass(frozen=True)
class Answers:
    """The answers to a split for classification, by example."""

    truth: np.ndarray  # (n,) int, the true classes
    predicted: np.ndarray  # (n,) int
    losses: np.ndarray  # (n,)
    scores: np.ndarray | None  # (n,) for two classes: greater for the second class; else None
    classes: int

    def saved(self) -> dict[str, np.ndarray]:
        """Return the arrays that are kept with a checkpoint, small."""
        return {"predicted": self.predicted.astype(np.int32), "losses": self.losses.astype(np.float32)}

    def metrics(self) -> dict[str, float]:
        """Return loss, accuracy, balanced_accuracy, macro_f1 and, for two classes, auc."""
        confusion = confusion_matrix(self.truth, self.predicted, self.classes)
        found = {"loss": float(self.losses.mean(dtype=float)), **_class_metrics(confusion)}
        if self.scores is not None:
            found["auc"] = float(np.mean(self._placements()[0]))
        return found

    def standard_errors(self) -> dict[str, float]:
        """Return the standard error of each metric on this split.

        Accuracy and each class's recall are binomial; the recalls of the classes are independent. The loss is
        a mean. Macro F1: delta method, from the influence of each example. AUC: DeLong, DeLong and
        Clarke-Pearson, 1988.
        """
        confusion = confusion_matrix(self.truth, self.predicted, self.classes)
        counts, examples = confusion.sum(axis=1), len(self.truth)
        present = counts > 0
        # A share of 0 or 1 of few examples is not exact: one hit and one miss are added to all examples, and
        # to each class one example that is a hit with the probability of all.
        share = (np.trace(confusion) + 1) / (examples + 2)
        recall = (np.diag(confusion)[present] + share) / (counts[present] + 1)
        variance = np.sum(recall * (1 - recall) / counts[present])
        influence = _f1_influence(confusion)[self.truth, self.predicted]
        found = {
            "loss": float(self.losses.std(ddof=min(1, examples - 1), dtype=float) / np.sqrt(examples)),
            "accuracy": float(np.sqrt(share * (1 - share) / examples)),
            "balanced_accuracy": float(np.sqrt(variance) / present.sum()),
            "macro_f1": float(np.sqrt(np.sum(influence**2))),
        }
        if self.scores is not None:
            parts = [part.var(ddof=1) / len(part) for part in self._placements() if len(part) > 1]
            found["auc"] = float(np.sqrt(np.sum(parts)))
        return found

    def contributions(self, name: str) -> np.ndarray:
        """Return numbers (n,), one for each example, whose mean is a metric and whose spread is its error.

        Of a mean, such as accuracy, they are what is averaged. Any other metric is linearized: the metric
        plus n times the influence of the example (the infinitesimal jackknife; Efron, The Jackknife, the
        Bootstrap and Other Resampling Plans, 1982, chapter 6).
        """
        hits, examples = self.truth == self.predicted, len(self.truth)
        value = self.metrics()[name]
        if name == "loss":
            return self.losses.astype(float)
        if name == "accuracy":
            return np.asarray(hits, dtype=float)
        confusion = confusion_matrix(self.truth, self.predicted, self.classes)
        if name == "balanced_accuracy":
            counts = confusion.sum(axis=1)
            recall = np.diag(confusion) / np.maximum(counts, 1)
            influence = (hits - recall[self.truth]) / (counts[self.truth] * np.count_nonzero(counts))
        elif name == "macro_f1":
            influence = _f1_influence(confusion)[self.truth, self.predicted]
        else:  # auc
            influence, (second, first) = np.zeros(examples), self._placements()
            if len(second) + len(first) == examples:  # else one of the classes is absent
                influence[self.truth == 1] = (second - value) / len(second)
                influence[self.truth == 0] = (first - value) / len(first)
        return np.asarray(value + examples * influence)

    def _placements(self) -> tuple[np.ndarray, np.ndarray]:
        """Return for each example of the second class the share of the first with a lower score, and for each
        example of the first class the share of the second with a higher one; equal scores count half.

        The mean of either is the area under the curve. (Sun and Xu, 2014, compute them from ranks.)
        """
        assert self.scores is not None
        second = self.truth == 1
        high, low = self.scores[second], self.scores[~second]
        if not len(high) or not len(low):
            return np.array([0.5]), np.array([0.5])
        ranks = _ranks(self.scores)
        return (ranks[second] - _ranks(high)) / len(low), 1 - (ranks[~second] - _ranks(low)) / len(high)


@dataclass(frozen=True)
class PixelAnswers:
    """The answers to a split for segmentation, counted for each image; ignored pixels are left out."""

    losses: np.ndarray  # (n,) sum over the pixels
    correct: np.ndarray  # (n,) pixels
    counted: np.ndarray  # (n,) pixels
    intersections: np.ndarray  # (n, classes) pixels that are of a class and predicted as it
    unions: np.ndarray  # (n, classes) pixels that are of a class or predicted as it

    def saved(self) -> dict[str, np.ndarray]:
        """Return the arrays that are kept with a checkpoint, small."""
        return {"intersections": self.intersections.sum(axis=0), "unions": self.unions.sum(axis=0)}

    def metrics(self) -> dict[str, float]:
        """Return loss, accuracy and mean_iou: the mean over the classes that occur."""
        total = max(1.0, float(self.counted.sum(dtype=float)))
        iou = mean_ratio(self.intersections.sum(axis=0, dtype=float), self.unions.sum(axis=0, dtype=float))
        loss, correct = (float(part.sum(dtype=float)) / total for part in (self.losses, self.correct))
        return {"loss": loss, "accuracy": correct, "mean_iou": iou}

    def standard_errors(self) -> dict[str, float]:
        """Return the standard error of each metric on this split.

        Pixels of one image are alike, so that images are counted: each metric is a ratio of sums over images,
        or a mean of such ratios, linearized (Cochran, Sampling Techniques, 1977, section 6).
        """
        counted = self.counted[:, None]
        return {
            "loss": ratio_error(self.losses[:, None], counted),
            "accuracy": ratio_error(self.correct[:, None], counted),
            "mean_iou": ratio_error(self.intersections, self.unions),
        }

    def contributions(self, name: str) -> np.ndarray:
        """Return numbers (n,), one for each image, whose mean is a metric; see `Answers.contributions`."""
        ratios = {"loss": self.losses[:, None], "accuracy": self.correct[:, None]}
        if name == "mean_iou":
            influence = ratio_influence(self.intersections, self.unions)
        else:
            influence = ratio_influence(ratios[name], self.counted[:, None])
        return np.asarray(self.metrics()[name] + len(influence) * influence)


def mean_metrics(sums: np.ndarray, name: str = "accuracy") -> dict[str, float]:
    """Return loss and accuracy from the sums (loss, correct answers, answers).

    `name`: of the second value where it is another one.
    """
    loss, correct, answers = sums
    return {"loss": float(loss / max(answers, 1)), name: float(correct / max(answers, 1))}


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of answers by true and predicted class: int64 (classes, classes)."""
    cells = truth.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def constant_answer(counts: np.ndarray) -> dict[str, float]:
    """Return the qualities of the best constant answer to a split.

    It is the most frequent class always; for the loss, the share of each class as its probability. `counts`:
    (classes,), the number of examples, or of pixels, of each class.
    """
    confusion = np.zeros((len(counts), len(counts)), np.int64)
    most = int(np.argmax(counts))
    confusion[:, most] = counts
    shares = counts[counts > 0] / counts.sum()
    unions = np.where(np.arange(len(counts)) == most, counts.sum(), counts)
    return {
        **_class_metrics(confusion),
        "mean_iou": mean_ratio(np.diag(confusion), unions),
        "auc": 0.5,
        "val_loss": float(-np.sum(shares * np.log(shares))),
    }


def _class_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy (mean recall of the classes that occur) and macro F1.

    Macro F1 is the mean over the classes that occur in the truth or in the predictions.
    """
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present, used = true > 0, true + predicted > 0
    return {
        "accuracy": float(hits.sum() / max(1, confusion.sum())),
        "balanced_accuracy": float(np.mean(hits[present] / true[present])),
        "macro_f1": float(np.mean(2 * hits[used] / (true + predicted)[used])),
    }


def _f1_influence(confusion: np.ndarray) -> np.ndarray:
    """Return the influence of one answer on macro F1, by its true and predicted class.

    It is the derivative of the mean of 2 hits / (true + predicted) by the number of such answers.
    """
    hits, sizes = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    used = sizes > 0
    gain = np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=used)
    loss = -2.0 * hits * gain**2
    influence = loss[:, None] + loss[None, :] + np.diag(2.0 * gain)
    return np.asarray(influence / used.sum())


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of scores from 1; equal ones have their mean rank."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def mean_ratio(parts: np.ndarray, wholes: np.ndarray) -> float:
    """Return the mean of parts / wholes, arrays (m,), of those with a whole over 0; 0.0 if there is none."""
    present = wholes > 0
    return float(np.mean(parts[present] / wholes[present])) if present.any() else 0.0


def ratio_error(parts: np.ndarray, wholes: np.ndarray) -> float:
    """Return the standard error of the mean over columns of sum(parts) / sum(wholes), of arrays (n, m)."""
    count = len(parts)
    if count < 2:
        return 0.0
    return float(np.sqrt(count / (count - 1) * np.sum(ratio_influence(parts, wholes) ** 2)))


def ratio_influence(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Return the influence (n,) of each row on the mean over columns of sum(parts) / sum(wholes)."""
    totals = wholes.sum(axis=0, dtype=float)
    present = totals > 0
    if not present.any():
        return np.zeros(len(parts))
    parts, wholes, totals = parts[:, present].astype(float), wholes[:, present].astype(float), totals[present]
    return np.asarray(((parts - wholes * (parts.sum(axis=0) / totals)) / totals).mean(axis=1))
