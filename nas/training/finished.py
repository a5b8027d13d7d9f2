"""A training that has ended, read from its folder as a search of one trial: it is exported like any other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Design, network_cost
from nas.data import Signature
from nas.errors import InputError, SpaceError
from nas.record import find_training_run
from nas.searching import Plan
from nas.training.folder import BEST, RECORD
from nas.trials import Trial

__all__ = ["FinishedTraining", "is_training_folder", "read_finished_training"]


@dataclass(frozen=True)
class FinishedTraining:
    """A training that has ended."""

    name: str  # of its folder
    plan: Plan  # of a search whose space is this network
    trial: Trial  # the network with the best weights, judged on the validation split
    checkpoint: Path
    key: str  # of its run in MLflow

    def trial_run(self, trial: Trial) -> str:  # noqa: ARG002  # as the record of a search has it
        """Return the id of the training's run, '' if MLflow does not have it; raises RecordError."""
        return find_training_run(self.key)

    def file(self, trial: Trial) -> Path:  # noqa: ARG002  # as the record of a search has it
        """Return the checkpoint of the best weights."""
        return self.checkpoint


def is_training_folder(text: str) -> bool:
    """Return whether a text with a slash is the folder of a training: a name without one is a search's."""
    return "/" in text and (Path(text) / RECORD).is_file()


def read_finished_training(folder: Path) -> FinishedTraining:
    """Read a training; raises InputError if it has not ended or its folder is damaged."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if "results" not in content:
            raise InputError(
                f"a training must have ended, got '{folder}' after epoch {len(content['curve'])} of "
                f"{content['asked']['epochs']}; resume it with the command that started it"
            )
        asked = content["asked"]
        design = Design.from_dict({**asked["architecture"], "training": asked["training"]})
        return _finished(folder.absolute(), content, design)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SpaceError) as error:
        raise InputError(
            f"{RECORD} must be readable, got '{folder / RECORD}' ({type(error).__name__}); repeat the "
            "command that started the training"
        ) from None


def _finished(folder: Path, content: dict[str, Any], design: Design) -> FinishedTraining:
    data, best, quality = content["data"], content["best"], content["data"]["quality"]
    judged = content["curve"][best - 1] if best else content["start"]
    values = {
        name.removeprefix("val_") if name != "val_loss" else name: float(value)
        for name, value in judged.items()
        if name.startswith("val_")
    }
    counted = network_cost(design.architecture)
    values |= {"params": counted.params, "flops": counted.flops, "peak_bytes": counted.peak_bytes}
    values |= content["results"]["test"]
    plan = Plan.parse(
        {
            **data["options"],
            "data": data["source"],
            "fingerprint": data["fingerprint"],
            "signature": Signature.model_validate(data["signature"]),
            "space": {**design.architecture.to_dict(), "training": design.training.model_dump(mode="json")},
            "objectives": (quality, "params"),
            "epochs": content["asked"]["epochs"],
            "seed": content["asked"]["seed"],
        }
    )
    trial = Trial(
        0,
        {},
        design.architecture.id,
        "complete",
        values,
        best,
        curve=tuple(content["curve"]),
        architecture=design.architecture,
        training=design.training,
    )
    return FinishedTraining(folder.name, plan, trial, folder / BEST, content["key"])
