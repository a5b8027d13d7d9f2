"""Qualities of regression and their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.backends import TargetScale
from nas.evaluation.metrics import mean_ratio, ratio_error, ratio_influence

__all__ = ["NumberAnswers", "constant_numbers"]


@dataclass(frozen=True)
class NumberAnswers:
    """The answers to a split for regression, by example."""

    truth: np.ndarray  # (n, numbers)
    predicted: np.ndarray  # (n, numbers)
    losses: np.ndarray  # (n,) means over the numbers of squared errors in standard deviations of the training

    def saved(self) -> dict[str, np.ndarray]:
        """Return the arrays that are kept with a checkpoint, small."""
        return {"predicted": self.predicted.astype(np.float32), "losses": self.losses.astype(np.float32)}

    def select(self, number: int) -> NumberAnswers:
        """Return the answers for one of the numbers."""
        chosen = slice(number, number + 1)
        return NumberAnswers(self.truth[:, chosen], self.predicted[:, chosen], self.losses)

    def metrics(self) -> dict[str, float]:
        """Return loss, r2, mae and rmse.

        All but the loss are means over the numbers. `r2` is the share of the variance that is explained; a
        number that does not vary is left out.
        """
        errors = self._errors()
        return {
            "loss": float(self.losses.mean(dtype=float)),
            "r2": 1.0 - mean_ratio((errors**2).sum(axis=0), self._squares().sum(axis=0)),
            "mae": float(np.abs(errors).mean()),
            "rmse": float(np.sqrt((errors**2).mean(axis=0)).mean()),
        }

    def standard_errors(self) -> dict[str, float]:
        """Return the standard error of each metric on this split.

        Loss and mae are means; the others are linearized, from the influence of each example.
        """
        examples, squares = len(self.truth), self._errors() ** 2
        ddof = min(1, examples - 1)
        found = {
            name: float(self.contributions(name).std(ddof=ddof) / examples**0.5)
            for name in ("loss", "mae", "rmse")
        }
        return found | {"r2": ratio_error(squares, self._squares())}

    def contributions(self, name: str) -> np.ndarray:
        """Return numbers (n,), one for each example, whose mean is a metric; see `Answers.contributions`."""
        errors = self._errors()
        if name == "loss":
            return self.losses.astype(float)
        if name == "mae":
            return np.asarray(np.abs(errors).mean(axis=1))
        if name == "rmse":
            rmse = np.sqrt((errors**2).mean(axis=0))
            # The derivative of the root: a number whose errors are all 0 adds nothing.
            return np.asarray(((errors**2 / np.where(rmse > 0, rmse, 1.0) + rmse) / 2).mean(axis=1))
        influence = ratio_influence(errors**2, self._squares())
        return np.asarray(self.metrics()["r2"] - len(errors) * influence)

    def _errors(self) -> np.ndarray:
        errors: np.ndarray = self.predicted.astype(float) - self.truth
        return errors

    def _squares(self) -> np.ndarray:
        """Return the squared deviations of the truth from its mean: (n, numbers)."""
        squares: np.ndarray = (self.truth - self.truth.mean(axis=0, dtype=float)) ** 2
        return squares


def constant_numbers(truth: np.ndarray, scale: TargetScale) -> dict[str, float]:
    """Return the qualities of the best constant answer to numbers (n, numbers): their mean, for mae their
    median.
    """
    deviations = truth.std(axis=0, dtype=float)
    return {
        "r2": 0.0,
        "mae": float(np.abs(truth - np.median(truth, axis=0)).mean(dtype=float)),
        "rmse": float(deviations.mean()),
        "val_loss": float(np.mean((deviations / scale.deviations) ** 2)),
    }
