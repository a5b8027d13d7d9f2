"""Short texts that name networks and trials."""

from __future__ import annotations

import math

from nas.architecture import Architecture
from nas.trials.trial import Objective, Trial

__all__ = ["network_summary", "trial_label"]

KINDS = {"standard": "conv", "separable": "sep", "depthwise_pointwise": "dw", "inverted_bottleneck": "inv"}
"""Kinds of convolution in the label of a trial."""

QUALITIES = {
    "accuracy": "",  # a share without a name is an accuracy
    "balanced_accuracy": "balanced",
    "macro_f1": "F1",
    "auc": "AUC",
    "val_loss": "loss",
    "map": "mAP",
    "label_accuracy": "labels",
    "r2": "R2",
    "mae": "MAE",
    "rmse": "RMSE",
    "mean_iou": "IoU",
}
"""Qualities in the label of a trial."""

MAX_WIDTHS = 18
"""Characters of the widths in a label."""


def network_summary(trial: Trial) -> str:
    """Return a short description of a trial's network: widths, kinds, convolutions per stage, residuals."""
    if trial.architecture is None:
        return trial.id
    stages = trial.architecture.stages
    widths = "-".join(str(stage.width) for stage in stages)
    kinds = "/".join(dict.fromkeys(stage.conv for stage in stages))
    convs = "/".join(dict.fromkeys(str(stage.convs * stage.blocks) for stage in stages))
    residual = "/".join(dict.fromkeys(stage.residual for stage in stages if stage.residual != "none"))
    return f"{widths} {kinds} x{convs}{' ' + residual if residual else ''}"


def trial_label(trial: Trial, quality: Objective | None) -> str:
    """Return a name for a trial: number, kinds of convolution, widths of its stages, parameters, quality.

    For example `017 sep 16-32-64 · 21k · 98.6 %`, at most about 60 characters. `+res` marks residual
    connections. quality: the one that is shown; None shows none.
    """
    network = trial.id if trial.architecture is None else _network(trial.architecture)
    parts = [f"{trial.number:03d} {network}"]
    if "params" in trial.values:
        parts.append(_count(trial.values["params"]))
    if trial.state == "failed":
        parts.append("failed")
    elif quality is not None and quality.name in trial.values:
        epochs = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
        reached = f" at {epochs}" if trial.state == "stopped" else ""
        parts.append(_quality_text(quality, trial.values[quality.name]) + reached)
    return " · ".join(parts)


def _quality_text(quality: Objective, value: float) -> str:
    """Return a value of a quality with its short name, if it is no accuracy: `98.6 %`, `IoU 71.2 %`."""
    is_share = quality.maximize and quality.name != "r2"
    text = f"{100 * value:.1f} %" if is_share and math.isfinite(value) else f"{value:.3g}"
    return f"{QUALITIES.get(quality.name, quality.name)} {text}".strip()


def _network(architecture: Architecture) -> str:
    stages = architecture.stages
    if not stages:
        return "dense"
    kinds = list(dict.fromkeys(KINDS[stage.conv] for stage in stages))
    kind = "/".join(kinds) if len(kinds) <= 2 else "mixed"
    joined = [layer for layer in architecture.layers if layer.kind == "add"]  # in blocks, or by a decoder
    residual = "+res" if any(layer.name.startswith("stage") for layer in joined) else ""
    widths = [str(stage.width) for stage in stages]
    while len("-".join(widths)) > MAX_WIDTHS:
        middle = len(widths) // 2
        widths[middle - 1 : middle + 2] = ["…"]
    return f"{kind}{residual} {'-'.join(widths)}"


def _count(number: float) -> str:
    """Return a number of parameters in at most five characters: 850, 2.1k, 21k, 1.2M."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            scaled = number / unit
            return f"{scaled:.1f}{suffix}" if scaled < 9.95 else f"{scaled:.0f}{suffix}"
    return f"{number:.0f}"
