"""Short texts that name networks."""

from __future__ import annotations

from nas.trials.trial import Trial

__all__ = ["network_summary"]


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
