"""Register a network in MLflow's model registry, so that `mlflow models serve` answers with it.

The model is uploaded to the artifacts of the network's own run: MLflow's LoggedModels, which its `log_model`
creates, slow a store down (mlflow#18696, mlflow#22397).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Signature
from nas.errors import InputError, RecordError
from nas.files import temporary_folder
from nas.quiet import silence_output
from nas.record.mlflow_store import Store, create_store, record_errors

__all__ = ["NetworkModel", "RegisteredModel", "check_model_name", "register_model"]

ALIAS = "candidate"
"""Alias of the version that was registered last: a person decides what becomes the champion."""

CODE = Path(__file__).with_name("served_network.py")

FOLDER = "registered"
"""Folder among the artifacts of a run, with a folder for each version."""

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
"""The start of a model card, for programs."""

MAX_DESCRIPTION = 5000
"""Characters that MLflow's database has for a description."""

PACKAGES = {".tflite": ("ai-edge-litert", "numpy"), ".keras": ("keras", "tensorflow", "numpy")}
"""What the file of a registered model needs, by its suffix."""


@dataclass(frozen=True)
class NetworkModel:
    """A network's file and what is said of it."""

    file: Path  # .tflite or .keras
    signature: Signature
    output_shape: tuple[int, ...]  # of one example
    card: str  # Markdown
    run_id: str  # MLflow's, of the trial or the training
    beside: tuple[Path, ...] = ()  # files that are uploaded too: labels.txt, model_card.md
    example: np.ndarray | None = None  # one example, as the network takes it; None: zeros
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a model in the registry."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """The address by which MLflow loads it."""
        return f"models:/{self.name}/{self.version}"


def check_model_name(name: str) -> None:
    """Raise InputError for a name that a registry cannot hold."""
    if not re.fullmatch(r"[\w.-][\w. -]{0,99}", name) or name in (".", ".."):
        raise InputError(
            f"the name of a registered model must be letters, digits, '-', '_', '.' and spaces, got "
            f"'{name}'; use for example photos"
        )


def register_model(name: str, model: NetworkModel) -> RegisteredModel:
    """Register a network as the next version of a model, with the alias `candidate`.

    The files on the disk stay as they are. Raises InputError for an invalid name or kind of file, RecordError
    if MLflow does not have the network's run or cannot be reached.
    """
    check_model_name(name)
    if model.file.suffix not in PACKAGES:
        raise InputError(
            f"a registered model is a .tflite or .keras file, got '{model.file.name}'; add --format litert"
        )
    if not model.run_id:
        raise RecordError(
            "a registered model needs the run of its network, which waits to be delivered to MLflow; run "
            "nas sync first"
        )
    store = create_store()
    with temporary_folder() as folder, record_errors("written"):
        _save(folder / "model", model)
        source = _upload(store, folder / "model", model)
        return _create_version(store, name, source, model)


def _save(folder: Path, model: NetworkModel) -> None:
    """Write an MLflow model: the network's file, the code that runs it, signature and example."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = model.signature.input_shape
    example = np.zeros(shape) if model.example is None else model.example
    float32 = np.dtype(np.float32)
    beside = {path.name.replace(".", "_"): str(path) for path in model.beside}
    with silence_output():
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(CODE),
            artifacts={"network": str(model.file), **beside},
            signature=ModelSignature(
                Schema([TensorSpec(float32, (-1, *shape))]),
                Schema([TensorSpec(float32, (-1, *model.output_shape))]),
            ),
            input_example=example[None].astype(np.float32),
            pip_requirements=[
                f"{package}=={version(package)}" for package in ("mlflow", *PACKAGES[model.file.suffix])
            ],
            metadata=_metadata(model.signature),
        )


def _metadata(signature: Signature) -> dict[str, Any]:
    """Return what a client must know: how to feed an example, and the name of each output."""
    return {
        "input": signature.input_text(),
        "output": signature.output_text(),
        "classes": list(signature.classes),
    }


def _upload(store: Store, folder: Path, model: NetworkModel) -> str:
    """Upload the model to the artifacts of the run; return its address."""
    run = store.client.get_run(model.run_id).info
    place = f"{FOLDER}/{uuid.uuid4().hex[:12]}"  # no version replaces the files of another
    store.artifacts(run).log_artifacts(str(folder), place)  # type: ignore[no-untyped-call]
    base = run.artifact_uri if store.beside is None else (store.beside / run.run_id / "artifacts").as_uri()
    return f"{base}/{place}"


def _create_version(store: Store, name: str, source: str, model: NetworkModel) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    client = store.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name,
        source,
        run_id=model.run_id,
        tags=dict(model.tags),
        description=_shortened(FRONT_MATTER.sub("", model.card)),
        await_creation_for=0,
    )
    client.set_registered_model_alias(name, ALIAS, created.version)
    return RegisteredModel(name, str(created.version))


def _shortened(card: str) -> str:
    if len(card) <= MAX_DESCRIPTION:
        return card
    end = "\n\n(The rest is in model_card.md among the model's files.)"
    return card[: MAX_DESCRIPTION - len(end)] + end
