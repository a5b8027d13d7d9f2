"""The data set of a run, as MLflow shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nas.text import redacted

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

__all__ = ["DataSource", "dataset_input"]


class DataSource(Protocol):
    """What the record stores of a data set."""

    @property
    def name(self) -> str:
        """The name that the user gave."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the content."""
        ...


def dataset_input(data: DataSource) -> DatasetInput:
    """Return a data set as MLflow's input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        data.name[:500], data.fingerprint[:36], source_type="local", source=redacted(data.source)
    )
    return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", "training")])
