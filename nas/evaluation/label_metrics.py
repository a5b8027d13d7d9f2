"""Qualities of multi-label classification and their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.evaluation.metrics import mean_ratio, ratio_error, ratio_influence

__all__ = ["LabelAnswers", "average_precisions", "constant_labels"]


@dataclass(frozen=True)
class LabelAnswers:
    """The answers to a split for multi-label classification, by example."""

    truth: np.ndarray  # (n, labels) int, 1 where a label applies
    scores: np.ndarray  # (n, labels) logits: over 0 where the label is predicted
    losses: np.ndarray  # (n,) means over the labels

    @property
    def predicted(self) -> np.ndarray:
        """The predicted labels, those of a probability over 0.5: (n, labels) int."""
        return (self.scores > 0).astype(np.int32)

    def saved(self) -> dict[str, np.ndarray]:
        """Return the arrays that are kept with a checkpoint, small."""
        return {"predicted": self.predicted.astype(np.bool_), "losses": self.losses.astype(np.float32)}

    def metrics(self) -> dict[str, float]:
        """Return loss, map, macro_f1 and label_accuracy.

        `map` is the mean average precision over the labels that occur. Macro F1 is the mean over the labels
        that occur in the truth or in the predictions. Label accuracy is the share of labels that are right.
        """
        hits, sizes = self._hits_and_sizes()
        return {
            "loss": float(self.losses.mean(dtype=float)),
            "map": float(self._average_precisions()[0].sum()),
            "macro_f1": mean_ratio(hits.sum(axis=0), sizes.sum(axis=0)),
            "label_accuracy": float(np.mean(self.truth == self.predicted)),
        }

    def standard_errors(self) -> dict[str, float]:
        """Return the standard error of each metric on this split.

        The labels of one example are alike, so that examples are counted. Average precision and F1: delta
        method, from the influence of each example. Label accuracy: a mean, with one example added whose
        labels are all right and one whose labels are all wrong, as for the accuracy of classes.
        """
        examples = len(self.truth)
        influence = self._average_precisions()[1].sum(axis=1)
        shares = np.append(np.mean(self.truth == self.predicted, axis=1), [0.0, 1.0])
        return {
            "loss": float(self.losses.std(ddof=min(1, examples - 1), dtype=float) / np.sqrt(examples)),
            "map": float(np.sqrt(np.sum(influence**2))),
            "macro_f1": ratio_error(*self._hits_and_sizes()),
            "label_accuracy": float(np.sqrt(shares.var() / examples)),
        }

    def contributions(self, name: str) -> np.ndarray:
        """Return numbers (n,), one for each example, whose mean is a metric; see `Answers.contributions`."""
        examples = len(self.truth)
        if name == "loss":
            return self.losses.astype(float)
        if name == "label_accuracy":
            return np.asarray(np.mean(self.truth == self.predicted, axis=1))
        if name == "map":
            influence = self._average_precisions()[1].sum(axis=1)
        else:  # macro_f1
            influence = ratio_influence(*self._hits_and_sizes())
        return np.asarray(self.metrics()[name] + examples * influence)

    def _average_precisions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `average_precisions` of the labels that occur, divided by their number."""
        present = self.truth.any(axis=0)
        values, influences = average_precisions(self.truth[:, present], self.scores[:, present])
        return values / max(1, present.sum()), influences / max(1, present.sum())

    def _hits_and_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return parts and wholes of each label's F1: 2 where it is right, true plus predicted."""
        return 2 * self.truth * self.predicted, self.truth + self.predicted


def average_precisions(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision of each label and the influence of each example on it.

    Arrays (labels,) and (n, labels), nan for a label that does not occur. The average precision is the mean
    over the examples with the label of the precision among the examples with at least its score, as
    scikit-learn's `average_precision_score`. The influence is its derivative by the weight of an example.
    """
    values, influences = np.full(truth.shape[1], np.nan), np.full(truth.shape, np.nan)
    for label in range(truth.shape[1]):
        y = truth[:, label].astype(float)
        if not y.any():
            continue
        group = np.unique(-scores[:, label], return_inverse=True)[1]  # of equal scores, the greatest first
        positive, sizes = np.bincount(group, weights=y), np.cumsum(np.bincount(group))
        precision = np.cumsum(positive) / sizes
        value = np.sum(positive * precision) / y.sum()
        weight = positive / sizes
        gain, loss = (np.cumsum(part[::-1])[::-1] for part in (weight, weight * precision))
        influence = y * (precision[group] - value + gain[group]) - loss[group]
        values[label], influences[:, label] = value, influence / y.sum()
    return values, influences


def constant_labels(truth: np.ndarray) -> dict[str, float]:
    """Return the qualities of the best constant answer to labels (n, labels).

    It is for each metric its own: equal scores, every label (macro F1), the more frequent of 0 and 1 for each
    label, and for the loss the share of each label as its probability.
    """
    shares = truth.mean(axis=0)
    occurring = shares[shares > 0]
    probabilities = np.clip(shares, 1e-12, 1 - 1e-12)
    entropies = -shares * np.log(probabilities) - (1 - shares) * np.log(1 - probabilities)
    return {
        "map": float(np.mean(occurring)) if len(occurring) else 0.0,
        "macro_f1": float(np.mean(2 * shares / (1 + shares))),
        "label_accuracy": float(np.mean(np.maximum(shares, 1 - shares))),
        "val_loss": float(np.mean(entropies)),
    }
