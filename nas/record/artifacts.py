"""The artifacts of MLflow's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nas.files import temporary_folder

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = ["Addressed", "write_text"]


class Addressed(Protocol):
    """A run, by the address of its artifacts."""

    @property
    def run_id(self) -> str:
        """MLflow's id of the run."""
        ...

    @property
    def artifact_uri(self) -> str:
        """The address of its artifacts, as MLflow has recorded it."""
        ...


def write_text(artifacts: ArtifactRepository, text: str, name: str, folder: str | None = None) -> None:
    """Write a text file to the artifacts of a run, in place of an earlier one of its name."""
    with temporary_folder() as temporary:
        path = temporary / name
        path.write_text(text, encoding="utf-8")
        artifacts.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]  # MLflow's has no types
